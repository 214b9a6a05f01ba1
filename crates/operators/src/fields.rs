//! Which fields of an input file become which columns.

use std::collections::BTreeMap;

use flow_data::{Column, Columns, Type, Value, kind};
use flow_dataflow::{Out, SourceError};
use flow_plan::Problem;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::input::{At, Files, Found, InputFile, Place, Record, Records};

/// The input's own names of the columns of a prompt; a dotted name leads into nested objects.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromptFields {
    /// What names the row.
    pub(crate) prompt_id: Option<String>,
    /// The question; by default `prompt`.
    pub(crate) prompt: Option<String>,
    /// The known answer.
    pub(crate) answer: Option<String>,
    /// A worked solution.
    pub(crate) solution: Option<String>,
    /// Difficulty: a number, or a text that ends in one.
    pub(crate) level: Option<String>,
}

/// The type of a further column.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum ColumnType {
    /// true or false.
    #[serde(rename = "bool")]
    Bool,
    /// 64-bit integer.
    #[serde(rename = "int")]
    Int,
    /// 64-bit float.
    #[serde(rename = "float")]
    Float,
    /// Text.
    #[serde(rename = "text")]
    Text,
    /// List of texts.
    #[serde(rename = "list<text>")]
    Texts,
    /// List of 32-bit floats.
    #[serde(rename = "list<float>")]
    Floats,
}

impl ColumnType {
    pub(crate) fn kind(self) -> Type {
        match self {
            ColumnType::Bool => Type::Bool,
            ColumnType::Int => Type::Int,
            ColumnType::Float => Type::Float,
            ColumnType::Text => Type::Text,
            ColumnType::Texts => Type::Texts,
            ColumnType::Floats => Type::Floats,
        }
    }
}

/// The columns that `extra` adds to `columns`; the problems of names that those have already.
pub(crate) fn with_extra(
    columns: &Columns,
    extra: &BTreeMap<String, ColumnType>,
) -> Result<Columns, Vec<Problem>> {
    let problem = |name: &String| {
        let key = format!("extra.{name}");
        let taken = columns.index(name).is_some().then(|| {
            let words = format!("column `{name}` is there already");
            Problem::new(&key, words).with_help(format!("name it under `fields`: `{name}: {name}`"))
        });
        taken.or_else(|| reserved(&key, name).err())
    };
    let problems: Vec<Problem> = extra.keys().filter_map(problem).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let column =
        |(name, kind): (&String, &ColumnType)| Column::new(name, kind.kind(), true, "A column of the input.");
    Ok(columns.extended(&Columns::new(extra.iter().map(column))))
}

/// What every published row has of its own: a column of such a name would be lost where rows are written.
const RESERVED: [&str; 4] = ["row_id", "parent_ids", "step", "round"];

/// Errs where the key `key` names a new column as no column of a user may be named.
pub(crate) fn reserved(key: &str, name: &str) -> Result<(), Problem> {
    if !RESERVED.contains(&name) {
        return Ok(());
    }
    let words =
        format!("every published row has a `{name}` of its own, which would take the place of this one");
    Err(Problem::new(key, words).with_help(format!("name it otherwise, such as `own_{name}`")))
}

/// One field to be read.
pub(crate) struct Field {
    /// Its name in the input.
    pub(crate) name: String,
    /// The name that is looked up where there is no such field.
    pub(crate) fallback: Option<String>,
    pub(crate) kind: Type,
    /// Whether the cell may be null.
    pub(crate) nullable: bool,
    /// Whether every record must have it: it was asked for by name.
    pub(crate) required: bool,
    /// Whether what is of another type is taken for null: nobody asked for it.
    pub(crate) lenient: bool,
}

/// Why a record is no row.
pub(crate) struct Flaw {
    pub(crate) reason: &'static str,
    pub(crate) detail: String,
}

impl Flaw {
    /// Rejects the record at `place`.
    pub(crate) fn reject(self, place: &str, out: &mut Out<'_>) {
        out.reject_new(place, self.reason, format!("{place}: {}", self.detail));
    }
}

impl Field {
    /// The column `name` of the record kind `of`, under the name that `given` says.
    pub(crate) fn of_kind(of: &str, name: &str, given: Option<&String>) -> Self {
        let column = kind(of).columns().get(name).expect("the caller names a column of the kind");
        Self {
            name: given.map_or(name, String::as_str).to_owned(),
            fallback: None,
            kind: column.kind,
            nullable: column.nullable,
            required: given.is_some(),
            lenient: false,
        }
    }

    /// A further column.
    pub(crate) fn extra(name: &str, kind: ColumnType) -> Self {
        Self {
            name: name.to_owned(),
            fallback: None,
            kind: kind.kind(),
            nullable: true,
            required: true,
            lenient: false,
        }
    }

    /// The names under which a record may have it.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.name).chain(&self.fallback).map(String::as_str)
    }

    /// The cells of `record`: one for each text of a list, else the one.
    pub(crate) fn read_each(&self, record: &Record) -> Result<Vec<Value>, Flaw> {
        match self.names().find_map(|name| record.find(name)).and_then(Found::texts) {
            Some(texts) if !texts.is_empty() => Ok(texts.iter().cloned().map(Value::Text).collect()),
            _ => self.read(record).map(|value| vec![value]),
        }
    }

    /// The cell of `record`.
    pub(crate) fn read(&self, record: &Record) -> Result<Value, Flaw> {
        let kind = self.kind;
        let missing = |detail| Flaw { reason: "missing_field", detail };
        let Some((name, found)) = self.names().find_map(|name| Some((name, record.find(name)?))) else {
            return match (self.required, self.nullable) {
                (true, _) => Err(missing(format!("there is no field `{}`", self.name))),
                (false, false) => Err(missing(format!("field `{}` is empty", self.name))),
                (false, true) => Ok(Value::Null),
            };
        };
        match found.cell(kind) {
            Err(_) if self.lenient => Ok(Value::Null),
            Err(found) => Err(Flaw {
                reason: "ill_typed",
                detail: format!("expected {kind} in `{name}`, found {found}"),
            }),
            Ok(Value::Null) if !self.nullable => Err(missing(format!("field `{name}` is empty"))),
            Ok(value) => Ok(value),
        }
    }
}

