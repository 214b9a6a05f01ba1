//! Six operators that only sign: look-alikes of real ones, enough to make every mistake with.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use flow_data::{Column, Columns, Type, kind};
use flow_plan::{Arity, Input, Problem, Shape, Signature, config_of, schema_of};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value as Json;

pub(crate) static CATALOG: &[&dyn Signature] = &[&Read, &Sample, &Verify, &Balance, &Write, &Train];

const HEADER: &str = "Look-alike.\n\nPorts: `out`.\nRejects: none.\nCost: none.\n\n```yaml\nop: example\n```";

fn columns(list: &[(&str, Type)]) -> Columns {
    Columns::new(list.iter().map(|(name, kind)| Column::new(name, *kind, false, "For tests.")))
}

/// Rows from a file.
struct Read;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ReadConfig {
    /// File.
    #[expect(dead_code, reason = "signatures read no files")]
    path: String,
    /// Column of the record to key of the file.
    #[serde(default)]
    fields: BTreeMap<String, String>,
}

impl Signature for Read {
    fn name(&self) -> &'static str {
        "read"
    }

    fn header(&self) -> &'static str {
        HEADER
    }

    fn arity(&self) -> Arity {
        Arity::None
    }

    fn config_schema(&self) -> Json {
        schema_of::<ReadConfig>()
    }

    fn shape(&self, config: &Json, _: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let config: ReadConfig = config_of(config)?;
        let known = columns(&[
            ("prompt_id", Type::Text),
            ("prompt", Type::Text),
            ("answer", Type::Text),
            ("level", Type::Int),
        ]);
        let more = config.fields.keys().map(|name| (name.as_str(), Type::Text)).collect::<Vec<_>>();
        Ok(Shape::new(known.extended(&columns(&more))))
    }
}

/// Draws from a model.
struct Sample;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the keys matter to planning")]
struct SampleConfig {
    /// Model.
    model: String,
    /// Draws for each prompt.
    #[serde(default = "one")]
    n: NonZeroU32,
    /// Temperature from 0 to 2.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: f64,
    /// Tokens for each draw.
    max_tokens: Option<u32>,
    /// Texts that end a draw.
    #[serde(default)]
    stop: Stop,
    /// How the answer guides the draw.
    guide: Option<Guide>,
    /// Draw again until so many are right.
    until: Option<Until>,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the keys matter to planning")]
enum Stop {
    /// One text.
    One(String),
    /// Several texts.
    Many(Vec<String>),
}

impl Default for Stop {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Guide {
    /// The answer alone.
    Answer,
    /// The rationale.
    Rationale,
    /// The rationale's beginning.
    Prefix,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the keys matter to planning")]
struct Until {
    /// Right draws wanted.
    correct: NonZeroU32,
    /// Draws allowed.
    budget: NonZeroU32,
}

impl Signature for Sample {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn header(&self) -> &'static str {
        HEADER
    }

    fn config_schema(&self) -> Json {
        schema_of::<SampleConfig>()
    }

    fn shape(&self, _: &Json, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        inputs[0].column_of("", "prompt", &[Type::Text]).map_err(|problem| vec![problem])?;
        let draws = columns(&[("completion", Type::Text), ("tokens", Type::Int)]);
        Ok(Shape::new(inputs[0].columns.extended(&draws)).using("model"))
    }
}

/// Compares with the answer.
struct Verify;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct VerifyConfig {
    /// Column that holds the completion.
    #[serde(default = "completion")]
    completion: String,
    /// Column that holds the answer.
    #[serde(default = "answer")]
    answer: String,
    /// Type of the column `score`.
    #[serde(default)]
    score: Score,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Score {
    #[default]
    Int,
    Text,
}

fn completion() -> String {
    "completion".to_owned()
}

fn answer() -> String {
    "answer".to_owned()
}

impl Signature for Verify {
    fn name(&self) -> &'static str {
        "verify"
    }

    fn header(&self) -> &'static str {
        HEADER
    }

    fn config_schema(&self) -> Json {
        schema_of::<VerifyConfig>()
    }

