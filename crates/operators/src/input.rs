//! Files of rows, JSON lines and Parquet: a record at a time, each with its place.

mod disguise;
mod files;

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_data::{Columns, Id, Type, Value};
use flow_dataflow::SourceError;
use flow_store::{Error, JsonLines, LineBlocks, LineError, Parts, TableReader, read_jsonl};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::cells::{fit, from_json};
use crate::codes;
pub(crate) use files::{At, Files, Place};

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// One JSON object a line.
    Jsonl,
    /// Parquet.
    Parquet,
}

/// One file and how it is written.
pub(crate) struct InputFile {
    path: PathBuf,
    format: Format,
    /// The digest that its manifest gives it, where it is a part of a published data set.
    published: Option<Id>,
}

impl InputFile {
    /// The records in the order of the file. Of a Parquet file only the columns in `names` are read; errs when it has
    /// not all of those in `required`, or is not what was published.
    pub(crate) fn records(&self, names: &[&str], required: &[&str]) -> Result<Records<'static>, SourceError> {
        self.expect_published()?;
        let failed = |error| refused(&self.path, &error);
        let reader = match self.format {
            Format::Jsonl => Reader::Lines(read_jsonl(&self.path).map_err(failed)?),
            Format::Parquet => {
                let mut present = Vec::new();
                for name in names {
                    match TableReader::open(&self.path, Some(&[*name])) {
                        Ok(_) => present.push(*name),
                        Err(Error::NoColumn { .. }) if !required.contains(name) => {}
                        Err(error) => return Err(failed(error)),
                    }
                }
                let table = TableReader::open(&self.path, Some(&present)).map_err(failed)?;
                let columns = Arc::new(table.columns().clone());
                Reader::Table { table, columns, batch: Vec::new().into_iter(), at: 0 }
            }
        };
        Ok(Records { path: self.path.clone(), reader })
    }

    /// Errs where it is a part of a published data set and has other bytes than were published. One that is gone is found when it is read.
    fn expect_published(&self) -> Result<(), SourceError> {
        let Some(published) = self.published else { return Ok(()) };
        let found = Parts::digest_of(&self.path).map_err(|error| refused(&self.path, &error))?;
        if found.is_none_or(|found| found == published) {
            return Ok(());
        }
        let message = format!("`{}` does not have the bytes that were published", self.path.display());
        let help = "run the pipeline that publishes it again, which mends it; to read it as it is, copy it out of the published folder";
        Err(SourceError { code: codes::UNREADABLE.id, message, help: Some(help.to_owned()) })
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its first record; none where it has no record, or cannot be read.
    pub(crate) fn first(&self) -> Option<Record> {
        let columns = match self.format {
            Format::Jsonl => Columns::default(),
            Format::Parquet => TableReader::open(&self.path, None).ok()?.columns().clone(),
        };
        let mut records = self.records(&columns.names().collect::<Vec<_>>(), &[]).ok()?;
        records.find_map(|found| found.ok()?.1.ok())
    }

    /// The lines of the file in blocks; none where it has no lines.
    pub(crate) fn blocks(&self) -> Result<Option<LineBlocks>, SourceError> {
        let open = || LineBlocks::open(&self.path).map_err(|error| refused(&self.path, &error));
        (self.format == Format::Jsonl).then(open).transpose()
    }

    /// The records of some of its lines.
    pub(crate) fn records_of<'a>(&self, lines: JsonLines<&'a [u8]>) -> Records<'a> {
        Records { path: self.path.clone(), reader: Reader::Block(lines) }
    }

    /// A place as people write it: `train.jsonl:17` for a line (from 1), `train.parquet row 17` for a row (from 0).
    pub(crate) fn place(&self, at: u64) -> String {
        match self.format {
            Format::Jsonl => format!("{}:{at}", self.path.display()),
            Format::Parquet => format!("{} row {at}", self.path.display()),
        }
    }
}

