//! Steps at which every row ends, and sources at which most do: the likeliest reasons why a run makes little or nothing.

use std::collections::BTreeMap;

use flow_data::Item;
use flow_dataflow::{Session, StepCounts};
use flow_plan::{Plan, Step};
use serde::Serialize;

use super::Captures;
use crate::columns::{counted, grouped};

/// A step that rejected every row that came in, or a source that rejected most or has none.
#[derive(Debug, Serialize)]
pub(crate) struct DeadEnd {
    step: String,
    /// Rows that came in, and those that were rejected.
    of: i64,
    rows: i64,
    /// The most frequent reason, how many rows have it, and the particulars of one of them.
    reason: String,
    n: i64,
    detail: String,
}

impl DeadEnd {
    /// The dead ends of a settled session.
    pub(crate) fn all(plan: &Plan, captures: &Captures, session: &Session) -> Vec<Self> {
        let counts = session.counts();
        let ended = |at: &usize| {
            let leaving = leaving(&counts[*at]);
            let most = plan.steps[*at].inputs.is_empty() && counts[*at].rejected > leaving;
            counts[*at].rejected > 0 && (leaving == 0 || most)
        };
        let empty = |at: &usize| {
            plan.steps[*at].inputs.is_empty() && counts[*at].rejected == 0 && leaving(&counts[*at]) == 0
        };
        let without_rows = (0..plan.steps.len()).filter(empty).map(|at| Self::empty(&plan.steps[at]));
        let steps: Vec<usize> = (0..plan.steps.len()).filter(ended).collect();
        if steps.is_empty() {
            return without_rows.collect();
        }
        let rejected = captures.rejected(session);
        let of = |at: usize| rejected.iter().filter(move |(step, _)| *step == at).map(|(_, item)| item);
        let new = |at: usize| Self::new(&plan.steps[at], leaving(&counts[at]), of(at));
        without_rows.chain(steps.into_iter().filter_map(new)).collect()
    }

    fn empty(step: &Step) -> Self {
        let (reason, detail) = ("empty".to_owned(), String::new());
        Self { step: step.name.clone(), of: 0, rows: 0, reason, n: 0, detail }
    }

    fn new<'a>(step: &Step, leaving: i64, rejected: impl Iterator<Item = &'a Item>) -> Option<Self> {
        let (reason, detail) = (step.rejected.index("reason")?, step.rejected.index("detail")?);
        let mut reasons: BTreeMap<&str, (i64, &str)> = BTreeMap::new();
        let mut rows = 0;
        for item in rejected {
            let of_reason =
                reasons.entry(item.text(reason)?).or_insert((0, item.text(detail).unwrap_or_default()));
            of_reason.0 += 1;
            rows += 1;
        }
        let (reason, (n, detail)) = reasons.into_iter().max_by_key(|(_, (n, _))| *n)?;
        let (reason, detail) = (reason.to_owned(), detail.to_owned());
        Some(Self { step: step.name.clone(), of: rows + leaving, rows, reason, n, detail })
    }

    /// The step.
    pub(crate) fn step(&self) -> &str {
        &self.step
    }

    /// In words.
    pub(crate) fn text(&self) -> String {
        let Self { step, of, rows, reason, n, detail } = self;
        if *of == 0 {
            return format!("step `{step}` has no rows");
        }
        let all = if rows == of { "all".to_owned() } else { grouped(*rows) };
        let most = if n == rows { String::new() } else { format!("{n} of them ") };
        format!("step `{step}` rejected {all} of its {}, {most}as `{reason}`: {detail}", counted(*of, "row"))
    }
}

fn leaving(counts: &StepCounts) -> i64 {
    counts.ports.iter().sum()
}
