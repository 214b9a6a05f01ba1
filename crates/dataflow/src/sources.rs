//! What sources have fed, kept where they will be read again: then only what differs is fed.

use std::any::Any;
use std::collections::BTreeMap;

use flow_data::{Heap, Row};

use crate::{InputId, Out, Port, Source, SourceError};

/// What a source knows of its last reading, in a form of its own.
pub type Memory = Option<Box<dyn Any + Send + Sync>>;

/// The rows of one source in the order in which it yields them. Cost: 36 bytes a row, and what the source remembers.
#[derive(Default)]
pub struct SourceRows {
    rows: Vec<Row>,
    rejected: Vec<Row>,
    memory: Memory,
}

impl SourceRows {
    /// What `source` gives now, where it gave `before`.
    ///
    /// # Errors
    /// The source cannot be read.
    pub fn read(source: &dyn Source, heap: &Heap, width: usize, before: &Self) -> Result<Self, SourceError> {
        let mut rows = Self::default();
        let mut feed = |port: Option<Port>, row| rows.add(port, row);
        let memory = source.load_after(heap, before, &mut Out::feeding(heap, width, &mut feed))?;
        Ok(rows.remembering(memory))
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rejected rows.
    pub fn rejected(&self) -> &[Row] {
        &self.rejected
    }

    /// What the source remembers of its reading.
    pub fn memory(&self) -> Option<&(dyn Any + Send + Sync)> {
        self.memory.as_deref()
    }

    /// The same with what the source remembers.
    pub(crate) fn remembering(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// Takes the next row; `None` stands for the port of rejected ones.
    pub(crate) fn add(&mut self, port: Option<Port>, row: Row) {
        if port.is_some() { self.rows.push(row) } else { self.rejected.push(row) }
    }

    /// All rows of the source `node`, each with the input that it belongs to.
    pub(crate) fn inputs(&self, node: usize) -> impl Iterator<Item = (InputId, Row)> {
        let rows = self.rows.iter().map(move |row| (InputId::Rows(node), *row));
        rows.chain(self.rejected.iter().map(move |row| (InputId::Rejected(node), *row)))
    }

    /// What must be fed so that these rows of the source `node` take the place of `before`.
    pub(crate) fn since(&self, before: &Self, node: usize) -> Vec<(InputId, Row, isize)> {
        let rows = differences(&before.rows, &self.rows).map(|(row, diff)| (InputId::Rows(node), row, diff));
        let rejected = differences(&before.rejected, &self.rejected);
        rows.chain(rejected.map(|(row, diff)| (InputId::Rejected(node), row, diff))).collect()
    }
}

/// The difference of two multisets. An edit of a file leaves most of it in place, so that only what lies between the first
/// and the last row that differ is sorted.
fn differences(before: &[Row], now: &[Row]) -> impl Iterator<Item = (Row, isize)> + use<> {
    let same = |(one, other): &(&Row, &Row)| one == other;
    let head = before.iter().zip(now).take_while(same).count();
    let (before, now) = (&before[head..], &now[head..]);
    let tail = before.iter().rev().zip(now.iter().rev()).take_while(same).count();
    let mut changes: BTreeMap<Row, isize> = BTreeMap::new();
    before[..before.len() - tail].iter().for_each(|row| *changes.entry(*row).or_default() -= 1);
    now[..now.len() - tail].iter().for_each(|row| *changes.entry(*row).or_default() += 1);
    changes.into_iter().filter(|(_, diff)| *diff != 0)
}

#[cfg(test)]
mod tests {
    use flow_data::Id;
    use proptest::prelude::*;

    use super::*;

    fn rows(numbers: &[u8]) -> Vec<Row> {
        let row = |n: &u8| Row { round: 0, id: Id::of("row", [[*n].as_slice()]), body: Id::default() };
        numbers.iter().map(row).collect()
    }

    proptest! {
        #[test]
        fn differences_lead_from_one_to_the_other(
            before in prop::collection::vec(0_u8..6, 0..12),
            now in prop::collection::vec(0_u8..6, 0..12),
        ) {
            let (before, now) = (rows(&before), rows(&now));
            let mut counts: BTreeMap<Row, isize> = BTreeMap::new();
            before.iter().for_each(|row| *counts.entry(*row).or_default() += 1);
            for (row, diff) in differences(&before, &now) {
                prop_assert!(diff != 0);
                *counts.entry(row).or_default() += diff;
            }
            now.iter().for_each(|row| *counts.entry(*row).or_default() -= 1);
            prop_assert!(counts.values().all(|count| *count == 0));
        }
    }
}
