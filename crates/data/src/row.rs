//! What a collection carries for each row, and a row together with the way to its record.

use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};

use crate::record::{Base, Record};
use crate::{Cell, Heap, Id, Value};

/// A round of self-improvement; 0 is before the first, and the round of rows that no round changes.
pub type Round = u32;

/// Who a row is, what it says, which round it belongs to: all that differential collections hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row {
    /// The round that made it; 0 when no round did.
    pub round: Round,
    /// Identity: stays the same while later steps add columns.
    pub id: Id,
    /// Content hash of its record.
    pub body: Id,
}

/// A row and a way to its record: what operators see. Cells are fetched from the heap when they are first asked for.
#[derive(Clone, Debug)]
pub struct Item {
    /// The row.
    pub row: Row,
    heap: Heap,
    record: OnceLock<Arc<Record>>,
}

impl Item {
    /// A new row; its record is put into `heap`.
    pub fn new(heap: &Heap, round: Round, id: Id, cells: Vec<Value>) -> Self {
        Self::load(heap, Row { round, id, body: heap.intern(None, &cells) })
    }

    /// The row with its record from `heap`.
    pub fn load(heap: &Heap, row: Row) -> Self {
        Self { row, heap: heap.clone(), record: OnceLock::new() }
    }

    /// The same row saying more: `cells` follow the present ones.
    #[must_use]
    pub fn extended(&self, heap: &Heap, cells: &[Value]) -> Row {
        self.continued(heap, self.record().len(), cells)
    }

    /// The same row saying something else from its cell `n_cells` on: `cells` follow as many of the present ones, of which
    /// there must be as many.
    #[must_use]
    pub fn continued(&self, heap: &Heap, n_cells: usize, cells: &[Value]) -> Row {
        let base = Base { body: self.row.body, n_cells };
        Row { body: heap.intern(Some(base), cells), ..self.row }
    }

    /// The cell at `at`, decoded at each call; null past the end.
    pub fn cell(&self, at: usize) -> Cell<'_> {
        self.record().cell(&self.heap, at)
    }

    /// All cells in order, decoded at each call. For those who need most of them.
    pub fn cells(&self) -> Vec<Cell<'_>> {
        let mut cells = Vec::with_capacity(self.record().len());
        self.record().cells(&self.heap, &mut cells);
        cells
    }

    /// The cell at `at` by itself; null past the end. For those who need this one only: nothing else is fetched.
    pub fn peek(&self, at: usize) -> Value {
        match self.record.get() {
            Some(record) => record.cell(&self.heap, at).to_value(),
            None => self.heap.cell(self.row.body, at),
        }
    }

    /// The cell at `at`, decoded once with all cells of its record; null past the end.
    pub fn get(&self, at: usize) -> &Value {
        self.record().value(&self.heap, at)
    }

    /// The text at `at`; `None` when the cell is null or no text.
    pub fn text(&self, at: usize) -> Option<&str> {
        match self.cell(at) {
            Cell::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer at `at`; `None` when the cell is null or no integer.
    pub fn int(&self, at: usize) -> Option<i64> {
        match self.cell(at) {
            Cell::Int(value) => Some(value),
            _ => None,
        }
    }

    /// The number at `at`, integers widened; `None` when the cell is null or no number.
    pub fn float(&self, at: usize) -> Option<f64> {
        match self.cell(at) {
            Cell::Float(value) => Some(value),
            Cell::Int(value) => Some(value as f64),
            _ => None,
        }
    }

    fn record(&self) -> &Record {
        self.record.get_or_init(|| self.heap.base(&self.row.body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_keeps_positions_and_changes_the_body() {
        let heap = Heap::new();
        let item = Item::new(&heap, 1, Id::default(), vec![1.into(), "a".into()]);
        let more = [true.into(), Value::Null, 2.5.into()];
        let longer = Item::load(&heap, item.extended(&heap, &more));
        assert_eq!([longer.peek(1), longer.peek(4), longer.peek(5)], ["a".into(), 2.5.into(), Value::Null]);
        assert_eq!((longer.int(0), longer.text(1), longer.float(4)), (Some(1), Some("a"), Some(2.5)));
        assert_eq!([longer.get(2), longer.get(3), longer.get(5)], [&true.into(), &Value::Null, &Value::Null]);
        let cells = longer.cells().into_iter().map(Cell::to_value);
        assert_eq!(cells.collect::<Vec<_>>(), (0..5).map(|at| longer.peek(at)).collect::<Vec<_>>());
        assert_ne!(longer.row.body, item.row.body);
        assert_eq!(longer.row, item.extended(&heap, &more));
    }

    #[test]
    fn a_row_can_go_on_from_its_first_cells() {
        let heap = Heap::new();
        let short = Item::new(&heap, 1, Id::default(), vec![1.into()]);
        let item = Item::load(&heap, short.extended(&heap, &[2.into(), 3.into()]));
        let other = Item::load(&heap, item.continued(&heap, 2, &["x".into()]));
        assert_eq!((other.int(0), other.int(1), other.text(2)), (Some(1), Some(2), Some("x")));
        assert_eq!((other.get(3), other.cells().len()), (&Value::Null, 3));
        assert_ne!(other.row.body, item.extended(&heap, &["x".into()]).body);
        let fresh = item.continued(&heap, 0, &["x".into()]);
        assert_eq!(fresh, Item::new(&heap, 1, Id::default(), vec!["x".into()]).row);
    }
}
