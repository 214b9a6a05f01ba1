//! Rows to the bytes of one Parquet file; equal rows give equal bytes.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::RecordBatch;
use flow_data::{Cell, Columns, Texts, Type};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::arrow::{ELEMENT, schema};
use super::{Cells, columnar};
use crate::Error;

/// Pinned, so that a new release of Flow or of the encoder's crate changes no digest by its name alone.
const CREATED_BY: &str = "flow version 1.0.0";

const GROUP_ROWS: usize = 1 << 17;
const GROUP_BYTES: usize = 64 << 20;
const BATCH_ROWS: usize = 4096;
const BATCH_BYTES: usize = 64 << 20;
const SAMPLED_CELLS: usize = 1024;
const ZSTD_LEVEL: i32 = 3;

/// Columns that readers look single rows up by.
const LOOKED_UP: [&str; 2] = ["row_id", "prompt_id"];

/// How a part is laid out, beside its columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Layout<'a> {
    /// The `list<text>` column of alternating roles and contents to be written as a list of
    /// `{role, content}`, the chat form that trainers read. Default: none.
    pub chat: Option<&'a str>,
    /// Key-value pairs for the footer, kept in this order. Default: none.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// The bytes of a Parquet file that holds the visible `columns` of `rows`, in this order.
///
/// zstd level 3, page index, a bloom filter on `row_id` and `prompt_id`, row groups of at most 131,072 rows and about
/// 64 MiB. A column is dictionary-encoded when its first 1024 texts repeat at least twice on average: labels are,
/// completions are not. Bytes depend on the arguments only.
///
/// Errs when a cell does not fit its column: another type, null where the column is not nullable, more than 1 GiB,
/// or an odd number of texts in a chat. Cost: holds the encoded file and one row group being encoded; columns are made
/// ready by up to `threads` threads, which have no influence on the bytes.
pub fn encode_part<R: Cells + Sync>(
    columns: &Columns,
    rows: &[R],
    layout: &Layout<'_>,
    threads: usize,
) -> Result<Vec<u8>, Error> {
    let schema = Arc::new(schema(columns, layout.chat));
    let properties = properties(columns, rows, layout)?;
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema.clone(), Some(properties)).map_err(Error::Encode)?;
    let mut done = 0;
    while done < rows.len() {
        let batch = &rows[done..done + batch_len(columns, &rows[done..])];
        let arrays = columnar::arrays(columns, layout.chat, batch, done, threads)?;
        let arrow = RecordBatch::try_new(schema.clone(), arrays).map_err(ParquetError::from);
        arrow.and_then(|arrow| writer.write(&arrow)).map_err(Error::Encode)?;
        done += batch.len();
    }
    writer.into_inner().map_err(Error::Encode)
}

/// How many of the leading `rows` go into one batch: at least one.
fn batch_len<R: Cells>(columns: &Columns, rows: &[R]) -> usize {
    let mut bytes = 0;
    let fits = |row: &&R| {
        bytes += columns.visible().map(|(at, _)| columnar::size(row.cell(at))).sum::<usize>();
        bytes <= BATCH_BYTES
    };
    rows.iter().take(BATCH_ROWS).take_while(fits).count().max(1)
}

fn properties<R: Cells>(
    columns: &Columns,
    rows: &[R],
    layout: &Layout<'_>,
) -> Result<WriterProperties, Error> {
    let zstd = ZstdLevel::try_new(ZSTD_LEVEL).map_err(Error::Encode)?;
    let pair = |&(key, value): &(&str, &str)| KeyValue::new(key.to_owned(), value.to_owned());
    let pairs: Vec<_> = layout.metadata.iter().map(pair).collect();
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(zstd))
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_key_value_metadata((!pairs.is_empty()).then_some(pairs));
    for (at, column) in columns.visible() {
        properties = if layout.chat == Some(&*column.name) && column.kind == Type::Texts {
            properties.set_column_dictionary_enabled(leaf(&[&column.name, "list", ELEMENT, "content"]), false)
        } else {
            let labels = || are_labels(column.kind, rows.len(), rows.iter().map(|row| row.cell(at)));
            column_properties(properties, &column.name, column.kind, labels)
        };
        if LOOKED_UP.contains(&&*column.name) && column.kind == Type::Text {
            let n_keys = rows.len().clamp(1, GROUP_ROWS) as u64;
            properties = properties.set_column_bloom_filter_max_ndv(leaf(&[&column.name]), n_keys);
        }
    }
    Ok(properties.build())
}

/// Turns the dictionary off where values do not repeat: the encoder would fill one and give it up.
fn column_properties(
    properties: WriterPropertiesBuilder,
    name: &str,
    kind: Type,
    labels: impl Fn() -> bool,
) -> WriterPropertiesBuilder {
    let path = match kind {
        Type::Texts | Type::Floats => leaf(&[name, "list", ELEMENT]),
        _ => leaf(&[name]),
    };
    let dictionary = match kind {
        Type::Bool | Type::Int => true,
        Type::Float | Type::Floats => false,
        Type::Text | Type::Texts => labels(),
    };
    properties.set_column_dictionary_enabled(path, dictionary)
}

fn leaf(path: &[&str]) -> ColumnPath {
    ColumnPath::new(path.iter().map(|&name| name.to_owned()).collect())
}

/// Whether the first texts among `cells` repeat at least twice on average.
fn are_labels<'a>(kind: Type, n_rows: usize, cells: impl Iterator<Item = Cell<'a>>) -> bool {
    // A row has at most one text, unless it has lists of them.
    let most = if kind == Type::Text { n_rows.min(SAMPLED_CELLS) } else { SAMPLED_CELLS };
    let texts = cells.flat_map(|cell| {
        let (one, list) = match cell {
            Cell::Text(text) => (Some(text), None),
            Cell::Texts(texts) => (None, Some(texts)),
            _ => (None, None),
        };
        one.into_iter().chain(list.into_iter().flat_map(Texts::iter))
    });
    let (mut n_cells, mut distinct) = (0, HashSet::new());
    for text in texts.take(SAMPLED_CELLS) {
        n_cells += 1;
        distinct.insert(text);
        if 2 * distinct.len() > most {
            return false;
        }
    }
    2 * distinct.len() <= n_cells
}
