//! What a run would do: the pipeline over the kept answers, every missing one counted instead of asked.

mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use flow_data::Round;
use flow_dataflow::{
    Body, Calls, Driver, Network, Node, Pending, Port, Session, SessionOptions, Stage, Turnover,
};
use flow_operators::{Env, feeds};
use flow_plan::{ModelRef, Plan};
use serde::Serialize;

use crate::changes::changes;
use crate::exec::{Captures, session_halt, source_halt};
use crate::halt::Halt;
use crate::record::{ModelRecord, Record};
use crate::setup::Setup;
use crate::{Catalog, kept, panic};

/// What a run would do, compared with the last one.
#[derive(Debug, Serialize)]
pub(crate) struct Forecast {
    pipeline: String,
    /// Whether this store knows no earlier run: then every row is new and nothing can be estimated.
    first_run: bool,
    /// Rounds that there would be.
    rounds: Round,
    /// Of these, the first ones that stay as they are.
    kept_rounds: Round,
    steps: Vec<StepForecast>,
    /// Sums over the steps.
    total: Work,
}

/// What would become of one step.
#[derive(Debug, Serialize)]
struct StepForecast {
    step: String,
    op: &'static str,
    /// Rows that stay as they are, over all ports.
    reused: u64,
    /// Rows that were not there before, changed ones included.
    new: u64,
    /// Rows that will not be there any more, changed ones included.
    retracted: u64,
    /// Whether the numbers of rows are estimates, as for more than 262,144 rows a port.
    estimated: bool,
    /// Whether more rows follow that only the run can know, since they rest on answers that are not kept.
    more: bool,
    #[serde(flatten)]
    work: Work,
    /// Of the calls, how many ask again for rows that the last run had.
    recomputed: u64,
    /// Why anything changes.
    because: Vec<Reason>,
}

/// Why a step changes.
#[derive(Debug)]
struct Reason {
    words: String,
    /// The step that the reason lies in, when it is another one.
    step: Option<String>,
}

impl Reason {
    fn own(words: String) -> Self {
        Self { words, step: None }
    }
}

impl Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.words)
    }
}

/// What has to be paid for.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Work {
    /// Requests that no kept answer serves.
    calls: u64,
    /// Of these, how many go to servers.
    server_calls: u64,
    /// Whether `calls` is known exactly: it does not rest on answers that are not there yet.
    exact: bool,
    /// Tokens that models will write, as many a request as in earlier rounds; absent where nothing is known.
    tokens: Option<u64>,
    /// Optimiser steps, as many as in earlier rounds.
    training_steps: Option<u64>,
}

impl Forecast {
    /// Runs the pipeline of `setup` over its kept answers.
    pub(crate) fn new(catalog: Catalog<'_>, setup: &Setup, last: Option<&Record>) -> Result<Self, Halt> {
        let driver = counted(catalog, setup, last)?;
        Ok(Reading { setup, last, session: driver.session(), pending: driver.pending() }
            .forecast(driver.last_round()))
    }

    /// Requests that no kept answer serves.
    pub(crate) fn calls(&self) -> u64 {
        self.total.calls
    }

    /// Of these, how many ask again for rows that the last run had.
    pub(crate) fn recomputed(&self) -> u64 {
        self.steps.iter().map(|step| step.recomputed).sum()
    }

    /// Why the step `name` would change, each reason with its depth and its step: reasons that name another step are followed
    /// by that step's own.
    pub(crate) fn reasons(&self, name: &str) -> Vec<(usize, &str, &str)> {
        let mut reasons = Vec::new();
        self.follow(name, 0, &mut BTreeSet::new(), &mut reasons);
        reasons
    }

    fn follow<'a>(
        &'a self,
        name: &str,
        depth: usize,
        seen: &mut BTreeSet<&'a str>,
        reasons: &mut Vec<(usize, &'a str, &'a str)>,
    ) {
        let Some(step) = self.steps.iter().find(|step| step.step == name) else { return };
        if !seen.insert(&step.step) {
            return;
        }
        for Reason { words, step: other } in &step.because {
            reasons.push((depth, &step.step, words));
            if let Some(other) = other {
                self.follow(other, depth + 1, seen, reasons);
            }
        }
    }

    /// Whether a run would change anything.
    pub(crate) fn is_work(&self) -> bool {
        self.first_run || self.calls() > 0 || self.steps.iter().any(|step| step.new + step.retracted > 0)
    }
}

