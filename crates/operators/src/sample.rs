//! `sample` draws completions of each prompt from a model.
//!
//! Each draw has a random stream of its own, named by seed, row, round and sample index: draws do not depend on
//! batches, workers, order or restarts, and raising `n` only draws what is missing. In a fed loop every round draws
//! from the round's model.
//!
//! `prefix` lets completions begin with a given text, such as the first steps of a worked solution; it is part of the
//! completion. `until` is a floor (Guided Self-Improvement's quota): prompts with too few correct completions are drawn for
//! again, one draw after the other, until they have enough or their budget is spent; all their draws are rows. `routing` lets
//! the tokens of a mixture of experts visit others than its own choice.
//!
//! Ports: `out`, one row per draw: the prompt's columns followed by the record `draw`.
//!
//! Rejects: `not_drawn` (the prompt does not fit the model's context), `no_prompt` (the column is null or empty text),
//! `no_answer` (with `until`: nothing to judge by), `server_refused` and `server_failed` (a server has no answer;
//! `docs/servers.md`). A model whose scores are not finite numbers ends the run.
//!
//! Cost: one model call per draw, memoised by model, prompt, settings and stream; with `until` one call per prompt, memoised
//! with the floor, the budget and the known answer too.
//!
//! ```yaml
//! attempts: {op: sample, from: questions, model: policy, n: 4, temperature: 0.8, max_tokens: 160}
//! ```

mod floor;
mod routing;

use std::sync::Arc;

use flow_data::{Item, Type, kind};
use flow_dataflow::{Body, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_sampler::Params;

use crate::drawer::Drawer;
use crate::draws::{Ask, Draws};
use crate::sampling::with_sampling;
use crate::{BuildError, Definition, Env, StepContext};
use floor::{Floor, Until};
use routing::Routing;

with_sampling! {
    temperature: "crate::defaults::unit",
    /// Options of `sample`.
    pub(crate) struct Config {
        /// The model: a declared one, or a step that trains one.
        #[expect(dead_code, reason = "planning resolves it by its key")]
        model: String,
        /// Column that holds the text to continue.
        #[serde(default = "crate::defaults::prompt")]
        prompt: String,
        /// Draws per prompt, at least 1.
        #[serde(default = "crate::defaults::one")]
        #[schemars(range(min = 1, max = 65_536))]
        n: u32,
        /// Column with the text that completions begin with; where it is null or empty they begin freely. None by default.
        prefix: Option<String>,
        /// Which experts tokens visit, in place of the model's own choice; a model without experts does not look at it.
        routing: Option<Routing>,
        /// Draws again for prompts that have too few correct completions.
        until: Option<Until>,
    }
}

/// The operator.
pub(crate) struct Sample;

impl Definition for Sample {
    const NAME: &'static str = "sample";
    const SOURCE: &'static str = include_str!("sample.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let columns = [("prompt", Some(&config.prompt)), ("prefix", config.prefix.as_ref())];
        let texts = columns.iter().filter_map(|(key, name)| Some((key, (*name)?)));
        let mut problems: Vec<Problem> =
            texts.filter_map(|(key, name)| inputs[0].column_of(key, name, &[Type::Text]).err()).collect();
        problems.extend(config.routing.as_ref().and_then(|routing| routing.read().err()));
        if let Some(until) = &config.until {
            problems.extend(until.problems(config.n, &inputs[0]));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Shape::new(inputs[0].columns.extended(kind("draw").columns())).using("model"))
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let routing = config.routing.as_ref().and_then(|routing| routing.read().ok());
        let params = Params { routing, ..config.params() };
        let draws = Draws::new(step, env, params, config.seed.unwrap_or(step.plan.seed));
        let prompt = step.column(&config.prompt);
        let prefix = config.prefix.as_ref().map(|prefix| step.column(prefix));
        let ask = move |item: &Item| {
            let text = |column| item.text(column).filter(|text| !text.is_empty()).map(str::to_owned);
            let prompt = text(prompt).ok_or_else(|| ("no_prompt", "the prompt is empty".to_owned()))?;
            Ok(Ask { prompt, prefix: prefix.and_then(text) })
        };
        let drawer = Drawer { draws, n: config.n, ask: Box::new(ask) };
        let Some(until) = config.until else {
            return Ok(Body::Chain(vec![Stage::Effect(Arc::new(drawer))]));
        };
        Ok(Body::Chain(vec![Stage::Effect(Arc::new(Floor::new(until, drawer, step)?))]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{columns, mistakes, run_answered};

    #[test]
    fn an_empty_prompt_is_rejected() {
        let rows = [json!({"prompt": "1+1="}), json!({"prompt": ""}), json!({"prompt_id": "c"})];
        let ports = run_answered(&columns("prompt"), &rows, "op: sample, model: critic, n: 2", "2");
        assert_eq!(ports["out"].len(), 2);
        let reasons: Vec<_> = ports["rejected"].iter().map(|row| &row["reason"]).collect();
        assert_eq!(reasons, ["no_prompt", "no_prompt"]);
    }

    #[test]
    fn what_is_wrong_with_the_newer_keys_is_told() {
        for (keys, expected) in [
            ("prefix: begun", "has no column `begun`"),
            ("routing: {}", "one of `top_k`, `rank` and `top_p`"),
            ("routing: {top_k: 1, rank: 2}", "one of `top_k`, `rank` and `top_p`"),
            ("n: 4, until: {correct: 2, budget: 3}", "at least n, 4"),
            ("until: {correct: 9, budget: 8}", "at least `correct`, 9"),
            ("until: {correct: 1, budget: 8, answer: gold}", "has no column `gold`"),
            ("until: {correct: 1, budget: 8, preset: gsm}", "unknown preset"),
        ] {
            let found = mistakes(Some(&columns("prompt")), &format!("op: sample, model: critic, {keys}"));
            assert!(found.len() == 1 && found[0].contains(expected), "{keys}: {found:?}");
        }
    }

    #[test]
    fn an_empty_stop_text_is_a_mistake_wherever_models_write() {
        for op in [
            "sample, model: critic",
            "evaluate, model: critic",
            "refine, model: critic, template: x",
            "critique, by: model, model: critic, template: x",
        ] {
            let found = mistakes(Some(&columns("prompt draw")), &format!("op: {op}, stop: [a, \"\"]"));
            assert!(found.len() == 1 && found[0].contains("text of at least 1 character"), "{op}: {found:?}");
        }
    }
}
