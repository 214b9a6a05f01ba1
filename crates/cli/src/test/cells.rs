//! Rows of a test as cells.

use flow_data::{Column, Columns, Value};
use flow_operators::cells::{fit, from_json};
use flow_plan::codes::COLUMN_TYPE;
use flow_spec::Diagnostic;
use serde_json::Value as Json;

use crate::pipeline::Pipeline;

/// The rows under `path` as cells of `columns`; a column that a row does not name is null.
pub(super) fn read_all(
    pipeline: &Pipeline,
    path: &str,
    rows: &[Json],
    columns: &Columns,
) -> Result<Vec<Vec<Value>>, Vec<Diagnostic>> {
    let mut mistakes = Vec::new();
    let read = rows.iter().enumerate().map(|(at, row)| {
        let mut cells = vec![Value::Null; columns.len()];
        for (position, column) in columns.visible() {
            let Some(written) = row.get(&*column.name) else { continue };
            match read(written, column) {
                Ok(cell) => cells[position] = cell,
                Err(words) => {
                    let place = format!("{path}.{at}.{}", column.name);
                    mistakes.push(pipeline.mistake(&COLUMN_TYPE, &place, words));
                }
            }
        }
        cells
    });
    let read = read.collect();
    if mistakes.is_empty() { Ok(read) } else { Err(mistakes) }
}

/// One cell of `column`, read as `read` does from a file.
pub(super) fn read(written: &Json, column: &Column) -> Result<Value, String> {
    from_json(written)
        .and_then(|value| fit(value, column.kind))
        .map_err(|found| format!("column `{}` holds {}, not {found}", column.name, column.kind))
}

#[cfg(test)]
mod tests {
    use flow_data::Type;
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_read_by_the_type_of_their_column() {
        let read = |kind, written: Json| read(&written, &Column::new("c", kind, true, "C."));
        assert_eq!(read(Type::Text, json!(4)), Ok("4".into()));
        assert_eq!(read(Type::Float, json!(4)), Ok(Value::Float(4.0)));
        assert_eq!(read(Type::Texts, json!(["a"])), Ok(Value::texts(["a"])));
        assert_eq!(read(Type::Int, json!(null)), Ok(Value::Null));
        let expected = "column `c` holds int, not a text without a number at its end";
        assert_eq!(read(Type::Int, json!("four")), Err(expected.into()));
    }
}