/// The pipeline settled over the kept answers, every missing one counted, nothing asked and nothing written.
fn counted(catalog: Catalog<'_>, setup: &Setup, last: Option<&Record>) -> Result<Driver, Halt> {
    settled(catalog, setup, last, Calls::Count, false)
}

/// The same with all rows of all ports at hand.
pub(crate) fn traced(catalog: Catalog<'_>, setup: &Setup, last: Option<&Record>) -> Result<Driver, Halt> {
    settled(catalog, setup, last, Calls::Count, true)
}

/// The pipeline settled over the kept answers in a fresh dataflow, nothing written. One that is missing is an error.
pub(crate) fn replayed(catalog: Catalog<'_>, setup: &Setup, last: Option<&Record>) -> Result<Driver, Halt> {
    settled(catalog, setup, last, Calls::MakeFor(BTreeSet::new()), false)
}

fn settled(
    catalog: Catalog<'_>,
    setup: &Setup,
    last: Option<&Record>,
    calls: Calls,
    whole: bool,
) -> Result<Driver, Halt> {
    let pipeline = &setup.pipeline;
    let network = setup.network(catalog, &Env { dry: true, ..setup.env(1) }, last)?;
    let capture = match whole {
        true => all_ports(&network),
        false => Captures::of(&pipeline.plan, &network).ports().collect(),
    };
    let options = SessionOptions { workers: 1, calls, capture, cluster: None };
    let session = Session::start(Arc::new(network), Arc::default(), setup.memo()?, options);
    let mut driver = Driver::new(session.map_err(|error| session_halt(&error))?, setup.digests.clone());
    driver.load().map_err(|(step, error)| source_halt(pipeline, step, &error))?;
    kept::feed(&mut driver, &pipeline.plan, last);
    let mut watch =
        |_: &[_]| if panic::happened() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    match driver.settle(&mut watch, &mut |_, _| {}) {
        Err(_) if panic::happened() => Err(Halt::of_panic()),
        Err(error) => Err(session_halt(&error)),
        Ok(()) => Ok(driver),
    }
}

fn all_ports(network: &Network) -> Vec<(usize, Option<Port>)> {
    let ports = |(at, node): (usize, &Node)| {
        let ports = (0..node.ports).filter_map(|port| Port::try_from(port).ok()).map(Some);
        ports.chain([None]).map(move |port| (at, port)).collect::<Vec<_>>()
    };
    network.nodes.iter().enumerate().flat_map(ports).collect()
}

/// A settled forecast beside the record of the last run.
struct Reading<'a> {
    setup: &'a Setup,
    last: Option<&'a Record>,
    session: &'a Session,
    pending: Pending,
}

