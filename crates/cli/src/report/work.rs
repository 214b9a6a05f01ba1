//! What was paid for: requests and tokens, and what the last run did not have to ask again.

use flow_data::Value;
use flow_dataflow::{Driver, Session};
use flow_plan::Plan;
use flow_store::read_table;

use super::page::{Block, percent};
use crate::chart::{counted, grouped};
use crate::pipeline::run_folder;

/// What the report is about, in a few figures.
pub(super) fn lead(plan: &Plan, driver: &Driver) -> Vec<Block> {
    let session = driver.session();
    let efforts = session.efforts();
    let sum = |of: fn(&flow_dataflow::Effort) -> i64| -> i64 {
        efforts.iter().flat_map(|efforts| efforts.values()).map(of).sum()
    };
    let mut tiles = vec![
        (plan.steps.len().to_string(), "steps".to_owned()),
        (grouped(sum(|effort| effort.requests)), "answers of models and other effects".to_owned()),
        (grouped(sum(|effort| effort.tokens)), "tokens drawn".to_owned()),
    ];
    if plan.rounds.is_some() {
        tiles.insert(1, (driver.last_round().to_string(), "rounds".to_owned()));
    }
    let mut blocks = vec![Block::Tiles(tiles)];
    let missing = sum(|effort| effort.missing);
    if missing > 0 {
        let message = "are not there yet; what rests on them is missing below. `flow exec` asks them.";
        blocks.push(Block::Note(format!("{} {message}", counted(missing, "answer"))));
    }
    blocks
}

/// Requests and tokens by step and round, then what the last run asked and what it had already.
pub(super) fn paid(plan: &Plan, session: &Session) -> Vec<Block> {
    let efforts = session.efforts();
    let rows = plan.steps.iter().zip(&efforts).flat_map(|(step, efforts)| {
        efforts.iter().map(|(round, effort)| {
            vec![step.name.clone(), round.to_string(), grouped(effort.requests), grouped(effort.tokens)]
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let head = ["step", "round", "requests", "tokens"].map(str::to_owned).into();
    let paid =
        Block::Table { caption: "What all rows rest on, whenever it was asked".to_owned(), head, rows };
    [Some(paid), reused(plan)].into_iter().flatten().collect()
}

/// What the last run says of itself; nothing where its tables are gone.
fn reused(plan: &Plan) -> Option<Block> {
    let (columns, rows) = read_table(&run_folder(plan).join("steps.parquet")).ok()?;
    let (step, calls, reused) = (columns.index("step")?, columns.index("calls")?, columns.index("reused")?);
    let mut told: Vec<Vec<String>> = Vec::new();
    for row in &rows {
        let (Value::Text(step), Value::Int(calls), Value::Int(reused)) =
            (&row[step], &row[calls], &row[reused])
        else {
            continue;
        };
        // Each step has a row for every port with the same counts.
        if calls + reused == 0 || told.last().is_some_and(|last| *last[0] == **step) {
            continue;
        }
        let share = *reused as f64 / (calls + reused) as f64;
        told.push(vec![step.to_string(), grouped(*calls), grouped(*reused), percent(share)]);
    }
    let head = ["step", "asked", "reused", "share reused"].map(str::to_owned).into();
    let caption = "The last run: what it asked, and what was answered before".to_owned();
    (!told.is_empty()).then_some(Block::Table { caption, head, rows: told })
}
