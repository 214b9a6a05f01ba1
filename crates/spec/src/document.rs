//! What a pipeline file holds, as types: the source of its JSON Schema, and what its sections are read into.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value as Json;

use crate::Model;
use crate::validate::{IDENTIFIER, PATH, PIPELINE_NAME, REFERENCE};

/// JSON Schema of a pipeline file whose steps have any keys beside `op` and `from`.
pub fn document_schema() -> Json {
    schemars::schema_for!(Document).to_value()
}

/// A Flow pipeline: rows are read, sampled, judged, balanced, written and trained on, round after round.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Flow pipeline")]
#[expect(
    dead_code,
    reason = "only its schema is used: sections are read one by one, so that a mistake in one spares the rest"
)]
struct Document {
    /// Version of this format; 1.
    #[schemars(schema_with = "version")]
    version: u32,
    /// Name of the pipeline: letters, digits, `_`, `-`, `.`.
    #[schemars(regex(pattern = PIPELINE_NAME))]
    name: String,
    /// Seed of every random choice.
    #[serde(default)]
    seed: u64,
    /// Folder of everything published; `out/NAME` if absent.
    #[schemars(regex(pattern = PATH))]
    out: Option<String>,
    /// Environment variables that texts of this file may use as `${NAME}`.
    #[serde(default)]
    env: BTreeMap<String, Option<Variable>>,
    /// Models by name.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": IDENTIFIER}))]
    models: BTreeMap<String, Model>,
    /// Steps by name.
    #[schemars(extend("propertyNames" = {"pattern": IDENTIFIER}, "minProperties" = 1))]
    steps: BTreeMap<String, Head>,
    /// The loop of self-improvement; the steps run once if absent.
    rounds: Option<Rounds>,
    /// Tests of single steps, run by `flow test`.
    #[serde(default)]
    tests: Vec<Test>,
    /// Changes chosen by `--profile NAME`: dotted paths and their values.
    #[serde(default)]
    #[schemars(extend("propertyNames" = {"pattern": IDENTIFIER}))]
    profiles: BTreeMap<String, BTreeMap<String, Json>>,
    /// Limits of a run.
    #[serde(default)]
    budget: Budget,
}

fn version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"const": 1})
}

/// An environment variable that the file may use.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used: interpolation comes before reading")]
struct Variable {
    /// Value when the environment holds none; without one, the variable is required where it is used.
    default: Option<String>,
    /// Whether its value must appear in no message and no digest.
    #[serde(default)]
    secret: bool,
}

/// The keys that every step has.
#[derive(JsonSchema)]
#[expect(
    dead_code,
    reason = "only its schema is used: the rest of a step is checked by its operator's schema"
)]
struct Head {
    /// Operator.
    op: String,
    /// Where rows come from: `step`, `step.port`, or a list of them.
    from: Option<From>,
}

/// Where rows come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
enum From {
    /// One reference: `step` or `step.port`.
    One(#[schemars(regex(pattern = REFERENCE))] String),
    /// Several references.
    Many(
        #[schemars(length(min = 1), inner(regex(pattern = REFERENCE)), extend("uniqueItems" = true))]
        Vec<String>,
    ),
}

/// JSON Schema of the key `from`.
pub fn from_schema() -> Json {
    schemars::schema_for!(From).to_value()
}

/// The loop of self-improvement.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// Number of rounds, at least 1.
    pub count: NonZeroU32,
    /// Declared models that are replaced after each round: model name to the step that makes the next one.
    #[serde(default)]
    pub feed: BTreeMap<String, String>,
    /// Step whose verdict ends the loop.
    pub gate: Option<String>,
    /// What an edit does to rounds that have finished.
    #[serde(default)]
    pub on_change: OnChange,
}

/// What an edit of prompts, answers or steps does to rounds that have finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnChange {
    /// They are computed again as far as the edit reaches.
    #[default]
    Recompute,
    /// They stay as they were, their models and published rows too; the edit enters the next round.
    Keep,
}

/// A test of one step: rows in, rows out.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Test {
    /// What it shows.
    pub name: Option<String>,
    /// The step.
    pub step: String,
    /// Rows that arrive at the step.
    pub given: Vec<serde_json::Map<String, Json>>,
    /// What leaves each port: a number of rows, or the rows.
    pub expect: BTreeMap<String, Expect>,
}

/// What leaves a port in a test.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Expect {
    /// This many rows.
    Count(u64),
    /// These rows, in any order; each names the columns that matter.
    Rows(Vec<serde_json::Map<String, Json>>),
}

/// Limits of a run, each looked at twenty times a second; without one there is no limit. A run that reaches one stops cleanly
/// (exit 4), finished answers are kept, and the same command goes on from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Tokens that models may write. What is answered from the store costs nothing.
    #[schemars(range(min = 1))]
    pub tokens: Option<u64>,
    /// Requests that may be asked of models and other engines.
    #[schemars(range(min = 1))]
    pub calls: Option<u64>,
    /// Seconds of wall time that the run may take.
    #[schemars(range(min = 1))]
    pub wall: Option<u64>,
}
