//! `refine` draws a new completion from the question, a completion and its critique.
//!
//! The model sees the rendered template; the row keeps the plain `prompt`, so that what is learned from it is to answer
//! without the critique. Streams are named as by `sample`: raising `n` only draws what is missing.
//!
//! Ports: `out`, one row per draw: the refined row's columns followed by the record `draw`, which hides the earlier
//! draw; its parent is the refined row. Verdicts and critiques of the earlier completion stay until judged anew.
//!
//! Rejects: `not_rendered` (the template prints a null), `not_drawn` (the prompt does not fit the model's context),
//! `server_refused` and `server_failed` (a server has no answer). A model whose scores are not finite numbers ends the run.
//!
//! Cost: n model calls per row, memoised by model, rendered prompt, settings and stream.
//!
//! ```yaml
//! refined: {op: refine, from: checked.flawed, model: policy, n: 2, temperature: 0.7}
//! ```

use std::sync::Arc;

use flow_data::kind;
use flow_dataflow::{Body, Stage};
use flow_plan::{Input, Problem, Shape};

use crate::drawer::Drawer;
use crate::drawing::Drawn;
use crate::draws::{Ask, Draws};
use crate::sampling::with_sampling;
use crate::template::Template;
use crate::{BuildError, Definition, Env, StepContext};

/// What the model is asked.
const TEMPLATE: &str = include_str!("refine/template.txt");

with_sampling! {
    temperature: "crate::defaults::temperature",
    /// Options of `refine`.
    pub(crate) struct Config {
        /// The model: a declared one, or a step that trains one.
        #[expect(dead_code, reason = "planning resolves it by its key")]
        model: String,
        /// What the model is asked, a Jinja template over the row's columns; by default from `prompt`, `completion` and
        /// `critique`.
        template: Option<String>,
        /// Draws per row, at least 1.
        #[serde(default = "crate::defaults::one")]
        #[schemars(range(min = 1, max = 65_536))]
        n: u32,
    }
}

/// The operator.
pub(crate) struct Refine;

impl Definition for Refine {
    const NAME: &'static str = "refine";
    const SOURCE: &'static str = include_str!("refine.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let problems =
            Template::check("template", config.template.as_deref().unwrap_or(TEMPLATE), &inputs[0]);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Shape::new(inputs[0].columns.extended(kind("draw").columns())).using("model"))
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let params = config.params();
        let template = Template::new(config.template.as_deref().unwrap_or(TEMPLATE), &step.columns());
        let template = template.map_err(|error| BuildError::step(&step.step.name, error.to_string()))?;
        let drawer = Drawer {
            draws: Draws::new(step, env, params, config.seed.unwrap_or(step.plan.seed)),
            ask: Box::new(move |item| {
                template.render(item).map(Ask::from).map_err(|detail| ("not_rendered", detail))
            }),
            n: config.n,
        };
        Ok(Body::Chain(vec![Stage::Effect(Arc::new(Drawn(drawer)))]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{columns, mistakes, run_answered};

    #[test]
    fn the_new_completion_hides_the_old_and_the_prompt_stays_plain() {
        let row = json!({"prompt": "1+1?", "completion": "1+1=3", "critique": "Wrong.", "sample_index": 4});
        let yaml = "op: refine, model: critic, n: 2";
        let ports = run_answered(&columns("prompt draw critique"), &[row], yaml, "1+1=2\n#### 2");
        let mut indices: Vec<_> = ports["out"].iter().map(|row| row["sample_index"].as_i64()).collect();
        indices.sort_unstable();
        assert_eq!(indices, [Some(0), Some(1)]);
        for row in &ports["out"] {
            assert_eq!((&row["prompt"], &row["completion"]), (&json!("1+1?"), &json!("1+1=2\n#### 2")));
            assert_eq!(row["parent_ids"], json!(["00000000000000000000000000000000"]));
        }
    }

    #[test]
    fn a_row_without_a_critique_is_rejected() {
        let row = json!({"prompt": "1+1?", "completion": "1+1=3"});
        let yaml = "op: refine, model: critic";
        let ports = run_answered(&columns("prompt draw critique"), &[row], yaml, "");
        assert_eq!((ports["out"].len(), &ports["rejected"][0]["reason"]), (0, &json!("not_rendered")));
    }

    #[test]
    fn the_template_needs_its_columns() {
        let found = mistakes(Some(&columns("prompt draw")), "op: refine, model: critic");
        assert!(found.len() == 1 && found[0].contains("has no column `critique`"), "{found:?}");
    }
}
