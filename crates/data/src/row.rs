//! What a collection carries for each row, and a row together with its record.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Heap, Id, Record, Value};

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

/// A row with its record at hand: what operators see.
#[derive(Clone, Debug)]
pub struct Item {
    /// The row.
    pub row: Row,
    record: Arc<Record>,
}

impl Item {
    /// A new row; its record is put into `heap`.
    pub fn new(heap: &Heap, round: Round, id: Id, cells: Vec<Value>) -> Self {
        let record = heap.intern(Record::new(None, cells));
        Self { row: Row { round, id, body: record.body() }, record }
    }

    /// The row with its record from `heap`.
    pub fn load(heap: &Heap, row: Row) -> Self {
        Self { row, record: heap.get(&row.body) }
    }

    /// The same row saying more: `cells` follow the present ones.
    #[must_use]
    pub fn extended(&self, heap: &Heap, cells: Vec<Value>) -> Self {
        let record = heap.intern(Record::new(Some(self.record.clone()), cells));
        Self { row: Row { body: record.body(), ..self.row }, record }
    }

    /// The cell at `at`; null past the end.
    pub fn get(&self, at: usize) -> &Value {
        self.record.get(at)
    }

    /// The text at `at`; `None` when the cell is null or no text.
    pub fn text(&self, at: usize) -> Option<&str> {
        match self.get(at) {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The integer at `at`; `None` when the cell is null or no integer.
    pub fn int(&self, at: usize) -> Option<i64> {
        match self.get(at) {
            Value::Int(value) => Some(*value),
            _ => None,
        }
    }

    /// The number at `at`, integers widened; `None` when the cell is null or no number.
    pub fn float(&self, at: usize) -> Option<f64> {
        match self.get(at) {
            Value::Float(value) => Some(*value),
            Value::Int(value) => Some(*value as f64),
            _ => None,
        }
    }
}
