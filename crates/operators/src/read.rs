//! `read` takes prompts from files: JSON lines or Parquet.
//!
//! `fields` says what the columns of a prompt are called in the file; those not named there are taken from the column
//! of the same name where the file has it, and are null elsewhere. Only a prompt must be there. A number is text as it
//! is written, a list of one text is that text, and a level may be written in words (`Level 5`); one
//! that is no number is none, unless `fields` names it. An answer that stands at the end of a worked solution
//! (`#### 18`, `\boxed{18}`) is cut out of it, and the whole becomes the solution where the file has no other.
//!
//! A row is named by its `id`, else by its prompt (with a number where the same prompt stands again): correcting an
//! answer or adding rows keeps what was drawn for a prompt. Paths are relative to the folder in which `flow` runs. Of
//! several files, rows come in the order of the names.
//!
//! Ports: `out`, one row per record: the record `prompt` followed by the columns of `extra`.
//!
//! Rejects: `malformed` (no JSON object), `missing_field` (not there, or null where it must not be), `ill_typed`,
//! `no_answer` (the rule of `extract` finds none); the detail begins with the place. A file that cannot be read
//! or has rows but none that fits, a part of a published data set that has other bytes by now, a column that no row has and an id that
//! stands twice end the run.
//!
//! Cost: reads the file once; keeps about 50 bytes a row until it is read.
//!
//! ```yaml
//! questions: {op: read, path: data/train.jsonl, fields: {prompt: question, answer: answer}, limit: 2000}
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use flow_data::{Heap, Id, Type, Value, kind};
use flow_dataflow::{Body, Out, SourceError};
use flow_plan::{Arity, Input, Problem, Shape, Step};
use flow_spec::PATH;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::fields::{ColumnType, Field, Flaw, PromptFields, prompt_fields, with_extra};
use crate::input::{At, Files, Format, Record};
use crate::known::Known;
use crate::records::{ByRecord, Numbers, Records};
use crate::verify::Verify;
use crate::{BuildError, Definition, Env, StepContext};

/// Options of `read`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A file; a folder of files; what a `write` step has published; or a name with `*`, such as `data/train-*.parquet`.
    #[schemars(regex(pattern = PATH))]
    path: String,
    /// How it is written; by default what its extension says: `.jsonl`, `.ndjson` or `.parquet`.
    format: Option<Format>,
    /// What the columns of a prompt are called in the file.
    #[serde(default)]
    fields: PromptFields,
    /// Where the field of `answer` states the answer: `whole`, `final_line`, `boxed`, `last_number` or `auto`. By default
    /// after `####` or in `\boxed{}` where it has one, else the whole.
    extract: Option<String>,
    /// Column that names a row, unique in the file; the same as `fields.prompt_id`.
    id: Option<String>,
    /// Further columns of the file with their types.
    #[serde(default)]
    extra: BTreeMap<String, ColumnType>,
    /// Reads at most so many records, at least 1; by default all.
    #[schemars(range(min = 1))]
    limit: Option<usize>,
}

/// Columns of the record kind `prompt`.
const N_PROMPT: usize = 5;

/// The operator.
pub(crate) struct Read;

impl Definition for Read {
    const NAME: &'static str = "read";
    const SOURCE: &'static str = include_str!("read.rs");
    const ARITY: Arity = Arity::None;
    type Config = Config;

    fn shape(config: &Config, _: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems: Vec<Problem> =
            Files::new(&config.path, config.format).err().into_iter().collect();
        if config.id.is_some() && config.fields.prompt_id.is_some() {
            problems.push(
                Problem::new("id", "`id` and `fields.prompt_id` are the same").with_help("keep one of them"),
            );
        }
        problems.extend(Known::parse(config.extract.as_deref()).err());
        let columns = with_extra(kind("prompt").columns(), &config.extra);
        problems.extend(columns.as_ref().err().into_iter().flatten().cloned());
        match columns {
            Ok(columns) if problems.is_empty() => Ok(Shape::new(columns)),
            _ => Err(problems),
        }
    }

    fn files(config: &Config) -> Vec<PathBuf> {
        Files::new(&config.path, config.format).map_or_else(|_| Vec::new(), |files| files.watched())
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let invalid = |problem: Problem| BuildError::step(&step.step.name, problem.message);
        let fields = PromptFields { prompt_id: config.id.or(config.fields.prompt_id), ..config.fields };
        let extra = config.extra.iter().map(|(name, kind)| Field::extra(name, *kind));
        let reader = Reader {
            files: Files::new(&config.path, config.format).map_err(invalid)?,
            known: Known::parse(config.extract.as_deref()).map_err(invalid)?,
            fields: prompt_fields(&fields).into_iter().chain(extra).collect(),
            limit: config.limit.unwrap_or(usize::MAX),
        };
        if !env.dry {
            remarks(&reader, &fields, step).into_iter().for_each(|line| env.remarks.add(line));
        }
        Ok(Body::Source(Arc::new(Records(reader))))
    }
}