impl Reading<'_> {
    fn plan(&self) -> &Plan {
        &self.setup.pipeline.plan
    }

    fn forecast(&self, rounds: Round) -> Forecast {
        let models = ModelRecord::all(self.plan(), &self.setup.models, &self.setup.digests);
        let own = self.last.map(|last| changes(self.plan(), &models, last)).unwrap_or_default();
        let mut steps: Vec<StepForecast> = Vec::new();
        for at in 0..self.plan().steps.len() {
            let step = self.step(at, &own, &steps);
            steps.push(step);
        }
        Forecast {
            pipeline: self.plan().name.clone(),
            first_run: self.last.is_none(),
            rounds,
            kept_rounds: self.session.network().rounds.kept,
            total: steps
                .iter()
                .map(|step| step.work)
                .fold(Work { exact: true, ..Work::default() }, Work::and),
            steps,
        }
    }

    fn step(&self, at: usize, own: &BTreeMap<String, Vec<String>>, before: &[StepForecast]) -> StepForecast {
        let step = &self.plan().steps[at];
        let turnover = self.turnover(at);
        let work = self.work(at);
        let more = self.pending.rounds(at).next().is_some();
        let mut because: Vec<Reason> =
            own.get(&step.name).into_iter().flatten().cloned().map(Reason::own).collect();
        if step.inputs.is_empty() {
            because.extend(self.last.and_then(|_| rows_changed(&turnover)).map(Reason::own));
        }
        if turnover.new + turnover.gone > 0 || more {
            because.extend(self.upstream(at, before));
        }
        StepForecast {
            step: step.name.clone(),
            op: step.op,
            reused: turnover.kept,
            new: turnover.new,
            retracted: turnover.gone,
            estimated: turnover.estimated,
            more,
            recomputed: work.calls.min(turnover.gone),
            work,
            because,
        }
    }

    /// How the rows of all ports of a step differ from the last run's, rejected ones included.
    fn turnover(&self, at: usize) -> Turnover {
        let step = &self.plan().steps[at];
        let names = step.ports.iter().map(|port| port.name.as_str()).chain(["rejected"]);
        let mut sum = Turnover::default();
        for (name, census) in names.zip(&self.session.censuses()[at]) {
            let nothing = flow_dataflow::Sample::default();
            let earlier = self.last.and_then(|last| last.sample(&step.name, name)).unwrap_or(&nothing);
            let turnover = census.sample().since(earlier);
            sum.kept += turnover.kept;
            sum.new += turnover.new;
            sum.gone += turnover.gone;
            sum.changed += turnover.changed;
            sum.estimated |= turnover.estimated;
        }
        sum
    }

    /// The requests that a step would ask: those counted, and in rounds whose rows are not known as many as before.
    fn work(&self, at: usize) -> Work {
        let step = &self.plan().steps[at];
        if !has_effect(&self.session.network().nodes[at]) {
            return Work { exact: true, ..Work::default() };
        }
        let efforts = &self.session.efforts()[at];
        let counted = |round: Round| efforts.get(&round).copied().unwrap_or_default();
        let mut work = Work { exact: true, ..Work::default() };
        let rounds: BTreeSet<Round> = efforts.keys().copied().chain(self.pending.rounds(at)).collect();
        for round in rounds {
            let missing = counted(round).missing.unsigned_abs();
            let known =
                counted(round).requests.unsigned_abs() - missing.min(counted(round).requests.unsigned_abs());
            let settled = self.rows_are_known(at, round);
            // A training over rows that are not all there yet is another training.
            let seen = if step.makes_model { missing } else { missing + known };
            let unseen = if settled { 0 } else { self.expected(at, round).saturating_sub(seen) };
            work.exact &= settled || step.makes_model && known == 0;
            work.calls += missing + unseen;
            work.server_calls += if self.asks_server(at, round) { missing + unseen } else { 0 };
            let earlier = self.earlier(at, round);
            let per_request =
                |total: u64, requests: u64| (missing + unseen) as f64 * total as f64 / requests as f64;
            if let Some(earlier) = earlier.filter(|earlier| earlier.requests > 0 && missing + unseen > 0) {
                let tokens = per_request(earlier.tokens, earlier.requests).round() as u64;
                let steps = per_request(earlier.training_steps, earlier.requests).round() as u64;
                add(&mut work.tokens, tokens);
                add(&mut work.training_steps, steps);
            }
        }
        work
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

    /// The steps before this one, and the model it draws from, that make a difference to it.
    fn upstream(&self, at: usize, before: &[StepForecast]) -> Vec<Reason> {
        let step = &self.plan().steps[at];
        let differs =
            |at: &usize| before.get(*at).is_some_and(|step| step.new + step.retracted > 0 || step.more);
        let producers: BTreeSet<usize> = step
            .inputs
            .iter()
            .flat_map(|inlet| inlet.edges.iter().map(|edge| edge.step))
            .filter(differs)
            .collect();
        let rows = producers.into_iter().map(|at| {
            let name = &self.plan().steps[at].name;
            Reason { words: format!("rows of `{name}` change"), step: Some(name.clone()) }
        });
        rows.chain(self.new_models(at)).collect()
    }

    fn new_models(&self, at: usize) -> impl Iterator<Item = Reason> {
        self.plan().steps[at].models.iter().filter_map(move |used| {
            let maker = match &used.model {
                ModelRef::Step(maker) => *maker,
                ModelRef::Declared(name) => flow_operators::feeds(self.plan(), name)?,
            };
            let first = self.pending.rounds(maker).next().filter(|_| maker != at)?;
            let name = &self.plan().steps[maker].name;
            let words = format!("`{name}` trains another model in round {first}");
            Some(Reason { words, step: Some(name.clone()) })
        })
    }
}

impl Work {
    fn and(mut self, other: Self) -> Self {
        self.calls += other.calls;
        self.server_calls += other.server_calls;
        self.exact &= other.exact;
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

/// How the rows of a source differ, when they do.
fn rows_changed(turnover: &Turnover) -> Option<String> {
    let Turnover { new, gone, changed, .. } = *turnover;
    let parts = [(new - changed, "added"), (gone - changed.min(gone), "removed"), (changed, "changed")];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    (!parts.is_empty()).then(|| format!("rows: {}", parts.join(", ")))
}
