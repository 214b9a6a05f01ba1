//! `brief` keeps completions of at most so many characters: an operator of your own in a program of your own.
//!
//! Ports: `out`, the rows that are short enough, as they came.
//!
//! Rejects: `too_long`.
//!
//! Cost: one count of characters a row.
//!
//! ```yaml
//! short: {op: brief, from: graded.equal, most: 40}
//! ```
//!
//! The program is `flow` with one operator more:
//!
//! ```sh
//! cargo run --release --example custom_operator -- exec examples/custom/pipeline.yaml
//! ```

use std::process::ExitCode;
use std::sync::Arc;

use flow_data::{Item, Type};
use flow_dataflow::{Body, Out, RowOp, Stage};
use flow_operators::{BuildError, CATALOG, Definition, Env, Op, Operator, StepContext};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

/// Options of `brief`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Most characters of a completion, at least 1.
    #[schemars(range(min = 1))]
    most: usize,
}

/// The operator: what its step needs to know of a row.
struct Brief {
    completion: usize,
    most: usize,
}

impl Definition for Brief {
    const NAME: &'static str = "brief";
    const SOURCE: &'static str = include_str!("custom_operator.rs");
    type Config = Config;

    fn shape(_: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        inputs[0].column_of("from", "completion", &[Type::Text]).map_err(|problem| vec![problem])?;
        Ok(Shape::new(inputs[0].columns.clone()))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let brief = Self { completion: step.column("completion"), most: config.most };
        Ok(Body::Chain(vec![Stage::Row(Arc::new(brief))]))
    }
}

impl RowOp for Brief {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        let length = item.text(self.completion).unwrap_or_default().chars().count();
        if length <= self.most {
            out.pass(0, item);
        } else {
            out.reject(item, "too_long", format!("{length} characters"));
        }
    }
}

fn main() -> ExitCode {
    let mut catalog: Vec<&dyn Operator> = CATALOG.to_vec();
    catalog.push(&Op::<Brief>::NEW);
    flow::main_with(&catalog)
}