/// The columns of the record kind `prompt`. The id is null where the input has none.
pub(crate) fn prompt_fields(fields: &PromptFields) -> Vec<Field> {
    let prompt = fields.prompt.clone().unwrap_or_else(|| "prompt".to_owned());
    let id = Field::of_kind("prompt", "prompt_id", fields.prompt_id.as_ref());
    vec![
        Field { nullable: !id.required, ..id },
        Field::of_kind("prompt", "prompt", Some(&prompt)),
        Field::of_kind("prompt", "answer", fields.answer.as_ref()),
        Field::of_kind("prompt", "solution", fields.solution.as_ref()),
        Field { lenient: fields.level.is_none(), ..Field::of_kind("prompt", "level", fields.level.as_ref()) },
    ]
}

/// The fields of an input and which of the required ones any record had: one that none had is the pipeline's mistake,
/// not the rows'.
pub(crate) struct Reading<'a> {
    fields: Vec<&'a Field>,
    seen: Seen,
}

/// What was seen in records.
#[derive(Clone, Default)]
pub(crate) struct Seen {
    /// Which of the fields any record had.
    fields: Vec<bool>,
    /// The names that the first record has.
    known: Vec<String>,
    /// Whether there was any record.
    any: bool,
    /// The first place where there was none, and why.
    malformed: Option<(Place, String)>,
    /// Rows that were made of the records.
    rows: usize,
    /// The first place of which no row was made, and why.
    flaw: Option<(Place, String)>,
}

impl<'a> Reading<'a> {
    /// Begins to read `fields`.
    pub(crate) fn new(fields: impl IntoIterator<Item = &'a Field>) -> Self {
        let fields: Vec<&Field> = fields.into_iter().collect();
        let seen = Seen { fields: vec![false; fields.len()], ..Seen::default() };
        Self { fields, seen }
    }

    /// The records of a file.
    pub(crate) fn records(&self, file: &InputFile) -> Result<Records<'static>, SourceError> {
        let names: Vec<&str> = self.fields.iter().flat_map(|field| field.names()).collect();
        let required = self.fields.iter().filter(|field| field.required && field.fallback.is_none());
        file.records(&names, &required.map(|field| &*field.name).collect::<Vec<_>>())
    }

    /// Takes note of what `record` has.
    pub(crate) fn note(&mut self, record: &Record) {
        self.seen.any = true;
        if self.seen.known.is_empty() {
            self.seen.known = record.names();
        }
        for (seen, field) in self.seen.fields.iter_mut().zip(&self.fields) {
            *seen = *seen || !field.required || field.names().any(|name| record.find(name).is_some());
        }
    }

    /// Takes note that there is no record at `place`, and why.
    pub(crate) fn note_malformed(&mut self, place: Place, detail: &str) {
        self.seen.malformed.get_or_insert_with(|| (place, detail.to_owned()));
    }

    /// Takes note that `rows` rows were made of a record.
    pub(crate) fn note_rows(&mut self, rows: usize) {
        self.seen.rows += rows;
    }

    /// Takes note that no row was made of what stands at `place`, and why.
    pub(crate) fn note_flaw(&mut self, place: Place, flaw: &Flaw) {
        self.seen.flaw.get_or_insert_with(|| (place, flaw.detail.clone()));
    }

    /// What was seen.
    pub(crate) fn seen(self) -> Seen {
        self.seen
    }

    /// Takes note of what was seen in a later part.
    pub(crate) fn merge(&mut self, other: &Seen) {
        let Seen { fields, known, any, malformed, rows, flaw } = &mut self.seen;
        *any |= other.any;
        *rows += other.rows;
        if flaw.is_none() {
            flaw.clone_from(&other.flaw);
        }
        if known.is_empty() {
            known.clone_from(&other.known);
        }
        if malformed.is_none() {
            malformed.clone_from(&other.malformed);
        }
        fields.iter_mut().zip(&other.fields).for_each(|(seen, also)| *seen |= also);
    }

    /// Errs when records were read and a required field was in none, when there was no record where some should be, and when
    /// no row was made of any record. A file without records is no mistake.
    pub(crate) fn finish(self, input: &Files, files: &[InputFile]) -> Result<(), SourceError> {
        let Seen { fields, known, any, malformed, rows, flaw } = &self.seen;
        let absent = self.fields.iter().zip(fields).find(|(field, seen)| field.required && !**seen);
        match (absent, malformed) {
            (Some((field, _)), _) if !known.is_empty() => Err(input.no_field(&field.name, known)),
            (_, Some((place, detail))) if !any => Err(At { files, place: *place }.no_record(detail)),
            _ => match flaw {
                Some((place, detail)) if *rows == 0 => Err(At { files, place: *place }.no_row(detail)),
                _ => Ok(()),
            },
        }
    }
}
