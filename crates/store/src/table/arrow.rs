//! Columns as Arrow fields and back.

use std::collections::HashMap;

use arrow_schema::{DataType, Field, Fields, Schema};
use flow_data::{Column, Columns, Type};

/// Parquet's own name for what a list holds.
pub(super) const ELEMENT: &str = "element";

const DOC: &str = "doc";

/// The Arrow schema of the visible columns; the `list<text>` column named `chat` becomes a list of messages.
pub(super) fn schema(columns: &Columns, chat: Option<&str>) -> Schema {
    let field = |column: &Column| {
        let kind = match column.kind {
            Type::Texts if chat == Some(&*column.name) => list(DataType::Struct(message())),
            kind => data_type(kind),
        };
        let doc = HashMap::from([(DOC.to_owned(), column.doc.to_string())]);
        Field::new(&*column.name, kind, column.nullable).with_metadata(doc)
    };
    Schema::new(columns.visible().map(|(_, column)| field(column)).collect::<Fields>())
}

fn data_type(kind: Type) -> DataType {
    match kind {
        Type::Bool => DataType::Boolean,
        Type::Int => DataType::Int64,
        Type::Float => DataType::Float64,
        Type::Text => DataType::Utf8,
        Type::Texts => list(DataType::Utf8),
        Type::Floats => list(DataType::Float32),
    }
}

/// The fields of one chat message.
pub(super) fn message() -> Fields {
    ["role", "content"].map(|name| Field::new(name, DataType::Utf8, false)).into_iter().collect()
}

/// What a list of `kind` holds: never null.
pub(super) fn element(kind: DataType) -> Field {
    Field::new(ELEMENT, kind, false)
}

fn list(kind: DataType) -> DataType {
    DataType::List(element(kind).into())
}

/// The column that holds the values of `field`; `None` when no value can.
pub(super) fn column(field: &Field) -> Option<Column> {
    let doc = field.metadata().get(DOC).map_or("", String::as_str);
    Some(Column::new(field.name(), kind(field.data_type())?, field.is_nullable(), doc))
}

fn kind(data_type: &DataType) -> Option<Type> {
    use DataType::*;
    Some(match data_type {
        Boolean => Type::Bool,
        Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 => Type::Int,
        Float32 | Float64 => Type::Float,
        // A column of nulls only says nothing of its type.
        Null | Utf8 | LargeUtf8 | Utf8View => Type::Text,
        Dictionary(_, values) => kind(values)?,
        List(item) | LargeList(item) | FixedSizeList(item, _) => match kind(item.data_type()) {
            Some(Type::Text) => Type::Texts,
            Some(Type::Float) => Type::Floats,
            None if is_message(item.data_type()) => Type::Texts,
            _ => return None,
        },
        _ => return None,
    })
}

/// Whether the type is that of a chat message: a role and a content, both text, in either order.
fn is_message(data_type: &DataType) -> bool {
    let DataType::Struct(fields) = data_type else { return false };
    let text = |name| fields.find(name).is_some_and(|(_, field)| kind(field.data_type()) == Some(Type::Text));
    fields.len() == 2 && text("role") && text("content")
}