/// The error of a file that cannot be read.
pub(crate) fn refused(path: &Path, error: &Error) -> SourceError {
    let help = match error {
        Error::Io { source, .. } if source.kind() == ErrorKind::NotFound && path.is_relative() => {
            Some("paths are relative to the folder in which `flow` runs")
        }
        Error::Parquet { .. } => Some("write the file again: it is cut short, damaged or no Parquet"),
        Error::NoColumn { .. } => Some("name the file's own column under `fields`"),
        _ => None,
    };
    let code = if matches!(error, Error::NoColumn { .. }) { codes::NO_FIELD } else { codes::UNREADABLE };
    SourceError { code: code.id, message: crate::text::chain(error), help: help.map(str::to_owned) }
}

/// Yields (line from 1 or row from 0, record or why there is none). The outer error is the file's.
pub(crate) struct Records<'a> {
    path: PathBuf,
    reader: Reader<'a>,
}

enum Reader<'a> {
    Lines(JsonLines<BufReader<File>>),
    Block(JsonLines<&'a [u8]>),
    Table { table: TableReader, columns: Arc<Columns>, batch: std::vec::IntoIter<Vec<Value>>, at: u64 },
}

impl Iterator for Records<'_> {
    type Item = Result<(u64, Result<Record, String>), SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.reader {
            Reader::Lines(lines) => next_line(lines, &self.path),
            Reader::Block(lines) => next_line(lines, &self.path),
            Reader::Table { table, columns, batch, at } => loop {
                if let Some(cells) = batch.next() {
                    *at += 1;
                    return Some(Ok((*at - 1, Ok(Record::Table(columns.clone(), cells)))));
                }
                match table.next()? {
                    Ok(rows) => *batch = rows.into_iter(),
                    Err(error) => return Some(Err(refused(&self.path, &error))),
                }
            },
        }
    }
}

fn next_line<R: BufRead>(
    lines: &mut JsonLines<R>,
    path: &Path,
) -> Option<<Records<'static> as Iterator>::Item> {
    let line = lines.next()?.map_err(|error| refused(path, &error));
    let record = |line: Result<_, LineError>| line.map(Record::Json).map_err(|bad| bad.reason);
    Some(line.map(|line| (lines.line(), record(line))))
}

/// One row of a file.
pub(crate) enum Record {
    /// A line.
    Json(Map<String, Json>),
    /// A row of a table.
    Table(Arc<Columns>, Vec<Value>),
}

/// A cell of a record.
pub(crate) enum Found<'a> {
    Json(&'a Json),
    Value(&'a Value),
}

impl Found<'_> {
    /// The cell as `kind`. Errs with what was found where the type does not fit.
    pub(crate) fn cell(self, kind: Type) -> Result<Value, String> {
        let value = match self {
            Found::Json(json) => from_json(json)?,
            Found::Value(value) => value.clone(),
        };
        fit(value, kind)
    }

    /// The texts of a list; none where it is something else.
    pub(crate) fn texts(self) -> Option<Arc<[Arc<str>]>> {
        match self {
            Found::Json(Json::Array(_)) | Found::Value(Value::Texts(_)) => match self.cell(Type::Texts) {
                Ok(Value::Texts(texts)) => Some(texts),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Record {
    /// What the record has under `name`. In JSON, a dotted name leads into nested objects, unless a key is written so.
    pub(crate) fn find(&self, name: &str) -> Option<Found<'_>> {
        match self {
            Record::Json(map) => find(map, name).map(Found::Json),
            Record::Table(columns, cells) => columns.index(name).map(|at| Found::Value(&cells[at])),
        }
    }

    /// The outermost names.
    pub(crate) fn names(&self) -> Vec<String> {
        match self {
            Record::Json(map) => map.keys().cloned().collect(),
            Record::Table(columns, _) => columns.names().map(str::to_owned).collect(),
        }
    }
}

fn find<'a>(map: &'a Map<String, Json>, name: &str) -> Option<&'a Json> {
    map.get(name).or_else(|| {
        let (outer, inner) = name.split_once('.')?;
        find(map.get(outer)?.as_object()?, inner)
    })
}
