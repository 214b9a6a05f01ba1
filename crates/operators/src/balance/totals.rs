//! A total for each round, and shares of it.

use std::collections::BTreeMap;

use flow_data::{Id, Item};
use flow_dataflow::{KeyedOp, Out};

use super::groups::ranked;
use super::label;

/// At most `rows` rows of a round.
pub(super) struct Totals {
    pub(super) rows: usize,
    pub(super) shares: Shares,
}

/// How the rows of a round are shared out.
pub(super) enum Shares {
    /// Not at all.
    None,
    /// Equally among the values of this column that the round has.
    Equal(usize),
    /// As given for values of this column.
    Given(usize, BTreeMap<String, f64>),
}

impl KeyedOp for Totals {
    fn key(&self, _: &Item) -> Id {
        Id::default()
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        let column = match self.shares {
            Shares::None => return keep(items, self.rows, "over_total", "the round", out),
            Shares::Equal(column) | Shares::Given(column, _) => column,
        };
        let mut values: BTreeMap<String, Vec<&Item>> = BTreeMap::new();
        items.iter().for_each(|item| values.entry(label(item, column)).or_default().push(item));
        let quotas = match &self.shares {
            Shares::Given(_, shares) => apportion(self.rows, shares),
            _ => apportion(self.rows, &equal(values.keys())),
        };
        for (value, items) in &values {
            let quota = quotas.get(value).copied().unwrap_or(0);
            keep(items.iter().copied(), quota, "over_quota", value, out);
        }
    }
}

fn equal<'a>(values: impl ExactSizeIterator<Item = &'a String>) -> BTreeMap<String, f64> {
    let share = 1.0 / values.len() as f64;
    values.map(|value| (value.clone(), share)).collect()
}

/// The rows that each value may have, by the method of largest remainders: the whole part of `rows · share`, and one more
/// for those with the largest rest, the first by rank among equals, until the shares together have what they sum to.
/// Never more than `rows` together, also where `shares` sum to more than 1 by rounding.
fn apportion(rows: usize, shares: &BTreeMap<String, f64>) -> BTreeMap<String, usize> {
    let sum: f64 = shares.values().sum();
    let rows = rows as f64 / sum.max(1.0);
    let whole: f64 = shares.values().map(|share| (rows * share).floor()).sum();
    let left = ((rows * sum).round() - whole) as usize;
    let mut rests: Vec<(f64, Id, &String)> = shares
        .iter()
        .map(|(value, share)| ((rows * share).fract(), Id::of("balance quota", [value.as_bytes()]), value))
        .collect();
    rests.sort_by(|(rest, rank, _), (other, other_rank, _)| other.total_cmp(rest).then(rank.cmp(other_rank)));
    let quota = |(at, (_, _, value)): (usize, &(f64, Id, &String))| {
        ((*value).clone(), (rows * shares[*value]) as usize + usize::from(at < left))
    };
    rests.iter().enumerate().map(quota).collect()
}

/// The first `most` items by rank stay.
fn keep<'a>(
    items: impl IntoIterator<Item = &'a Item>,
    most: usize,
    reason: &str,
    whose: &str,
    out: &mut Out<'_>,
) {
    let ranked = ranked(items, "balance total");
    let (kept, over) = ranked.split_at(most.min(ranked.len()));
    kept.iter().for_each(|item| out.pass(0, item));
    let detail = format!("{whose} has {} rows, more than {most}", ranked.len());
    over.iter().for_each(|item| out.reject(item, reason, &*detail));
}
