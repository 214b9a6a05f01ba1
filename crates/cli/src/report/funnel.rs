//! What becomes of rows on their way: shares by level and domain at every step, and why rows went no further.

use std::collections::{BTreeMap, BTreeSet};

use flow_data::Item;

use super::page::Block;
use super::tables::{Table, Tables};
use crate::columns::grouped;

/// Most values of a column that get a column of the table.
const MOST_VALUES: usize = 16;

/// For every port that has levels or domains, which share of its rows each has. The first round and the last
/// stand below each other: what balancing does, and whether the hard ones get lost.
pub(super) fn levels(tables: &Tables<'_>) -> Vec<Block> {
    let columns = ["level", "domain"].into_iter();
    columns.flat_map(|column| shares(tables, column)).collect()
}

fn shares(tables: &Tables<'_>, column: &'static str) -> Vec<Block> {
    let ports: Vec<&Table<'_>> = tables.iter().filter(|table| is_on_the_way(table, column)).collect();
    let values: BTreeSet<Value> = ports
        .iter()
        .flat_map(|table| table.rows.iter().filter_map(|row| value(table, row, column)))
        .collect();
    if values.len() < 2 || values.len() > MOST_VALUES {
        return Vec::new();
    }
    let rounds: BTreeSet<u32> =
        ports.iter().flat_map(|table| table.rounds().map(|(round, _)| round)).collect();
    let shown = [rounds.iter().copied().find(|round| *round > 0), rounds.last().copied()];
    let shown: BTreeSet<u32> = shown.into_iter().flatten().collect();
    shown.into_iter().map(|round| heat(&ports, &values, column, round)).collect()
}

/// Whether a port holds rows on their way to the data: they have a prompt, and were not rejected.
fn is_on_the_way(table: &Table<'_>, column: &str) -> bool {
    table.has(column) && table.has("prompt") && !table.is_rejected() && !table.rows.is_empty()
}

fn heat(ports: &[&Table<'_>], values: &BTreeSet<Value>, column: &str, round: u32) -> Block {
    let row = |table: &&Table<'_>| {
        let rows = table.rows.iter().filter(|row| [0, round].contains(&row.row.round));
        let mut counts: BTreeMap<Value, usize> = BTreeMap::new();
        rows.clone()
            .filter_map(|row| value(table, row, column))
            .for_each(|value| *counts.entry(value).or_default() += 1);
        let total: usize = counts.values().sum();
        let share = |value: &Value| Some(*counts.get(value).unwrap_or(&0) as f64 / total as f64);
        let told = |n: usize| grouped(i64::try_from(n).unwrap_or(i64::MAX));
        let name = match rows.count() {
            all if all > total => format!("{} ({}, {} without)", table.name(), told(all), told(all - total)),
            all => format!("{} ({})", table.name(), told(all)),
        };
        (total > 0).then(|| (name, values.iter().map(share).collect()))
    };
    Block::Heat {
        caption: format!(
            "Share of each {column} in the rows of every step, round {round} (rows in brackets)"
        ),
        head: std::iter::once(String::new()).chain(values.iter().map(Value::told)).collect(),
        rows: ports.iter().filter_map(row).collect(),
    }
}

/// A level or a name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i64),
    Name(String),
}

impl Value {
    fn told(&self) -> String {
        match self {
            Value::Number(number) => number.to_string(),
            Value::Name(name) => name.clone(),
        }
    }
}

fn value(table: &Table<'_>, row: &Item, column: &str) -> Option<Value> {
    let number = table.int(row, column).map(Value::Number);
    number.or_else(|| table.text(row, column).map(|name| Value::Name(name.to_owned())))
}

/// How many rows each step rejected, by reason and round.
pub(super) fn rejected(tables: &Tables<'_>) -> Vec<Block> {
    let mut counts: Vec<((String, String), BTreeMap<u32, i64>)> = Vec::new();
    for table in tables.with(&["reason"]).filter(|table| table.is_rejected()) {
        let mut reasons: BTreeMap<&str, BTreeMap<u32, i64>> = BTreeMap::new();
        for row in &table.rows {
            let reason = table.text(row, "reason").unwrap_or_default();
            *reasons.entry(reason).or_default().entry(row.row.round).or_default() += 1;
        }
        let named = reasons.into_iter().map(|(reason, n)| ((table.step.name.clone(), reason.to_owned()), n));
        counts.extend(named);
    }
    if counts.is_empty() {
        return Vec::new();
    }
    let rounds: BTreeSet<u32> = counts.iter().flat_map(|(_, n)| n.keys().copied()).collect();
    let head = ["step", "reason"].map(str::to_owned).into_iter();
    let row = |((step, reason), n): &((String, String), BTreeMap<u32, i64>)| {
        let n = rounds.iter().map(|round| grouped(n.get(round).copied().unwrap_or_default()));
        [step.clone(), reason.clone()].into_iter().chain(n).collect()
    };
    vec![Block::Table {
        caption: "Rejected rows by reason, in each round (0: of no round)".to_owned(),
        head: head.chain(rounds.iter().map(u32::to_string)).collect(),
        rows: counts.iter().map(row).collect(),
    }]
}
