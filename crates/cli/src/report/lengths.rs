//! How long completions are, how sure the model was, how many say the same.

use std::collections::BTreeSet;

use flow_chart::percent;
use flow_data::Item;

use super::page::Block;
use super::tables::{Table, Tables};
use crate::columns::grouped;

/// A line for every round of every port that holds completions.
pub(super) fn completions(tables: &Tables<'_>) -> Vec<Block> {
    let ports = tables.with(&["completion", "prompt_id"]).filter(|table| !table.is_rejected());
    let rows: Vec<Vec<String>> = ports
        .flat_map(|table| table.rounds().map(|(round, rows)| row(table, round, rows)).collect::<Vec<_>>())
        .collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let head = [
        "rows of",
        "round",
        "rows",
        "mean tokens",
        "median",
        "95th",
        "cut short",
        "perplexity",
        "duplicates",
    ];
    vec![
        Block::Table {
            caption: "Completions: tokens as drawn, the model's own perplexity, and how many repeat another of the same prompt"
                .to_owned(),
            head: head.map(str::to_owned).into(),
            rows,
        },
    ]
}

fn row(table: &Table<'_>, round: u32, rows: &[Item]) -> Vec<String> {
    let mut lengths: Vec<i64> = rows.iter().filter_map(|row| table.int(row, "n_tokens")).collect();
    lengths.sort_unstable();
    let quantile = |share: f64| lengths.get(((lengths.len() as f64 - 1.0) * share).round() as usize).copied();
    let mean = (!lengths.is_empty()).then(|| lengths.iter().sum::<i64>() as f64 / lengths.len() as f64);
    let told = |n: Option<i64>| n.map(grouped).unwrap_or_default();
    vec![
        table.name(),
        round.to_string(),
        grouped(i64::try_from(rows.len()).unwrap_or(i64::MAX)),
        mean.map(|mean| format!("{mean:.1}")).unwrap_or_default(),
        told(quantile(0.5)),
        told(quantile(0.95)),
        cut(table, rows).map(percent).unwrap_or_default(),
        perplexity(table, rows).map(|perplexity| format!("{perplexity:.2}")).unwrap_or_default(),
        percent(duplicates(table, rows)),
    ]
}

/// Share of the rows that the token limit ended, of those of which it is known.
fn cut(table: &Table<'_>, rows: &[Item]) -> Option<f64> {
    let reasons: Vec<&str> = rows.iter().filter_map(|row| table.text(row, "finish_reason")).collect();
    let cut = reasons.iter().filter(|reason| **reason == "length").count();
    (!reasons.is_empty()).then(|| cut as f64 / reasons.len() as f64)
}

/// exp of the mean negative log-probability of a token; nothing where none was recorded.
fn perplexity(table: &Table<'_>, rows: &[Item]) -> Option<f64> {
    let (mut sum, mut n) = (0.0, 0_u64);
    for logprobs in rows.iter().filter_map(|row| table.floats(row, "logprobs")) {
        sum += logprobs.iter().copied().map(f64::from).sum::<f64>();
        n += logprobs.len() as u64;
    }
    (n > 0).then(|| (-sum / n as f64).exp())
}

/// Share of the rows whose completion another row of the same prompt has too, the first of them not counted.
fn duplicates(table: &Table<'_>, rows: &[Item]) -> f64 {
    let distinct: BTreeSet<_> =
        rows.iter().map(|row| (table.text(row, "prompt_id"), table.text(row, "completion"))).collect();
    1.0 - distinct.len() as f64 / rows.len() as f64
}
