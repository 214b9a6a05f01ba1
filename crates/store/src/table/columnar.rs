//! Rows to one Arrow array per column.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder, StringBuilder, StructBuilder};
use arrow_array::{ArrayRef, BooleanArray, Float64Array, Int64Array, StringArray};
use arrow_schema::DataType;
use flow_data::{Cell, Column, Columns, Floats, Texts, Type};

use super::Cells;
use super::arrow::{element, message};
use crate::{Error, parallel};

/// The most one cell may hold, in bytes; Arrow counts the bytes of a whole array in 31 bits.
const CELL_BYTES: usize = 1 << 30;

/// Rows whose arrays take longer to make than threads to start.
const WORTH_THREADS: usize = 512;

/// The arrays of the visible columns. `first` is the position of the first row, for errors.
pub(super) fn arrays<R: Cells + Sync>(
    columns: &Columns,
    chat: Option<&str>,
    rows: &[R],
    first: usize,
    threads: usize,
) -> Result<Vec<ArrayRef>, Error> {
    let array = |&(at, column): &(usize, &Column)| {
        let chat = chat == Some(&*column.name) && column.kind == Type::Texts;
        let source = Source { column, chat, first };
        source.array(|| rows.iter().map(move |row| row.cell(at)))
    };
    let threads = if rows.len() < WORTH_THREADS { 1 } else { threads };
    parallel::map(&columns.visible().collect::<Vec<_>>(), threads, array).into_iter().collect()
}

/// The size of a cell in bytes, roughly.
pub(super) fn size(cell: Cell<'_>) -> usize {
    match cell {
        Cell::Text(text) => text.len(),
        Cell::Texts(texts) => texts.iter().map(|text| text.len() + size_of::<i32>()).sum(),
        Cell::Floats(floats) => floats.len() * size_of::<f32>(),
        _ => size_of::<i64>(),
    }
}

/// The column that cells come from.
struct Source<'a> {
    column: &'a Column,
    chat: bool,
    first: usize,
}

impl Source<'_> {
    fn array<'v, I: Iterator<Item = Cell<'v>>>(&self, cells: impl Fn() -> I) -> Result<ArrayRef, Error> {
        Ok(match self.column.kind {
            Type::Bool => Arc::new(BooleanArray::from(self.fit(cells(), bool)?)),
            Type::Int => Arc::new(Int64Array::from(self.fit(cells(), int)?)),
            Type::Float => Arc::new(Float64Array::from(self.fit(cells(), float)?)),
            Type::Text => Arc::new(StringArray::from(self.fit(cells(), text)?)),
            Type::Texts if self.chat => messages(self.fit(cells(), turns)?),
            Type::Texts => text_lists(self.fit(cells(), texts)?),
            Type::Floats => float_lists(self.fit(cells(), floats)?),
        })
    }

    /// What `get` takes out of each cell; the first cell that it takes nothing out of is an error.
    fn fit<'v, T>(
        &self,
        cells: impl Iterator<Item = Cell<'v>>,
        get: impl Fn(Cell<'v>) -> Option<T>,
    ) -> Result<Vec<Option<T>>, Error> {
        let fit = |(n, cell): (usize, Cell<'v>)| match cell {
            Cell::Null if self.column.nullable => Ok(None),
            cell if size(cell) > CELL_BYTES => Err(self.misfit(n, cell)),
            cell => get(cell).map(Some).ok_or_else(|| self.misfit(n, cell)),
        };
        cells.enumerate().map(fit).collect()
    }

    fn misfit(&self, n: usize, cell: Cell<'_>) -> Error {
        let expected = match self.column.kind {
            _ if self.chat => "list<text> of roles and contents in turn".to_owned(),
            kind => kind.to_string(),
        };
        let found = match cell.to_value().kind() {
            None => "null".to_owned(),
            Some(kind) if size(cell) > CELL_BYTES => format!("{kind} of {} bytes", size(cell)),
            Some(kind) if self.chat && kind == Type::Texts => "an odd number of texts".to_owned(),
            Some(kind) => kind.to_string(),
        };
        Error::Misfit { column: self.column.name.to_string(), row: self.first + n, expected, found }
    }
}

fn bool(cell: Cell<'_>) -> Option<bool> {
    if let Cell::Bool(value) = cell { Some(value) } else { None }
}

fn int(cell: Cell<'_>) -> Option<i64> {
    if let Cell::Int(value) = cell { Some(value) } else { None }
}

fn float(cell: Cell<'_>) -> Option<f64> {
    if let Cell::Float(value) = cell { Some(value) } else { None }
}

fn text(cell: Cell<'_>) -> Option<&str> {
    if let Cell::Text(text) = cell { Some(text) } else { None }
}

fn texts(cell: Cell<'_>) -> Option<Texts<'_>> {
    if let Cell::Texts(texts) = cell { Some(texts) } else { None }
}

fn turns(cell: Cell<'_>) -> Option<Texts<'_>> {
    texts(cell).filter(|texts| texts.len() % 2 == 0)
}

fn floats(cell: Cell<'_>) -> Option<Floats<'_>> {
    if let Cell::Floats(floats) = cell { Some(floats) } else { None }
}

fn text_lists(lists: Vec<Option<Texts<'_>>>) -> ArrayRef {
    let mut array = ListBuilder::new(StringBuilder::new()).with_field(element(DataType::Utf8));
    for list in lists {
        list.into_iter().flat_map(Texts::iter).for_each(|text| array.values().append_value(text));
        array.append(list.is_some());
    }
    Arc::new(array.finish())
}

fn float_lists(lists: Vec<Option<Floats<'_>>>) -> ArrayRef {
    let mut array = ListBuilder::new(Float32Builder::new()).with_field(element(DataType::Float32));
    for list in lists {
        list.into_iter().flat_map(Floats::iter).for_each(|float| array.values().append_value(float));
        array.append(list.is_some());
    }
    Arc::new(array.finish())
}

fn messages(lists: Vec<Option<Texts<'_>>>) -> ArrayRef {
    let fields = message();
    let turns = StructBuilder::from_fields(fields.clone(), lists.len());
    let mut array = ListBuilder::new(turns).with_field(element(DataType::Struct(fields)));
    for list in lists {
        // The texts are roles and contents in turn, of equal number.
        for (at, text) in list.into_iter().flat_map(Texts::iter).enumerate() {
            let field = array.values().field_builder::<StringBuilder>(at % 2);
            field.expect("both fields of a message are Utf8").append_value(text);
            if at % 2 == 1 {
                array.values().append(true);
            }
        }
        array.append(list.is_some());
    }
    Arc::new(array.finish())
}
