//! Which rows trained which step, as a table beside a checkpoint.

use std::path::Path;
use std::sync::Arc;

use flow_data::{Cell, Id, kind};
use flow_store::{Cells, write_table};

/// The table's file in the folder of a checkpoint.
const FILE: &str = "trained_on.parquet";

/// Writes the table of the checkpoint `model` into its `folder`: for each step the examples that were learned from, which are made of the
/// rows with these `ids`.
pub(super) fn write(
    folder: &Path,
    model: &Id,
    learned: &[Vec<usize>],
    ids: &[Arc<str>],
) -> Result<(), flow_model::Error> {
    let model = model.to_string();
    let of_step = |(step, examples): (i64, &Vec<usize>)| -> Vec<Learned> {
        examples.iter().map(|example| Learned { id: &ids[*example], step, model: &model }).collect()
    };
    let rows: Vec<Learned> = (1..).zip(learned).flat_map(of_step).collect();
    let path = folder.join(FILE);
    write_table(&path, kind("trained_on").columns(), &rows).map_err(|error| {
        flow_model::Error::Write { path, source: std::io::Error::other(crate::text::chain(&error)) }
    })
}

/// A row of the record `trained_on`.
struct Learned<'a> {
    id: &'a str,
    step: i64,
    model: &'a str,
}

impl Cells for Learned<'_> {
    fn cell(&self, at: usize) -> Cell<'_> {
        match at {
            0 => Cell::Text(self.id),
            1 => Cell::Int(self.step),
            _ => Cell::Text(self.model),
        }
    }
}

#[cfg(test)]
mod tests {
    use flow_data::Value;
    use flow_store::read_table;

    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_their_steps() {
        let folder = tempfile::tempdir().unwrap();
        let model = Id::of("model", [b"m".as_slice()]);
        let ids = ["a", "b", "c"].map(Arc::from);
        write(folder.path(), &model, &[vec![2, 0], vec![1], vec![2]], &ids).unwrap();
        let (columns, rows) = read_table(&folder.path().join(FILE)).unwrap();
        assert_eq!(&columns, kind("trained_on").columns());
        let row = |id: &str, step: i64| vec![id.into(), step.into(), Value::from(model.to_string())];
        assert_eq!(rows, [row("c", 1), row("a", 1), row("b", 2), row("c", 3)]);
    }
}
