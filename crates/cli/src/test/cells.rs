//! Rows of a test as cells, and cells as the JSON that shows them.

use flow_data::{Column, Columns, Type, Value};
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

/// One cell of `column`. A number is taken as text where the column holds text, as `read` does.
pub(super) fn read(written: &Json, column: &Column) -> Result<Value, String> {
    let cell = match (column.kind, written) {
        (_, Json::Null) => Some(Value::Null),
        (Type::Bool, Json::Bool(value)) => Some(Value::Bool(*value)),
        (Type::Int, Json::Number(number)) => number.as_i64().map(Value::Int),
        (Type::Float, Json::Number(number)) => number.as_f64().map(Value::Float),
        (Type::Text, Json::String(text)) => Some(text.as_str().into()),
        (Type::Text, Json::Number(number)) => Some(number.to_string().into()),
        (Type::Texts, Json::Array(items)) => {
            items.iter().map(Json::as_str).collect::<Option<Vec<_>>>().map(Value::texts)
        }
        (Type::Floats, Json::Array(items)) => {
            let floats = items.iter().map(|item| item.as_f64().map(|float| float as f32));
            floats.collect::<Option<_>>().map(Value::Floats)
        }
        _ => None,
    };
    cell.ok_or_else(|| format!("column `{}` holds {}, not `{written}`", column.name, column.kind))
}

/// A cell as JSON.
pub(super) fn shown(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.to_string().into(),
        Value::Texts(texts) => texts.iter().map(|text| text.to_string()).collect(),
        Value::Floats(floats) => floats.iter().copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn cells_are_read_by_the_type_of_their_column() {
        let read = |kind, written: Json| read(&written, &Column::new("c", kind, true, "C."));
        assert_eq!(read(Type::Text, json!(4)), Ok("4".into()));
        assert_eq!(read(Type::Float, json!(4)), Ok(Value::Float(4.0)));
        assert_eq!(read(Type::Texts, json!(["a"])), Ok(Value::texts(["a"])));
        assert_eq!(read(Type::Int, json!(null)), Ok(Value::Null));
        assert_eq!(read(Type::Int, json!("4")), Err("column `c` holds int, not `\"4\"`".into()));
        assert_eq!(shown(&Value::Floats([0.5].into())), json!([0.5]));
    }
}