    fn shape(&self, config: &Json, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let config: VerifyConfig = config_of(config)?;
        let needed = [("completion", &config.completion), ("answer", &config.answer)];
        let problems = needed.map(|(key, name)| inputs[0].column_of(key, name, &[Type::Text]).err());
        let problems: Vec<Problem> = problems.into_iter().flatten().collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let kind = if matches!(config.score, Score::Int) { Type::Int } else { Type::Text };
        let judged = inputs[0].columns.extended(&columns(&[("score", kind)]));
        Ok(Shape::with_ports(["equal", "different", "unknown"].map(|port| (port, judged.clone()))))
    }
}

/// Keeps some rows of each group.
struct Balance;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct BalanceConfig {
    /// Column whose values form the groups.
    per: String,
    /// Rows kept of each group at most.
    at_most: NonZeroU32,
    /// Rows a group needs to be kept at all.
    at_least: Option<NonZeroU32>,
    /// Share of each level.
    #[serde(default)]
    #[expect(dead_code, reason = "only the keys matter to planning")]
    quotas: BTreeMap<u32, f64>,
}

impl Signature for Balance {
    fn name(&self) -> &'static str {
        "balance"
    }

    fn header(&self) -> &'static str {
        HEADER
    }

    fn config_schema(&self) -> Json {
        schema_of::<BalanceConfig>()
    }

    fn shape(&self, config: &Json, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let config: BalanceConfig = config_of(config)?;
        inputs[0].column("per", &config.per).map_err(|problem| vec![problem])?;
        match config.at_least {
            Some(least) if least > config.at_most => {
                let words = format!("at_least ({least}) is more than at_most ({})", config.at_most);
                Err(vec![Problem::new("at_least", words).with_help("swap them, or drop at_least")])
            }
            _ => Ok(Shape::new(inputs[0].columns.clone())),
        }
    }
}

/// Rows into a folder.
struct Write;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the keys matter to planning")]
struct WriteConfig {
    /// Folder.
    path: String,
    /// Key of the store.
    key: Option<String>,
    /// Whether to overwrite.
    #[serde(default)]
    overwrite: bool,
}

impl Signature for Write {
    fn name(&self) -> &'static str {
        "write"
    }

    fn header(&self) -> &'static str {
        HEADER
    }

    fn config_schema(&self) -> Json {
        schema_of::<WriteConfig>()
    }

    fn shape(&self, config: &Json, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        if let Some(key) = config["key"].as_str().filter(|key| key.len() > 8) {
            return Err(vec![Problem::new(
                "key",
                format!("expected a key of at most 8 letters, found `{key}`"),
            )]);
        }
        Ok(Shape::new(inputs[0].columns.clone()).ending())
    }
}

/// Rows into a model.
struct Train;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the keys matter to planning")]
struct TrainConfig {
    /// Model to start from.
    start: String,
    /// Passes over the rows.
    epochs: Option<NonZeroU32>,
    /// Mixture of experts.
    moe: Option<Moe>,
    /// Step size.
    #[schemars(extend("exclusiveMinimum" = 0))]
    learning_rate: Option<f64>,
    /// Schedule of the step size.
    schedule: Option<Schedule>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the keys matter to planning")]
struct Moe {
    /// Experts in each layer.
    experts: NonZeroU32,
    /// Experts that each token passes.
    #[serde(default = "one")]
    experts_per_token: NonZeroU32,
}

#[derive(Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[expect(dead_code, reason = "only the keys matter to planning")]
enum Schedule {
    /// The same all along.
    Constant,
    /// Falls along a cosine.
    Cosine {
        /// Share of steps that warm up.
        #[schemars(range(min = 0.0, max = 1.0))]
        warmup_ratio: f64,
    },
}

impl Signature for Train {
    fn name(&self) -> &'static str {
        "train"
    }

    fn header(&self) -> &'static str {
        HEADER
    }

    fn config_schema(&self) -> Json {
        schema_of::<TrainConfig>()
    }

    fn shape(&self, _: &Json, _: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        Ok(Shape::new(kind("checkpoint").columns().clone()).using("start").making_model().ending())
    }
}
