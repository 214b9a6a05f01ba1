//! What a row says: an immutable chain of cells.

use std::sync::Arc;

use crate::{Id, Value, encode};

/// Cells by position. A record made by appending columns shares the cells of the record it extends.
#[derive(Debug)]
pub struct Record {
    base: Option<Arc<Record>>,
    offset: usize,
    cells: Box<[Value]>,
    body: Id,
}

impl Record {
    /// `base` followed by `cells`. The body is the hash of the base's body and the new cells' encoding.
    pub fn new(base: Option<Arc<Record>>, cells: Vec<Value>) -> Self {
        let mut bytes = Vec::new();
        encode(&cells, &mut bytes);
        let parent = base.as_ref().map_or(Id::default(), |base| base.body);
        Self {
            body: Id::of("record", [parent.0.as_slice(), &bytes]),
            offset: base.as_ref().map_or(0, |base| base.len()),
            cells: cells.into(),
            base,
        }
    }

    /// The content hash.
    pub fn body(&self) -> Id {
        self.body
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.offset + self.cells.len()
    }

    /// Whether there is no cell.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The cell at `at`; null past the end.
    pub fn get(&self, at: usize) -> &Value {
        let mut record = self;
        while at < record.offset {
            record = record.base.as_ref().expect("a record with an offset extends another");
        }
        record.cells.get(at - record.offset).unwrap_or(&Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extension_keeps_positions_and_changes_the_body() {
        let base = Arc::new(Record::new(None, vec![1.into(), "a".into()]));
        let longer = Record::new(Some(base.clone()), vec![true.into()]);
        assert_eq!(longer.len(), 3);
        assert_eq!(longer.get(1), &"a".into());
        assert_eq!(longer.get(2), &true.into());
        assert_eq!(longer.get(3), &Value::Null);
        assert_ne!(longer.body(), base.body());
        assert_eq!(longer.body(), Record::new(Some(base), vec![true.into()]).body());
    }
}
