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
        let quotas = self.quotas(values.keys());
        for ((value, items), quota) in values.iter().zip(quotas) {
            keep(items.iter().copied(), quota, "over_quota", value, out);
        }
    }
}

impl Totals {
    /// The rows that each value may have. What equal shares leave over goes to the first values by rank, one each.
    fn quotas<'a>(&self, values: impl ExactSizeIterator<Item = &'a String>) -> Vec<usize> {
        if let Shares::Given(_, shares) = &self.shares {
            let quota =
                |value| shares.get(value).map_or(0, |share| (share * self.rows as f64).round() as usize);
            return values.map(quota).collect();
        }
        let n_values = values.len();
        let mut ranks: Vec<(Id, usize)> =
            values.enumerate().map(|(at, value)| (Id::of("balance quota", [value.as_bytes()]), at)).collect();
        ranks.sort_unstable();
        let mut quotas = vec![self.rows / n_values; n_values];
        ranks.iter().take(self.rows % n_values).for_each(|(_, at)| quotas[*at] += 1);
        quotas
    }
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
