//! The rows of a file to verify, each with its place and under our names.

use std::path::Path;

use flow_data::Value;
use flow_store::{Error, TableReader, read_jsonl};
use serde_json::{Map, Value as Json, json};

use super::extension;
use crate::halt::{Halt, chain};
use crate::{Exit, codes};

/// The columns that are read of a Parquet file.
const COLUMNS: [&str; 6] = ["id", "gold", "pred", "expected", "options", "kind"];

/// A place such as `rows.jsonl:17` and what stands there, or what is wrong with it; the outer error is the file's.
type Placed = Result<(String, Result<Map<String, Json>, String>), Halt>;

/// What the file calls our fields.
#[derive(Clone, Debug, Default)]
pub(super) struct Names(Vec<(String, String)>);

impl Names {
    /// Reads `FIELD=NAME` texts.
    pub(super) fn parse(pairs: &[String]) -> Result<Self, Halt> {
        let usage = |message: String| {
            let help = format!("write `--field pred=output`; the fields are {}", COLUMNS.join(", "));
            Halt::with(Exit::Usage, codes::GRADER.id, &message, Some(&help))
        };
        let pair = |pair: &String| match pair.split_once('=') {
            Some((field, name)) if COLUMNS.contains(&field) && !name.is_empty() => {
                Ok((field.to_owned(), name.to_owned()))
            }
            _ => Err(usage(format!("expected FIELD=NAME in `--field`, found `{pair}`"))),
        };
        pairs.iter().map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// What the file calls the field `ours`.
    fn of<'a>(&'a self, ours: &'a str) -> &'a str {
        self.0.iter().find(|(field, _)| field == ours).map_or(ours, |(_, name)| name)
    }

    /// `fields` under our names. Errs where a field that is named is not there.
    fn ours(&self, mut fields: Map<String, Json>) -> Result<Map<String, Json>, String> {
        let found: Vec<(&String, Json)> = self
            .0
            .iter()
            .map(|(ours, name)| match fields.get(name) {
                Some(value) => Ok((ours, value.clone())),
                None => Err(format!("there is no field `{name}`")),
            })
            .collect::<Result<_, _>>()?;
        found.into_iter().for_each(|(ours, value)| drop(fields.insert(ours.clone(), value)));
        Ok(fields)
    }
}

/// The rows of the file at `path`, whose fields are called by `names`; the first error of the file ends them.
pub(super) fn read(path: &Path, names: Names) -> Result<impl Iterator<Item = Placed>, Halt> {
    let rows = rows(path, &names)?;
    Ok(rows.map(move |row| row.map(|(place, fields)| (place, fields.and_then(|fields| names.ours(fields))))))
}

fn rows(path: &Path, names: &Names) -> Result<Box<dyn Iterator<Item = Placed>>, Halt> {
    match extension(path).as_str() {
        "parquet" => table(path, names),
        "jsonl" | "ndjson" => lines(path),
        _ => {
            let message =
                format!("expected a path that ends in .jsonl or .parquet, found `{}`", path.display());
            Err(Halt::with(
                Exit::Usage,
                codes::AUDIT_FILE.id,
                &message,
                Some("rename the file by its format"),
            ))
        }
    }
}

fn lines(path: &Path) -> Result<Box<dyn Iterator<Item = Placed>>, Halt> {
    let mut lines = read_jsonl(path).map_err(|error| refused(&error))?;
    let name = path.display().to_string();
    Ok(Box::new(std::iter::from_fn(move || {
        let row = lines.next()?;
        let place = format!("{name}:{}", lines.line());
        Some(match row {
            Ok(Ok(fields)) => match lines.repeated_key() {
                None => Ok((place, Ok(fields))),
                Some(key) => Ok((place, Err(format!("the key `{key}` stands twice")))),
            },
            Ok(Err(line)) => Ok((place, Err(line.reason))),
            Err(error) => Err(refused(&error)),
        })
    })))
}

fn table(path: &Path, names: &Names) -> Result<Box<dyn Iterator<Item = Placed>>, Halt> {
    let mut present = Vec::new();
    for column in COLUMNS.map(|ours| names.of(ours)) {
        match TableReader::open(path, Some(&[column])) {
            Ok(_) => present.push(column),
            Err(Error::NoColumn { .. }) => {}
            Err(error) => return Err(refused(&error)),
        }
    }
    let table = TableReader::open(path, Some(&present)).map_err(|error| refused(&error))?;
    let columns: Vec<String> = table.columns().names().map(str::to_owned).collect();
    let name = path.display().to_string();
    let rows = table.flat_map(|batch| match batch {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(refused(&error))],
    });
    Ok(Box::new(rows.enumerate().map(move |(at, row)| {
        let fields = columns.iter().cloned().zip(row?.into_iter().map(|value| to_json(&value)));
        Ok((format!("{name} row {at}"), Ok(fields.collect())))
    })))
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Float(value) => json!(value),
        Value::Text(text) => json!(&**text),
        Value::Texts(texts) => texts.iter().map(|text| json!(&**text)).collect(),
        Value::Floats(numbers) => numbers.iter().map(|number| json!(number)).collect(),
    }
}

fn refused(error: &Error) -> Halt {
    let help = "the file must be there and whole; paths are relative to the folder in which `flow` runs";
    Halt::with(Exit::Failed, codes::AUDIT_FILE.id, &chain(error), Some(help))
}
