//! The rows of a file to verify, each with its place.

use std::path::Path;

use flow_data::Value;
use flow_store::{Error, TableReader, read_jsonl};
use serde_json::{Map, Value as Json, json};

use super::extension;
use crate::halt::{Halt, chain};
use crate::{Exit, codes};

/// The columns that are read of a Parquet file.
const COLUMNS: [&str; 6] = ["id", "gold", "pred", "expected", "options", "kind"];

/// A place such as `rows.jsonl:17` and what stands there.
type Placed = Result<(String, Map<String, Json>), Halt>;

/// The rows of the file at `path`; the first error ends them.
pub(super) fn read(path: &Path) -> Result<Box<dyn Iterator<Item = Placed>>, Halt> {
    match extension(path).as_str() {
        "parquet" => table(path),
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
                None => Ok((place, fields)),
                Some(key) => Err(super::unfit(&place, &format!("the key `{key}` stands twice"))),
            },
            Ok(Err(line)) => Err(super::unfit(&place, &line.reason)),
            Err(error) => Err(refused(&error)),
        })
    })))
}

fn table(path: &Path) -> Result<Box<dyn Iterator<Item = Placed>>, Halt> {
    let mut present = Vec::new();
    for column in COLUMNS {
        match TableReader::open(path, Some(&[column])) {
            Ok(_) => present.push(column),
            Err(Error::NoColumn { .. }) => {}
            Err(error) => return Err(refused(&error)),
        }
    }
    let table = TableReader::open(path, Some(&present)).map_err(|error| refused(&error))?;
    let names: Vec<String> = table.columns().names().map(str::to_owned).collect();
    let name = path.display().to_string();
    let rows = table.flat_map(|batch| match batch {
        Ok(rows) => rows.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(refused(&error))],
    });
    Ok(Box::new(rows.enumerate().map(move |(at, row)| {
        let fields = names.iter().cloned().zip(row?.into_iter().map(|value| to_json(&value)));
        Ok((format!("{name} row {at}"), fields.collect()))
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
