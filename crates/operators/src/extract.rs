//! `extract` finds the final answer that a completion states.
//!
//! `boxed` takes the last `\boxed{..}`, `final_line` what follows the last `####`, `tag` an `<answer>`, `phrase` what
//! follows "the answer is" and its like, also in Chinese; `last_line`, `last_number`, `last_expression` and `whole` go by
//! place; `choice` takes the letter of a choice, `json:PATH` a value of JSON, `regex:PATTERN` the last match. `auto` tries
//! a box, a final line, a tag, a phrase, then the last expression. Reasoning in `<think>` is left out.
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
use flow_verify::{Extraction, Grader};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{BuildError, Definition, Env, StepContext};

/// Options of `extract`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where a completion states its answer: `auto`, `boxed`, `final_line`, `tag`, `phrase`, `last_line`, `last_number`,
    /// `last_expression`, `choice`, `whole`, `json:PATH` or `regex:PATTERN`.
    #[serde(default = "crate::defaults::extract")]
    extract: String,
    /// How clearly an answer must be marked: `strict`, `normal` or `lenient`; `normal` by default.
    strictness: Option<String>,
    /// What several boxes mean: `last`, `joined` or `all`; `joined` by default.
    boxes: Option<String>,
    /// Column that holds the completion.
    #[serde(default = "crate::defaults::completion")]
    completion: String,
}

/// The operator.
pub(crate) struct Extract;

impl Definition for Extract {
    const NAME: &'static str = "extract";
    const SOURCE: &'static str = include_str!("extract.rs");
    const VERSION: u32 = 2;
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = config.extraction().err().unwrap_or_default();
        problems.extend(inputs[0].column_of("completion", &config.completion, &[Type::Text]).err());
        if !problems.is_empty() {
            return Err(problems);
        }
        let extracted =
            Column::new("extracted", Type::Text, false, "The final answer found in the completion.");
        Ok(Shape::new(inputs[0].columns.extended(&Columns::new([extracted]))))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let invalid = |problems: Vec<Problem>| BuildError::step(&step.step.name, &problems[0].message);
        let extractor = Extractor {
            completion: step.column(&config.completion),
            extraction: config.extraction().map_err(invalid)?,
        };
        Ok(Body::Chain(vec![Stage::Row(Arc::new(extractor))]))
    }
}

impl Config {
    /// The keys as one; all that is wrong with them.
    fn extraction(&self) -> Result<Extraction, Vec<Problem>> {
        let mut grader = Grader::default();
        let keys = [
            ("extract", Some(&self.extract)),
            ("strictness", self.strictness.as_ref()),
            ("boxes", self.boxes.as_ref()),
        ];
        let set = keys.into_iter().filter_map(|(key, value)| Some((key, grader.set(key, value?).err()?)));
        let problems: Vec<Problem> = set.map(|(key, error)| Problem::new(key, error.to_string())).collect();
        if problems.is_empty() { Ok(grader.extraction) } else { Err(problems) }
    }
}

struct Extractor {
    completion: usize,
    extraction: Extraction,
}

impl RowOp for Extractor {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        let completion = item.text(self.completion).unwrap_or_default();
        match self.extraction.find(completion) {
            Ok(answer) => out.extend(0, item, vec![(*answer.text).into()]),
            Err(missing) => out.reject(item, "no_answer", missing.to_string()),
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
            mistakes(Some(&columns("prompt draw")), "op: extract, extract: first_line, completion: level");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("`first_line`: unknown extract"), "{found:?}");
    }
}
