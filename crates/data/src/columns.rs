//! What a record's cells are called and mean.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    /// true or false.
    #[serde(rename = "bool")]
    Bool,
    /// 64-bit integer.
    #[serde(rename = "int")]
    Int,
    /// 64-bit float.
    #[serde(rename = "float")]
    Float,
    /// UTF-8 text.
    #[serde(rename = "text")]
    Text,
    /// List of UTF-8 texts.
    #[serde(rename = "list<text>")]
    Texts,
    /// List of 32-bit floats.
    #[serde(rename = "list<float>")]
    Floats,
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Float => "float",
            Type::Text => "text",
            Type::Texts => "list<text>",
            Type::Floats => "list<float>",
        })
    }
}

/// One named, typed cell of a record kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// Name, snake_case.
    pub name: Arc<str>,
    /// Type.
    #[serde(rename = "type")]
    pub kind: Type,
    /// Whether a row may leave it empty.
    #[serde(default)]
    pub nullable: bool,
    /// What the value means, with its unit and range.
    pub doc: Arc<str>,
}

impl Column {
    /// A column.
    pub fn new(name: &str, kind: Type, nullable: bool, doc: &str) -> Self {
        Self { name: name.into(), kind, nullable, doc: doc.into() }
    }
}

/// The columns of a record, by position. A later column hides an earlier one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Columns(Arc<[Column]>);

impl Columns {
    /// Columns in the order of the record's cells.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self(columns.into_iter().collect())
    }

    /// Number of cells, hidden ones included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no column.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The position of the visible column `name`.
    pub fn index(&self, name: &str) -> Option<usize> {
        self.0.iter().rposition(|column| &*column.name == name)
    }

    /// The visible column `name`.
    pub fn get(&self, name: &str) -> Option<&Column> {
        self.index(name).map(|at| &self.0[at])
    }

    /// Every visible column with its position, in order.
    pub fn visible(&self) -> impl Iterator<Item = (usize, &Column)> {
        self.0.iter().enumerate().filter(|(at, column)| self.index(&column.name) == Some(*at))
    }

    /// The names of the visible columns, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.visible().map(|(_, column)| &*column.name)
    }

    /// These columns followed by `more`.
    #[must_use]
    pub fn extended(&self, more: &Columns) -> Columns {
        Columns(self.0.iter().chain(more.0.iter()).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_column_hides_an_earlier_one() {
        let a = Columns::new([
            Column::new("x", Type::Int, false, "First."),
            Column::new("y", Type::Text, false, "Other."),
        ]);
        let both = a.extended(&Columns::new([Column::new("x", Type::Float, false, "Second.")]));
        assert_eq!(both.index("x"), Some(2));
        assert_eq!(both.get("x").unwrap().kind, Type::Float);
        assert_eq!(both.names().collect::<Vec<_>>(), ["y", "x"]);
    }
}
