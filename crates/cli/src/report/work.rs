//! What was paid for: requests and tokens, and what the last run did not have to ask again.

use flow_chart::percent;
use flow_dataflow::{Driver, Effort, Session};
use flow_plan::{Plan, Step};

use super::page::Block;
use crate::columns::{counted, grouped};
use crate::record::{Record, StepRecord};

/// What the report is about, in a few figures.
pub(super) fn lead(plan: &Plan, driver: &Driver) -> Vec<Block> {
    let session = driver.session();
    let efforts = session.efforts();
    let sum =
        |of: fn(&Effort) -> i64| -> i64 { efforts.iter().flat_map(|efforts| efforts.values()).map(of).sum() };
    let mut tiles = vec![
        (plan.steps.len().to_string(), "steps".to_owned()),
        (grouped(sum(answered)), "answers of models and other effects".to_owned()),
        (grouped(sum(|effort| effort.tokens)), "tokens drawn".to_owned()),
    ];
    if plan.rounds.is_some() {
        tiles.insert(1, (driver.last_round().to_string(), "rounds".to_owned()));
    }
    let lacking = lacking(plan, driver).map(Block::Note);
    lacking.into_iter().chain([Block::Tiles(tiles)]).collect()
}

/// What is not there yet, in words: where a run was stopped, or the pipeline has been edited since.
pub(super) fn lacking(plan: &Plan, driver: &Driver) -> Option<String> {
    let efforts = driver.session().efforts();
    let missing: i64 =
        efforts.iter().flat_map(|efforts| efforts.values()).map(|effort| effort.missing + effort.again).sum();
    if missing == 0 {
        return None;
    }
    let pending = driver.pending();
    let steps = (0..plan.steps.len()).filter(|at| pending.rounds(*at).next().is_some());
    let steps: Vec<String> = steps.map(|at| format!("`{}`", plan.steps[at].name)).collect();
    let (answers, are) = (counted(missing, "answer"), if missing == 1 { "is" } else { "are" });
    Some(format!(
        "Incomplete: {answers} {are} not there yet, and `flow exec` asks for them. Rows are missing in {}, and figures that rest \
         on these steps are not final.",
        steps.join(", ")
    ))
}

/// How many answers there are.
pub(super) fn answered(effort: &Effort) -> i64 {
    effort.requests - effort.missing - effort.again
}

/// Requests and tokens by step and round, then what the last run asked and what it had already.
pub(super) fn paid(plan: &Plan, session: &Session, last: Option<&Record>) -> Vec<Block> {
    let efforts = session.efforts();
    let rows = plan.steps.iter().zip(&efforts).flat_map(|(step, efforts)| {
        efforts.iter().map(|(round, effort)| {
            let Effort { tokens, missing, .. } = *effort;
            [step.name.clone(), round.to_string()]
                .into_iter()
                .chain([answered(effort), tokens, missing].map(grouped))
                .collect()
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let head = ["step", "round", "answers", "tokens", "not there yet"].map(str::to_owned).into();
    let paid =
        Block::Table { caption: "What all rows rest on, whenever it was asked".to_owned(), head, rows };
    [Some(paid), last.and_then(|last| reused(plan, last))].into_iter().flatten().collect()
}

/// What the last run asked and what it had already.
fn reused(plan: &Plan, last: &Record) -> Option<Block> {
    let row = |step: &Step| {
        let StepRecord { calls, reused, .. } = last.steps.get(&step.name)?;
        let share = *reused as f64 / (calls + reused) as f64;
        let told = |n: &u64| grouped(i64::try_from(*n).unwrap_or(i64::MAX));
        (calls + reused > 0).then(|| vec![step.name.clone(), told(calls), told(reused), percent(share)])
    };
    let rows: Vec<Vec<String>> = plan.steps.iter().filter_map(row).collect();
    let head = ["step", "asked", "reused", "share reused"].map(str::to_owned).into();
    let caption = "The last run: what it asked, and what was answered before".to_owned();
    (!rows.is_empty()).then_some(Block::Table { caption, head, rows })
}
