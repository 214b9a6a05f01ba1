//! `sample` draws completions of each prompt from a model.
//!
//! Each draw has a random stream of its own, named by seed, row, round and sample index: draws do not depend on
//! batches, workers, order or restarts, and raising `n` only draws what is missing. In a fed loop every round draws
//! from the round's model.
//!
//! `prefix` lets completions begin with a given text, such as the first steps of a worked solution; it is part of the
//! completion. `until` is a floor (Guided Self-Improvement's quota, arXiv 2411.00750): prompts with too few correct completions
//! are drawn for again, with as many draws as they lack at least, until they have enough or their budget is spent; all their
//! draws are rows. With a `guide` the draws beyond the first `n` are helped: by a template in place of the prompt, which may tell
//! the answer, or by the beginning of a worked solution. Their rows keep the plain prompt. `routing` lets the tokens of a
//! mixture of experts visit others than its own choice.
//!
//! Ports: `out`, one row per draw: the prompt's columns followed by the record `draw`, with `until` by `guidance` too.
//!
//! Rejects: `not_drawn` (the prompt does not fit the model's context), `no_prompt` (the column is null or empty text),
//! `no_answer` (with `until`: nothing to judge by), `not_rendered` (the guide's template prints a null), `server_refused` and
//! `server_failed` (a server has no answer; `docs/servers.md`). A model whose scores are not finite numbers ends the run.
//!
//! Cost: one model call per draw, memoised by model, prompt, settings and stream, with `until` as without: a larger `n`, floor or
//! budget asks for what is missing. With `until`, a prompt's draws are graded again each time that it is drawn for.
//!
//! ```yaml
//! attempts: {op: sample, from: questions, model: policy, n: 4, temperature: 0.8, until: {correct: 2, budget: 8}}
//! ```

mod floor;
mod guide;
mod routing;

use std::sync::Arc;

use flow_data::{Item, Type, kind};
use flow_dataflow::{Body, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_sampler::Params;

use crate::drawer::Drawer;
use crate::drawing::Drawn;
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
            problems.extend(until.problems(config.n, config.prefix.is_some(), &inputs[0]));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let drawn = inputs[0].columns.extended(kind("draw").columns());
        let columns = if config.until.is_some() { drawn.extended(kind("guidance").columns()) } else { drawn };
        Ok(Shape::new(columns).using("model"))
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
            return Ok(Body::Chain(vec![Stage::Effect(Arc::new(Drawn(drawer)))]));
        };
        Ok(Body::Chain(vec![Stage::Effect(Arc::new(Drawn(Floor::new(until, drawer, step)?)))]))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

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
            ("until: {correct: 1, budget: 8, guide: {}}", "one of `template` and `prefix`"),
            ("until: {correct: 1, budget: 8, guide: {template: x, prefix: solution}}", "one of `template` and `prefix`"),
            ("until: {correct: 1, budget: 8, guide: {template: \"{{ gold }}\"}}", "has no column `gold`"),
            ("until: {correct: 1, budget: 8, guide: {prefix: worked}}", "has no column `worked`"),
            ("until: {correct: 1, budget: 8, guide: {template: x, parts: lines}}", "those of `prefix`"),
            ("prefix: solution, until: {correct: 1, budget: 8, guide: {prefix: solution}}", "already"),
        ] {
            let found = mistakes(Some(&columns("prompt")), &format!("op: sample, model: critic, {keys}"));
            assert!(found.len() == 1 && found[0].contains(expected), "{keys}: {found:?}");
        }
    }

    /// For each draw of the only prompt, in order: `guided` and `given`.
    fn guided(until: &str) -> Vec<(Option<String>, Option<i64>)> {
        let row = json!({"prompt": "2+3, times 2?", "answer": "10", "solution": "2+3=5\n5*2=10\n#### 10"});
        let yaml = format!("op: sample, model: critic, n: 2, until: {until}");
        let ports = run_answered(&columns("prompt"), &[row], &yaml, "#### 11");
        let mut rows = ports["out"].clone();
        rows.sort_by_key(|row| row["sample_index"].as_i64());
        assert!(rows.iter().all(|row| row["prompt"] == "2+3, times 2?"), "prompts stay plain: {rows:?}");
        let cells = |row: &Json| (row["guided"].as_str().map(str::to_owned), row["given"].as_i64());
        rows.iter().map(cells).collect()
    }

    #[test]
    fn draws_beyond_the_first_are_helped_and_say_so() {
        let plain = || (None, None);
        let prefix = |given| (Some("prefix".to_owned()), Some(given));
        let expected = [plain(), plain(), prefix(6), prefix(13), prefix(13), prefix(6)];
        assert_eq!(guided("{correct: 1, budget: 6, guide: {prefix: solution}}"), expected);
        let template = || (Some("template".to_owned()), None);
        let found = guided("{correct: 3, budget: 4, guide: {template: \"{{ prompt }} {{ answer }}\"}}");
        assert_eq!(found, [plain(), plain(), template(), template()]);
        assert_eq!(guided("{correct: 1, budget: 4}"), [plain(), plain(), plain(), plain()]);
    }

    #[test]
    fn a_prompt_that_a_guide_cannot_render_is_rejected_before_it_is_drawn_for() {
        let rows = [json!({"prompt": "1+1=", "answer": "2"}), json!({"prompt": "1+1="})];
        let guide = "guide: {template: \"{{ solution }}\"}";
        let yaml = format!("op: sample, model: critic, n: 2, until: {{correct: 1, budget: 3, {guide}}}");
        let ports = run_answered(&columns("prompt"), &rows, &yaml, "2");
        let reasons: Vec<_> = ports["rejected"].iter().map(|row| &row["reason"]).collect();
        assert_eq!(ports["out"].len(), 0);
        assert_eq!(reasons, ["not_rendered", "no_answer"]);
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
