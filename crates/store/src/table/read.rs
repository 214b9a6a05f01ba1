//! Parquet files, ours and others', as batches of rows.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_schema::Fields;
use flow_data::{Column, Columns, Value};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::arrow::{ARROW_SCHEMA_META_KEY, ProjectionMask};

use super::{arrow, decode};
use crate::{Error, guard};

const BATCH_ROWS: usize = 1024;

/// Yields the rows of a Parquet file, 1024 at a time: one value per column, in the order of [`TableReader::columns`].
///
/// Reads text (UTF-8, large, view, dictionary), integers of any width, 32- and 64-bit floats, truth, lists of text and
/// of floats (64 bits are rounded to 32), and lists of `{role, content}` as roles and contents in turn. A cell that no
/// value can hold (an unsigned integer of 2^63 or more, a null within a list) is an error naming its row. The iteration
/// ends with the first error.
pub struct TableReader {
    path: PathBuf,
    columns: Columns,
    /// Where each column lies in the batches of `batches`.
    sources: Vec<usize>,
    batches: ParquetRecordBatchReader,
    metadata: Vec<(String, String)>,
    n_rows: u64,
    n_read: usize,
    failed: bool,
}

impl TableReader {
    /// Opens the file at `path`; reads only the columns named in `select`, in that order, or all of them.
    ///
    /// Errs when the file is no whole Parquet file, when a name is unknown and when a column to be read has a type that
    /// no value can hold.
    pub fn open(path: &Path, select: Option<&[&str]>) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let builder = guarded(path, || ParquetRecordBatchReaderBuilder::try_new(file))?;

        let fields = builder.schema().fields().clone();
        let roots = roots(path, &fields, select)?;
        let columns = roots.iter().map(|&root| column(path, &fields, root)).collect::<Result<Vec<_>, _>>()?;
        let sources = roots.iter().map(|root| roots.iter().filter(|other| *other < root).count()).collect();
        let footer = builder.metadata().file_metadata();
        let pairs = footer.key_value_metadata().into_iter().flatten();
        let pairs = pairs.filter(|pair| pair.key != ARROW_SCHEMA_META_KEY);
        let metadata = pairs.map(|pair| (pair.key.clone(), pair.value.clone().unwrap_or_default())).collect();
        let n_rows = footer.num_rows().unsigned_abs();

        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let builder = builder.with_projection(mask).with_batch_size(BATCH_ROWS);
        let batches = guarded(path, || builder.build())?;
        let path = path.to_owned();
        Ok(Self {
            path,
            columns: Columns::new(columns),
            sources,
            batches,
            metadata,
            n_rows,
            n_read: 0,
            failed: false,
        })
    }

    /// The columns that are read.
    pub fn columns(&self) -> &Columns {
        &self.columns
    }

    /// Rows in the whole file.
    pub fn n_rows(&self) -> u64 {
        self.n_rows
    }

    /// The key-value pairs of the footer, its copy of the Arrow schema left out.
    pub fn metadata(&self) -> &[(String, String)] {
        &self.metadata
    }

    fn rows(&mut self, batch: &arrow_array::RecordBatch) -> Result<Vec<Vec<Value>>, Error> {
        let cells = |(source, (_, column)): (&usize, (usize, &Column))| {
            decode::values(batch.column(*source)).map(Vec::into_iter).map_err(|unfit| Error::Cell {
                path: self.path.clone(),
                column: column.name.to_string(),
                row: self.n_read + unfit.at,
                reason: unfit.reason,
            })
        };
        let columns = self.sources.iter().zip(self.columns.visible());
        let mut columns = columns.map(cells).collect::<Result<Vec<_>, _>>()?;
        self.n_read += batch.num_rows();
        let mut row = |_| columns.iter_mut().map(|cells| cells.next().unwrap_or(Value::Null)).collect();
        Ok((0..batch.num_rows()).map(&mut row).collect())
    }
}

impl Iterator for TableReader {
    type Item = Result<Vec<Vec<Value>>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let batch = guarded(&self.path, || self.batches.next().transpose()).transpose()?;
        let rows = batch.and_then(|batch| self.rows(&batch));
        self.failed = rows.is_err();
        Some(rows)
    }
}

/// All columns and rows of a Parquet file. Errs as [`TableReader`] does.
pub fn read_table(path: &Path) -> Result<(Columns, Vec<Vec<Value>>), Error> {
    let reader = TableReader::open(path, None)?;
    let columns = reader.columns().clone();
    let batches = reader.collect::<Result<Vec<_>, _>>()?;
    Ok((columns, batches.into_iter().flatten().collect()))
}

/// What `decode` returns; an error instead of a panic, by which the decoder answers some damaged files.
fn guarded<T, E>(path: &Path, decode: impl FnOnce() -> Result<T, E>) -> Result<T, Error>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let source = match guard::guarded(decode) {
        Some(Ok(decoded)) => return Ok(decoded),
        Some(Err(error)) => error.into(),
        None => "the decoder gave up on damaged data".into(),
    };
    Err(Error::Parquet { path: path.to_owned(), source })
}

/// The positions of the selected fields, each once; of fields of one name the last.
fn roots(path: &Path, fields: &Fields, select: Option<&[&str]>) -> Result<Vec<usize>, Error> {
    let position = |name: &str| fields.iter().rposition(|field| field.name() == name);
    let Some(select) = select else {
        return Ok((0..fields.len()).filter(|&at| position(fields[at].name()) == Some(at)).collect());
    };
    let missing = |name: &str| {
        let known: Vec<_> = fields.iter().map(|field| field.name().as_str()).collect();
        Error::NoColumn { path: path.to_owned(), column: name.to_owned(), known: known.join(", ") }
    };
    let mut roots = Vec::with_capacity(select.len());
    for name in select {
        let root = position(name).ok_or_else(|| missing(name))?;
        if !roots.contains(&root) {
            roots.push(root);
        }
    }
    Ok(roots)
}

fn column(path: &Path, fields: &Fields, root: usize) -> Result<Column, Error> {
    let field = &fields[root];
    arrow::column(field).ok_or_else(|| Error::ColumnType {
        path: path.to_owned(),
        column: field.name().clone(),
        found: field.data_type().to_string(),
    })
}
