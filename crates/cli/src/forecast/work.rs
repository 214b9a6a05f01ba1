//! What a run would have to pay for: the requests that no kept answer serves, and what they take.

use std::collections::BTreeSet;

use flow_data::Round;
use flow_dataflow::{Body, Node, Stage};
use flow_operators::{feeds, pace};
use flow_plan::ModelRef;
use serde::Serialize;

use super::Reading;

/// What is known of a number of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Bound {
    /// It rests on no answer that is not there yet.
    #[default]
    Exact,
    /// Rows that are not known yet are taken to ask as much as in earlier rounds; some may find kept answers.
    AtMost,
    /// Rows that are not known yet ask too, and no earlier run tells how much.
    AtLeast,
    /// Both.
    About,
}

impl Bound {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Bound::Exact, one) | (one, Bound::Exact) => one,
            (one, other) if one == other => one,
            _ => Bound::About,
        }
    }
}

/// What has to be paid for.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Work {
    /// Requests that no kept answer serves.
    pub(super) calls: u64,
    /// Of these, how many go to servers.
    pub(super) server_calls: u64,
    /// How `calls` is meant.
    pub(super) bound: Bound,
    /// Tokens that models will write, as many a request as in earlier rounds; absent where nothing is known.
    pub(super) tokens: Option<u64>,
    /// Optimiser steps, as many as in earlier rounds but for what other keys of the training say; absent where nothing is known.
    pub(super) training_steps: Option<u64>,
}

impl Reading<'_> {
    /// The requests that a step would ask: those counted, and in rounds whose rows are not known as many as before. Beside them
    /// how many ask again for what the last run knew: no more than it asked in the same round and is not kept.
    pub(super) fn work(&self, at: usize) -> (Work, u64) {
        let (mut work, mut recomputed) = (Work::default(), 0);
        let step = &self.plan().steps[at];
        if !has_effect(&self.session.network().nodes[at]) {
            return (work, recomputed);
        }
        let efforts = &self.session.efforts()[at];
        let counted = |round: Round| efforts.get(&round).copied().unwrap_or_default();
        let rounds: BTreeSet<Round> = efforts.keys().copied().chain(self.pending.rounds(at)).collect();
        for round in rounds {
            let missing = (counted(round).missing + counted(round).again).unsigned_abs();
            let known = counted(round).requests.unsigned_abs().saturating_sub(missing);
            let settled = self.rows_are_known(at, round);
            // A training over rows that are not all there yet is another training.
            let seen = if step.makes_model { missing } else { missing + known };
            let unseen = if settled { 0 } else { self.expected(at, round).saturating_sub(seen) };
            let earlier = self.earlier(at, round);
            let is_exact = settled || step.makes_model && known == 0;
            work.bound = work.bound.and(match (is_exact, earlier) {
                (true, _) => Bound::Exact,
                (false, Some(_)) => Bound::AtMost,
                (false, None) => Bound::AtLeast,
            });
            if missing > 0 && self.session.network().nodes[at].asks_in_turns() {
                work.bound = work.bound.and(Bound::AtLeast);
            }
            work.calls += missing + unseen;
            work.server_calls += if self.asks_server(at, round) { missing + unseen } else { 0 };
            recomputed += (missing + unseen).min(self.asked_in(at, round).saturating_sub(known));
            let per_request =
                |total: u64, requests: u64| (missing + unseen) as f64 * total as f64 / requests as f64;
            if let Some(earlier) = earlier.filter(|earlier| earlier.requests > 0 && missing + unseen > 0) {
                let tokens = per_request(earlier.tokens, earlier.requests).round() as u64;
                let trained = per_request(earlier.training_steps, earlier.requests);
                add(&mut work.tokens, tokens);
                let steps = if trained > 0.0 { self.at_pace(at, trained, missing + unseen) } else { None };
                add(&mut work.training_steps, steps.unwrap_or_default().round() as u64);
            }
        }
        (work, recomputed)
    }

    /// The optimiser steps of so many trainings of a step, which took `steps` with the keys of the last run; `None` where its keys do not
    /// tell.
    fn at_pace(&self, at: usize, steps: f64, trainings: u64) -> Option<f64> {
        let step = &self.plan().steps[at];
        let before = self.last.and_then(|last| last.steps.get(&step.name));
        let before = before.and_then(|before| pace(&before.op, &before.config));
        match (pace(step.op, &step.config), before) {
            (Some(now), Some(before)) => {
                let each = trainings as f64;
                Some(now.steps(&before, steps / each)? * each)
            }
            _ => Some(steps),
        }
    }

    /// Requests of a step in a round of the last run.
    fn asked_in(&self, at: usize, round: Round) -> u64 {
        let step = self.last.and_then(|last| last.steps.get(&self.plan().steps[at].name));
        step.and_then(|step| step.efforts.get(&round)).map_or(0, |effort| effort.requests)
    }

    /// Whether the model of a step is behind a server in `round`, as far as it is declared and not replaced since.
    fn asks_server(&self, at: usize, round: Round) -> bool {
        self.plan().steps[at].models.iter().any(|used| match &used.model {
            ModelRef::Declared(name) => {
                self.plan().models[name].served().is_some()
                    && (round <= 1 || feeds(self.plan(), name).is_none())
            }
            ModelRef::Step(_) => false,
        })
    }

    /// Requests that a step will make in a round whose rows are not known: as many as in the nearest known round, one where
    /// a model is trained.
    fn expected(&self, at: usize, round: Round) -> u64 {
        let earlier = self.earlier(at, round).map_or(0, |earlier| earlier.requests);
        if self.plan().steps[at].makes_model { earlier.max(1) } else { earlier }
    }

    /// What the last run's effects of a step took in `round`, or in the last round before it that it had.
    fn earlier(&self, at: usize, round: Round) -> Option<crate::record::Effort> {
        let efforts = &self.last?.steps.get(&self.plan().steps[at].name)?.efforts;
        let before = efforts.range(..=round).next_back();
        before.or_else(|| efforts.iter().next_back()).map(|(_, effort)| *effort)
    }

    /// Whether all rows that a step reads in `round` are known.
    fn rows_are_known(&self, at: usize, round: Round) -> bool {
        let inputs = self.plan().steps[at].inputs.iter().flat_map(|inlet| &inlet.edges);
        inputs.map(|edge| edge.step).all(|input| {
            let always = !self.plan().steps[input].per_round;
            !(self.pending.contains(input, round) || always && self.pending.contains(input, 0))
        })
    }
}

impl Work {
    pub(super) fn and(mut self, other: Self) -> Self {
        self.calls += other.calls;
        self.server_calls += other.server_calls;
        self.bound = self.bound.and(other.bound);
        other.tokens.into_iter().for_each(|tokens| add(&mut self.tokens, tokens));
        other.training_steps.into_iter().for_each(|steps| add(&mut self.training_steps, steps));
        self
    }
}

fn add(sum: &mut Option<u64>, more: u64) {
    if more > 0 {
        *sum = Some(sum.unwrap_or(0) + more);
    }
}

fn has_effect(node: &Node) -> bool {
    match &node.body {
        Body::Source(_) => false,
        Body::Chain(stages) => stages.iter().any(|stage| matches!(stage, Stage::Effect(_))),
    }
}
