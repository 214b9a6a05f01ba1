//! `extract` finds the final answer that a completion states.
//!
//! `final_line` takes what follows the last `####`, `boxed` the last `\boxed{..}`, `last_number` the last number;
//! `auto` tries a box, a final line, "the answer is", then the last number.
//!
//! Ports: `out`, the row followed by the column `extracted`.
//!
//! Rejects: `no_answer` (the completion states none, or there is no completion).
//!
//! Cost: linear in the text.
//!
//! ```yaml
//! answers: {op: extract, from: attempts, extract: final_line}
//! ```

use std::sync::Arc;

use flow_data::{Column, Columns, Item, Type};
use flow_dataflow::{Body, Out, RowOp, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_verify::Extract as Rule;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{BuildError, Definition, Env, StepContext};

/// Options of `extract`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where a completion states its answer: `final_line`, `boxed`, `last_number` or `auto`.
    #[serde(default = "crate::defaults::extract")]
    extract: String,
    /// Column that holds the completion.
    #[serde(default = "crate::defaults::completion")]
    completion: String,
}

/// The operator.
pub(crate) struct Extract;

impl Definition for Extract {
    const NAME: &'static str = "extract";
    const SOURCE: &'static str = include_str!("extract.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Vec::new();
        problems.extend(config.extract.parse::<Rule>().err().map(|e| Problem::new("extract", e.to_string())));
        problems.extend(inputs[0].column_of("completion", &config.completion, &[Type::Text]).err());
        if !problems.is_empty() {
            return Err(problems);
        }
        let extracted =
            Column::new("extracted", Type::Text, false, "The final answer found in the completion.");
        Ok(Shape::new(inputs[0].columns.extended(&Columns::new([extracted]))))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let rule = config.extract.parse();
        let extractor = Extractor {
            completion: step.column(&config.completion),
            rule: rule
                .map_err(|e: flow_verify::UnknownName| BuildError::step(&step.step.name, e.to_string()))?,
        };
        Ok(Body::Chain(vec![Stage::Row(Arc::new(extractor))]))
    }
}

struct Extractor {
    completion: usize,
    rule: Rule,
}

impl RowOp for Extractor {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        let completion = item.text(self.completion).unwrap_or_default();
        match flow_verify::extract(completion, self.rule) {
            Some(answer) => out.extend(0, item, vec![answer.text.into()]),
            None => out.reject(item, "no_answer", "the completion states no answer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{columns, mistakes, run};

    #[test]
    fn answers_are_added_and_rows_without_one_rejected() {
        let rows = [
            json!({"prompt_id": "a", "completion": "1+1=2\n#### 2"}),
            json!({"prompt_id": "b", "completion": "I do not know"}),
            json!({"prompt_id": "c"}),
        ];
        let ports = run(&columns("prompt draw"), &rows, "op: extract, extract: final_line");
        assert_eq!(
            ports["out"],
            [json!({"prompt_id": "a", "completion": "1+1=2\n#### 2", "extracted": "2"})]
        );
        let rejected: Vec<_> =
            ports["rejected"].iter().map(|row| (&row["prompt_id"], &row["reason"])).collect();
        assert_eq!(rejected, [(&json!("b"), &json!("no_answer")), (&json!("c"), &json!("no_answer"))]);
    }

    #[test]
    fn mistakes_are_told_together() {
        let found =
            mistakes(Some(&columns("prompt draw")), "op: extract, extract: last_line, completion: level");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("`last_line`: unknown extract"), "{found:?}");
    }
}
