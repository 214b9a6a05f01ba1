//! `replay` takes recorded completions from files as if they had just been drawn.
//!
//! A record has one completion (`fields.completion`), a list of them there, or several columns that hold one each (`completions`). A dotted
//! name leads into nested objects: `completions: [small.text, large.text]`, or shorter `completions: [small, large]` with
//! `fields: {completion: text}`. Columns of `extra` are looked up beside the completion (`small.is_correct`), then in the
//! record itself. Records of one prompt may stand anywhere.
//!
//! Prompts are named, and known answers cut out of worked solutions, as by `read`. A completion without a recorded `sample_index` gets the number of its prompt's
//! completions before it; one of several columns without a recorded `model` is of the model that its column names, up
//! to the first dot.
//!
//! Ports: `out`, one row per completion: the records `prompt` and `draw`, then the columns of `extra`.
//!
//! Rejects: `malformed`, `missing_field`, `ill_typed`, `no_answer`; the detail begins with the place. A file that cannot be read or
//! has rows but none that fits, a column that no row has and two completions of one prompt, model and sample index end the run.
//!
//! Cost: reads the file once; about 4 microseconds and 100 bytes a completion beside its text.
//!
//! ```yaml
//! attempts: {op: replay, path: samples.jsonl, fields: {prompt: question, answer: target, completion: output}}
//! ```

mod replayer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use flow_data::{Value, kind};
use flow_dataflow::Body;
use flow_plan::{Arity, Input, Problem, Shape};
use flow_spec::PATH;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::fields::{ColumnType, Field, PromptFields, prompt_fields, with_extra};
use crate::input::{Files, Format};
use crate::known::Known;
use crate::records::Records;
use crate::{BuildError, Definition, Env, StepContext};
use replayer::{Completion, Replayer};

/// Options of `replay`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// A file; a folder of files; what a `write` step has published; or a name with `*`.
    #[schemars(regex(pattern = PATH))]
    path: String,
    /// How it is written; by default what its extension says: `.jsonl`, `.ndjson` or `.parquet`.
    format: Option<Format>,
    /// What the columns are called in the file.
    #[serde(default)]
    fields: Fields,
    /// Where the field of `answer` states the answer: `whole`, `final_line`, `boxed`, `last_number` or `auto`. By default
    /// after `####` or in `\boxed{}` where it has one, else the whole.
    extract: Option<String>,
    /// Columns that hold one completion each; objects where `fields.completion` is given.
    #[serde(default)]
    completions: Vec<String>,
    /// Further columns of the file with their types.
    #[serde(default)]
    extra: BTreeMap<String, ColumnType>,
    /// Reads at most so many records, at least 1; by default all.
    #[schemars(range(min = 1))]
    limit: Option<usize>,
}

/// The input's own names; a dotted name leads into nested objects.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Fields {
    /// What names the prompt.
    prompt_id: Option<String>,
    /// The question; by default `prompt`.
    prompt: Option<String>,
    /// The known answer.
    answer: Option<String>,
    /// A worked solution.
    solution: Option<String>,
    /// Difficulty: a number, or a text that ends in one.
    level: Option<String>,
    /// The completion, or a list of completions that are numbered one after the other; by default `completion`. With `completions`, the name of the text within each of them.
    completion: Option<String>,
    /// Which of the prompt's draws it is.
    sample_index: Option<String>,
    /// The model that drew it.
    model: Option<String>,
}

/// The operator.
pub(crate) struct Replay;

impl Definition for Replay {
    const NAME: &'static str = "replay";
    const SOURCE: &'static str = include_str!("replay.rs");
    const ARITY: Arity = Arity::None;
    type Config = Config;

    fn shape(config: &Config, _: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems: Vec<Problem> =
            Files::new(&config.path, config.format).err().into_iter().collect();
        problems.extend(Known::parse(config.extract.as_deref()).err());
        let drawn = kind("prompt").columns().extended(kind("draw").columns());
        let columns = with_extra(&drawn, &config.extra);
        problems.extend(columns.as_ref().err().into_iter().flatten().cloned());
        match columns {
            Ok(columns) if problems.is_empty() => Ok(Shape::new(columns)),
            _ => Err(problems),
        }
    }

    fn files(config: &Config) -> Vec<PathBuf> {
        Files::new(&config.path, config.format).map_or_else(|_| Vec::new(), |files| files.watched())
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let invalid = |problem: Problem| BuildError::step(&step.step.name, problem.message);
        let replayer = Replayer {
            files: Files::new(&config.path, config.format).map_err(invalid)?,
            known: Known::parse(config.extract.as_deref()).map_err(invalid)?,
            limit: config.limit.unwrap_or(usize::MAX),
            prompt: config.prompt(),
            sample_index: Field {
                nullable: config.fields.sample_index.is_none(),
                ..Field::of_kind("draw", "sample_index", config.fields.sample_index.as_ref())
            },
            model: Field::of_kind("draw", "model", config.fields.model.as_ref()),
            completions: config.completions(),
        };
        Ok(Body::Source(Arc::new(Records(replayer))))
    }
}

impl Config {
    fn prompt(&self) -> Vec<Field> {
        let Fields { prompt_id, prompt, answer, solution, level, .. } = self.fields.clone();
        prompt_fields(&PromptFields { prompt_id, prompt, answer, solution, level })
    }

    fn completions(&self) -> Vec<Completion> {
        if self.completions.is_empty() {
            let name = self.fields.completion.as_deref().unwrap_or("completion");
            return vec![self.completion(name, Value::Null)];
        }
        let within = self.fields.completion.as_ref().map(|name| format!(".{name}")).unwrap_or_default();
        let model = |name: &str| name.split('.').next().unwrap_or(name).into();
        self.completions.iter().map(|name| self.completion(&format!("{name}{within}"), model(name))).collect()
    }

    fn completion(&self, name: &str, model: Value) -> Completion {
        let beside = |extra: &str| Some(format!("{}.{extra}", name.rsplit_once('.')?.0));
        let extra = self.extra.iter().map(|(extra, kind)| match beside(extra) {
            Some(beside) => Field { fallback: Some(extra.clone()), ..Field::extra(&beside, *kind) },
            None => Field::extra(extra, *kind),
        });
        Completion {
            text: Field::of_kind("draw", "completion", Some(&name.to_owned())),
            extra: extra.collect(),
            model,
        }
    }
}

#[cfg(test)]
mod tests;
