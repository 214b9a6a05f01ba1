//! What training did: losses, and how tokens spread over experts.

use std::collections::BTreeMap;

use flow_chart::{Axis, Line, LineChart, Point, Scale};
use flow_data::Item;

use super::page::Block;
use super::tables::{Table, Tables};

/// Points of a loss curve: more are averaged.
const POINTS: usize = 120;

/// Losses of every training, and the share of tokens of each expert after the last one, also by the values of columns.
pub(super) fn training(tables: &Tables<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    for table in
        tables.with(&["losses", "n_experts", "expert_load"]).filter(|table| is_the_fullest(table, tables))
    {
        // What was joined has no losses.
        blocks.extend(losses(table).svg().map(Block::Chart));
        blocks.extend(loads(table));
    }
    blocks.extend(tables.with(&["load", "column", "value"]).flat_map(by_value));
    blocks
}

/// Whether no other port of the step tells the domains of the same models.
fn is_the_fullest(table: &Table<'_>, tables: &Tables<'_>) -> bool {
    let of_step = |other: &&Table<'_>| other.step.name == table.step.name && other.has("losses");
    table.has(DOMAIN) || !tables.iter().filter(of_step).any(|other| other.has(DOMAIN))
}

/// The column with what a model was trained for, where a step trains several.
const DOMAIN: &str = "domain";

/// The model of a row among those of its step.
fn named(table: &Table<'_>, row: &Item) -> String {
    match (table.text(row, DOMAIN), row.row.round) {
        (Some(domain), 0) => domain.to_owned(),
        (Some(domain), round) => format!("{domain}, round {round}"),
        (None, 0) => table.step.name.clone(),
        (None, round) => format!("round {round}"),
    }
}

fn losses(table: &Table<'_>) -> LineChart {
    let lines = table.rows.iter().map(|row| {
        let losses = table.floats(row, "losses").unwrap_or_default();
        Line { name: named(table, row), points: smoothed(losses) }
    });
    LineChart {
        caption: format!("`{}`: loss per completion token in nats", table.step.name),
        x: Axis { name: "optimiser step".to_owned(), scale: Scale::Whole },
        y: Axis { name: "loss".to_owned(), scale: Scale::Number },
        lines: lines.filter(|line| !line.points.is_empty()).collect(),
    }
}

/// The curve as means over equal stretches.
fn smoothed(losses: &[f32]) -> Vec<Point> {
    let width = losses.len().div_ceil(POINTS).max(1);
    let stretch = |(at, losses): (usize, &[f32])| {
        let mean = losses.iter().copied().map(f64::from).sum::<f64>() / losses.len() as f64;
        Point { x: (at * width + losses.len()) as f64, y: mean, interval: None }
    };
    losses.chunks(width).enumerate().map(stretch).collect()
}

/// The share of each layer's tokens that every expert got, for each model of the last round; nothing for dense models.
fn loads<'a>(table: &'a Table<'_>) -> impl Iterator<Item = Block> + 'a {
    let last = table.rows.iter().map(|row| row.row.round).max();
    table.rows.iter().filter(move |row| Some(row.row.round) == last).filter_map(|row| load(table, row))
}

fn load(table: &Table<'_>, row: &Item) -> Option<Block> {
    let n_experts = usize::try_from(table.int(row, "n_experts")?).ok().filter(|n| *n > 0)?;
    let load = table.floats(row, "expert_load").filter(|load| !load.is_empty())?;
    let layers = load.chunks(n_experts).enumerate().filter(|(_, shares)| has_experts(shares));
    let rows = layers.map(|(layer, shares)| {
        (format!("layer {layer}"), shares.iter().map(|share| Some(f64::from(*share))).collect())
    });
    Some(Block::Heat {
        caption: format!(
            "`{}`: share of each layer's tokens that an expert got ({})",
            table.step.name,
            named(table, row)
        ),
        head: std::iter::once(String::new()).chain((0..n_experts).map(|at| format!("expert {at}"))).collect(),
        rows: rows.collect(),
    })
}

/// Whether a layer whose experts had these shares has some.
fn has_experts(shares: &[f32]) -> bool {
    shares.iter().any(|share| *share > 0.0)
}

/// Which experts the tokens of rows with each value of a column chose at the end of the last round, column by column: in the first layer and in
/// the last.
fn by_value(table: &Table<'_>) -> Vec<Block> {
    let last = table.rounds().last().map_or(&[][..], |(_, rows)| rows);
    let end = last.iter().filter_map(|row| table.int(row, "last_step")).max();
    let layers = || last.iter().filter_map(|row| table.int(row, "layer"));
    let ends = [layers().min(), layers().max()];
    let mut columns: BTreeMap<&str, BTreeMap<(i64, &str), &[f32]>> = BTreeMap::new();
    for row in last.iter().filter(|row| table.int(row, "last_step") == end) {
        let place = table.int(row, "layer").filter(|layer| ends.contains(&Some(*layer)));
        let named = table.text(row, "column").zip(table.text(row, "value"));
        if let (Some(layer), Some((column, value)), Some(load)) = (place, named, table.floats(row, "load")) {
            columns.entry(column).or_default().insert((layer, value), load);
        }
    }
    let block = |(column, loads): (&str, BTreeMap<(i64, &str), &[f32]>)| {
        let n_experts = loads.values().map(|load| load.len()).max().unwrap_or(0);
        let row = |((layer, value), load): (&(i64, &str), &&[f32])| {
            (format!("layer {layer}: {value}"), load.iter().map(|share| Some(f64::from(*share))).collect())
        };
        Block::Heat {
            caption: format!(
                "`{}`: share of the choices of an expert, by `{column}` of the rows, in the last steps",
                table.step.name
            ),
            head: std::iter::once(String::new())
                .chain((0..n_experts).map(|at| format!("expert {at}")))
                .collect(),
            rows: loads.iter().map(row).collect(),
        }
    };
    columns.into_iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_curves_are_averaged() {
        let losses: Vec<f32> = (0..1000).map(|at| at as f32).collect();
        let points = smoothed(&losses);
        assert!(points.len() <= POINTS);
        assert_eq!((points[0].x, points[0].y), (9.0, 4.0));
        assert_eq!(points.last().map(|point| point.x), Some(1000.0));
        assert_eq!(smoothed(&[2.0, 1.0]).len(), 2);
    }
}
