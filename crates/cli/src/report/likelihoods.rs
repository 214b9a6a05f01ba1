//! How well models predict given texts: perplexities of steps beside each other, over rounds, and by group.

use flow_chart::{Axis, Dot, DotChart, Line, LineChart, Point, Scale};
use flow_data::Item;

use super::page::Block;
use super::tables::{Table, Tables};

/// The perplexities of all `perplexity` steps: one chart over all texts, and a table of groups for each.
pub(super) fn likelihoods(tables: &Tables<'_>) -> Vec<Block> {
    let tables: Vec<&Table<'_>> = tables.with(&["perplexity", "group", "n_tokens"]).collect();
    let by_round = tables.iter().any(|table| table.rounds().count() > 1);
    let chart = if by_round { over_rounds(&tables).svg() } else { beside(&tables).svg() };
    chart.map(Block::Chart).into_iter().chain(tables.iter().map(|table| of_groups(table))).collect()
}

/// The mean over all groups of each round.
fn overall<'a>(table: &'a Table<'_>) -> impl Iterator<Item = Point> + 'a {
    let rows = table.rows.iter().filter(|row| table.text(row, "group").is_none());
    rows.filter_map(|row| {
        Some(Point {
            x: row.row.round.into(),
            y: table.float(row, "perplexity")?,
            interval: table.float(row, "low").zip(table.float(row, "high")),
        })
    })
}

fn over_rounds(tables: &[&Table<'_>]) -> LineChart {
    let line = |table: &&Table<'_>| Line { name: table.step.name.clone(), points: overall(table).collect() };
    LineChart {
        caption: "perplexity after each round, with 95 % intervals over problems".to_owned(),
        x: Axis { name: "round".to_owned(), scale: Scale::Whole },
        y: Axis { name: "perplexity".to_owned(), scale: Scale::Number },
        lines: tables.iter().map(line).collect(),
    }
}

fn beside(tables: &[&Table<'_>]) -> DotChart {
    let dot = |(at, table): (usize, &&Table<'_>)| {
        let Point { y: value, interval, .. } = overall(table).next()?;
        let range = interval.unwrap_or((value, value));
        Some(Dot { name: table.step.name.clone(), group: at, value, range })
    };
    DotChart {
        caption: "perplexity of the same kind of texts, with 95 % intervals over problems".to_owned(),
        x: Axis { name: "perplexity".to_owned(), scale: Scale::Number },
        dots: tables.iter().enumerate().filter_map(dot).collect(),
    }
}

fn of_groups(table: &Table<'_>) -> Block {
    let row = |row: &Item| {
        let told = |name| table.float(row, name).map_or_else(String::new, |value| format!("{value:.4}"));
        let int = |name| table.int(row, name).unwrap_or_default();
        vec![
            row.row.round.to_string(),
            table.text(row, "group").unwrap_or("mean of all").to_owned(),
            told("perplexity"),
            format!("{} to {}", told("low"), told("high")),
            crate::columns::grouped(int("n_problems")),
            crate::columns::grouped(int("n_tokens")),
        ]
    };
    let mut rows: Vec<Vec<String>> = table.rows.iter().map(row).collect();
    rows.sort_by_key(|row| (row[0].parse::<u32>().unwrap_or_default(), row[1].clone()));
    Block::Table {
        caption: format!("`{}` in figures", table.step.name),
        head: ["round", "texts", "perplexity", "95 % interval", "problems", "tokens"]
            .map(str::to_owned)
            .into(),
        rows,
    }
}
