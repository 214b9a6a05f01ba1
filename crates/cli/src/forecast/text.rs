//! A forecast for people.

use std::fmt::Write;

use super::folders::{Folder, State};
use super::memory::Memory;
use super::trainable::Trainable;
use super::work::{Bound, Work};
use super::{Certainty, Forecast, StepForecast};
use crate::columns::{columns, grouped};

impl Forecast {
    /// Several lines, the last one ended.
    pub(crate) fn text(&self) -> String {
        let head = ["step", "reused", "new", "retracted", "calls", "tokens", "training", "because"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.steps.iter().map(row));
        columns(&rows) + &self.closing()
    }

    fn closing(&self) -> String {
        let memory = if self.calls() > 0 { self.memory() } else { String::new() };
        self.kept() + &memory + &self.trainable() + &self.folders() + &self.work()
    }

    fn memory(&self) -> String {
        let line = |memory: &Memory| {
            let Memory { model, device, weights: format, weight_bytes, cache_bytes, draws } = memory;
            let mib = |bytes: usize| format!("{} MiB", count((bytes >> 20) as u64));
            let (weights, cache) = (mib(*weight_bytes), mib(*cache_bytes));
            format!(
                "{model}: {weights} of {format} weights, at most {cache} of keys and values for {draws} draws at a time on {device}\n"
            )
        };
        self.memory.iter().map(line).collect()
    }

    fn trainable(&self) -> String {
        let line = |trainable: &Trainable| {
            let Trainable { step, rank, trainable_parameters, frozen_parameters } = trainable;
            let [learn, stay] = [trainable_parameters, frozen_parameters].map(|n| count(*n as u64));
            format!("{step}: {learn} parameters learn, in adapters of rank {rank}, beside {stay} that stay\n")
        };
        self.trainable.iter().map(line).collect()
    }

    fn kept(&self) -> String {
        match (self.kept_rounds, self.rounds) {
            (0, _) => String::new(),
            (kept, all) if kept >= all => {
                format!(
                    "all {kept} rounds stay as they are; an edit enters the next one: raise `rounds.count`\n"
                )
            }
            (kept, _) => format!("rounds 1 to {kept} stay as they are; edits enter round {}\n", kept + 1),
        }
    }

    fn folders(&self) -> String {
        let folders = self.folders.iter().map(|Folder { folder, state, .. }| match state {
            State::Missing => format!("nothing is published in `{folder}` any more: it is published anew\n"),
            State::NoCheckpoint => format!("`{folder}` has no checkpoint: the last one is copied there\n"),
            State::Damaged => format!("what is published in `{folder}` is damaged: it is made anew\n"),
            State::Foreign { pipeline } => {
                format!("`{folder}` shows what pipeline `{pipeline}` published: a run takes its place\n")
            }
        });
        let sharers = self.shares_out_with.iter().map(|file| {
            format!(
                "`{file}` has the same `out`: each run replaces the tables that the other left in its `run`\n"
            )
        });
        folders.chain(sharers).collect()
    }

    fn work(&self) -> String {
        if !self.is_work() {
            return format!("{}: nothing to do, everything is as the last run left it\n", self.pipeline);
        }
        let mut text = format!("{}: {}", self.pipeline, asked(&self.total));
        if self.total.server_calls > 0 {
            write!(text, " ({} to servers)", count(self.total.server_calls))
                .expect("writing to a string cannot fail");
        }
        if let Some(tokens) = self.total.tokens {
            write!(text, ", about {} tokens", count(tokens)).expect("writing to a string cannot fail");
        }
        if let Some(steps) = self.total.training_steps {
            write!(text, ", about {} training steps", count(steps)).expect("writing to a string cannot fail");
        }
        if self.recomputed() > 0 {
            write!(
                text,
                "; {} of the calls ask again for rows that the last run had",
                count(self.recomputed())
            )
            .expect("writing to a string cannot fail");
        }
        let first = if self.first_run { " (this store knows no earlier run)" } else { "" };
        text + first + "\n"
    }
}

fn row(step: &StepForecast) -> Vec<String> {
    let about = if step.estimated { "~" } else { "" };
    let rows = |mark: &str, n: Option<u64>, more: &str| match n {
        Some(n) => format!("{}{}{more}", if about.is_empty() { mark } else { about }, count(n)),
        None => "?".to_owned(),
    };
    let (least, most, more) = match step.rows {
        Certainty::Exact => ("", "", ""),
        Certainty::AtLeast | Certainty::Unknown => (mark(Bound::AtLeast), mark(Bound::AtMost), " + more"),
    };
    let calls = match step.work.calls {
        0 if step.work.bound == Bound::Exact => String::new(),
        calls => format!("{}{}", mark(step.work.bound), count(calls)),
    };
    let some = |n: Option<u64>| n.map(|n| format!("~{}", count(n))).unwrap_or_default();
    vec![
        step.step.clone(),
        rows(least, step.reused, ""),
        rows("", step.new, more),
        rows(most, step.retracted, ""),
        calls,
        some(step.work.tokens),
        some(step.work.training_steps),
        step.because.iter().map(|reason| reason.words.as_str()).collect::<Vec<_>>().join("; "),
    ]
}

/// What a bound is in a table.
fn mark(bound: Bound) -> &'static str {
    match bound {
        Bound::Exact => "",
        Bound::AtMost => "<=",
        Bound::AtLeast => ">=",
        Bound::About => "~",
    }
}

fn asked(work: &Work) -> String {
    let bound = match work.bound {
        Bound::Exact => "",
        Bound::AtMost => "at most ",
        Bound::AtLeast => "at least ",
        Bound::About => "about ",
    };
    format!("{bound}{} {}", count(work.calls), if work.calls == 1 { "call" } else { "calls" })
}

fn count(n: u64) -> String {
    grouped(i64::try_from(n).unwrap_or(i64::MAX))
}