/// The first step that judges the rows of `step` by their `answer`.
fn judge<'a>(context: &StepContext<'a>) -> Option<&'a Step> {
    let mut behind: BTreeSet<&str> = BTreeSet::from([context.step.name.as_str()]);
    for step in &context.plan.steps {
        let edges = step.inputs.iter().flat_map(|inlet| &inlet.edges);
        if !edges.map(|edge| &context.plan.steps[edge.step]).any(|before| behind.contains(before.name.as_str())) {
            continue;
        }
        behind.insert(&step.name);
        let of = |key: &str| step.config.get(key);
        let judges = step.op == Verify::NAME && of("code").is_none();
        if judges && of("answer").is_none_or(|answer| answer == "answer") {
            return Some(step);
        }
    }
    None
}

/// What the first record of the files shows that its reader may not expect, of columns that nobody has named. Files that cannot be read are
/// told of when they are.
fn remarks(reader: &Reader, fields: &PromptFields, context: &StepContext<'_>) -> Vec<String> {
    let files = reader.files.list().unwrap_or_default();
    let Some((file, record)) = files.first().and_then(|file| Some((file, file.first()?))) else { return Vec::new() };
    let place = format!("`{}`: the first row of `{}`", context.step.name, file.path().display());
    let mut remarks = Vec::new();
    if let Some(judge) = judge(context).filter(|_| fields.answer.is_none() && record.find("answer").is_none()) {
        let names: Vec<String> = record.names().iter().map(|name| format!("`{name}`")).collect();
        remarks.push(format!(
            "{place} has no `answer`, and `{}` judges by it: name the column of the known answer, `fields: {{answer: ..}}`; there are {}",
            judge.name,
            names.join(", ")
        ));
    }
    let level = record.find("level").filter(|_| fields.level.is_none());
    if let Some(Err(found)) = level.map(|level| level.cell(Type::Int)) {
        remarks.push(format!(
            "{place} has {found} as its `level`, which is to be a number: such a row has none; another column is named by `fields: {{level: ..}}`"
        ));
    }
    remarks
}

struct Reader {
    files: Files,
    known: Known,
    /// The columns of a prompt, then further ones.
    fields: Vec<Field>,
    limit: usize,
}

impl ByRecord for Reader {
    type Cache = ();

    fn files(&self) -> &Files {
        &self.files
    }

    fn fields(&self) -> Vec<&Field> {
        self.fields.iter().collect()
    }

    fn limit(&self) -> usize {
        self.limit
    }

    fn rows(
        &self,
        _: &Heap,
        at: At<'_>,
        record: &Record,
        (numbers, ()): (&mut Numbers, &mut ()),
        out: &mut Out<'_>,
    ) -> Result<Result<usize, Flaw>, SourceError> {
        let mut cells = match self.cells(record) {
            Ok(cells) => cells,
            Err(flaw) => return Ok(Err(flaw)),
        };
        if cells[0] == Value::Null {
            let occurrence = numbers.next(prompt_row(&cells[1]));
            cells[0] = content_id(&cells[1], occurrence.unsigned_abs());
        }
        let id = prompt_row(&cells[0]);
        if let Some(first) = numbers.place(id, at) {
            return Err(at.duplicate(&format!("the id {:?}", text(&cells[0])), first));
        }
        out.create(0, 0, id, cells);
        Ok(Ok(1))
    }
}

impl Reader {
    fn cells(&self, record: &Record) -> Result<Vec<Value>, Flaw> {
        let cells = self.fields.iter().map(|field| field.read(record));
        let mut cells = cells.collect::<Result<Vec<Value>, Flaw>>()?;
        self.known.cut(&mut cells[..N_PROMPT])?;
        Ok(cells)
    }
}

/// The identity of the row whose `prompt_id` this is.
pub(crate) fn prompt_row(prompt_id: &Value) -> Id {
    Id::of("prompt", [text(prompt_id).as_bytes()])
}

/// The `prompt_id` of the `occurrence`-th row (from 0) with this prompt.
pub(crate) fn content_id(prompt: &Value, occurrence: u64) -> Value {
    let parts = [text(prompt).as_bytes(), &occurrence.to_le_bytes()];
    Id::of("prompt_id", parts).to_string().into()
}

/// The text of a cell; empty when it has none.
pub(crate) fn text(value: &Value) -> &str {
    match value {
        Value::Text(text) => text,
        _ => "",
    }
}

#[cfg(test)]
mod tests;
