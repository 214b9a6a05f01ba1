//! Rows in full, so that people see what the figures count.

use flow_data::Item;

use super::page::Block;
use super::tables::{Table, Tables};

/// Rows shown of each port.
const SHOWN: usize = 3;

/// Longest text shown, in characters.
const LONGEST: usize = 4000;

/// Columns that are read, in this order.
const COLUMNS: [&str; 10] = [
    "prompt",
    "solution",
    "answer",
    "critique",
    "completion",
    "extracted",
    "method",
    "witness",
    "reason",
    "detail",
];

/// A few rows of every port that a completion leaves by: accepted, rejected and refined ones.
pub(super) fn examples(tables: &Tables<'_>) -> Vec<Block> {
    let ports = tables
        .with(&["prompt", "completion"])
        .filter(|table| table.step.op != "sample" || table.is_rejected());
    ports.map(block).collect()
}

/// The first rows of the last round; identities are hashes, so they are a fair choice.
fn block(table: &Table<'_>) -> Block {
    let last = table.rows.last().map_or(0, |row| row.row.round);
    let rows = table.rows.iter().filter(|row| row.row.round == last).take(SHOWN);
    let round = if last == 0 { String::new() } else { format!(", round {last}") };
    Block::Examples {
        caption: format!("{}{round} ({})", table.name(), table.step.op),
        rows: rows.map(|row| (title(table, row), texts(table, row))).collect(),
    }
}

fn title(table: &Table<'_>, row: &Item) -> String {
    let prompt = table.text(row, "prompt").unwrap_or_default();
    let first = prompt.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    clipped(first, 110)
}

fn texts(table: &Table<'_>, row: &Item) -> Vec<(String, String)> {
    let text = |name: &&str| {
        let text = table.text(row, name).filter(|text| !text.is_empty())?;
        Some(((*name).to_owned(), clipped(text, LONGEST)))
    };
    let id = ("row_id".to_owned(), row.row.id.to_string());
    COLUMNS.iter().filter_map(text).chain([id]).collect()
}

fn clipped(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
