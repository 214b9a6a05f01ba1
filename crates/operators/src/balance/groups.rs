//! A floor and a cap for each group.

use flow_data::{Id, Item, encode};
use flow_dataflow::{KeyedOp, Out};

/// Groups with too few rows go; of the others, the first by rank stay.
pub(super) struct Groups {
    column: usize,
    at_least: usize,
    at_most: usize,
    salt: String,
}

impl Groups {
    /// Groups of equal cells of the column `name`, which is at `column`.
    pub(super) fn new(name: &str, column: usize, at_least: Option<u32>, at_most: Option<u32>) -> Self {
        Self {
            column,
            at_least: at_least.map_or(0, |least| least as usize),
            at_most: at_most.map_or(usize::MAX, |most| most as usize),
            salt: format!("balance per {name}"),
        }
    }
}

impl KeyedOp for Groups {
    fn key(&self, item: &Item) -> Id {
        let mut cell = Vec::new();
        encode(&[item.peek(self.column)], &mut cell);
        Id::of("group", [cell.as_slice()])
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        if items.len() < self.at_least {
            let detail = format!("the group has {} rows, fewer than {}", items.len(), self.at_least);
            return items.iter().for_each(|item| out.reject(item, "under_floor", &*detail));
        }
        let ranked = ranked(items, &self.salt);
        let (kept, over) = ranked.split_at(self.at_most.min(ranked.len()));
        kept.iter().for_each(|item| out.pass(0, item));
        let detail = format!("the group has {} rows, more than {}", items.len(), self.at_most);
        over.iter().for_each(|item| out.reject(item, "over_cap", &*detail));
    }
}

/// The items in the order of a hash of their ids.
pub(super) fn ranked<'a>(items: impl IntoIterator<Item = &'a Item>, salt: &str) -> Vec<&'a Item> {
    let mut ranked: Vec<&Item> = items.into_iter().collect();
    ranked.sort_by_cached_key(|item| (item.row.id.ranked(salt), item.row.body));
    ranked
}
