//! `perplexity` measures how well a model predicts texts that are given: held-out solutions, or whole documents.
//!
//! Each token of `completion` is scored after all before it, and so is the end of the text, as in training; what stands in
//! `prompt` is read and not scored: of a model with `chat: true` it is the user's message. Perplexity is the exponential of the mean nats per token. `by` names a column, such as
//! `domain` or `level`, whose values are measured apart; the row without a group is then the mean of theirs. Intervals are
//! 95 % percentile bootstraps over problems. The same texts are scored for every model and round, so that two models are
//! compared problem by problem.
//!
//! Ports: `out`, one row per group and one for all (record `perplexity`); `problems`, one row per problem (record `likelihood`).
//!
//! Rejects: `no_prompt_id`, `no_text` (there is nothing to score), `not_scored` (the text does not fit the model's context). A
//! model whose scores are not finite numbers ends the run.
//!
//! Cost: one reading of each text per model, memoised by prompt, text and model. Needs the model's weights.
//!
//! ```yaml
//! held: {op: perplexity, from: held_out, model: learner, completion: solution, by: domain}
//! ```

mod reader;
mod report;

use std::sync::Arc;

use flow_data::{Type, kind};
use flow_dataflow::{Body, Stage};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::conversation::Manner;
use crate::{BuildError, Definition, Env, StepContext};
use reader::Reader;
use report::Report;

/// Options of `perplexity`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The model: a declared one, or a step that makes one.
    #[expect(dead_code, reason = "planning resolves it by its key")]
    model: String,
    /// Column with the text before what is scored; `null` scores texts from their second token on.
    #[serde(default = "prompt")]
    prompt: Option<String>,
    /// Column with the text to score.
    #[serde(default = "crate::defaults::completion")]
    completion: String,
    /// Column, of texts or whole numbers, whose values are measured apart.
    by: Option<String>,
    /// Names the resamples; by default the pipeline's seed.
    seed: Option<u64>,
}

fn prompt() -> Option<String> {
    Some(crate::defaults::prompt())
}

/// The operator.
pub(crate) struct Perplexity;

impl Definition for Perplexity {
    const NAME: &'static str = "perplexity";
    const SOURCE: &'static str = include_str!("perplexity.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let columns: [(&str, Option<&str>, &[Type]); 4] = [
            ("prompt", config.prompt.as_deref(), &[Type::Text]),
            ("completion", Some(&config.completion), &[Type::Text]),
            ("by", config.by.as_deref(), &[Type::Text, Type::Int]),
            ("from", Some("prompt_id"), &[Type::Text]),
        ];
        let missing = |(key, name, types): (&str, Option<&str>, &[Type])| inputs[0].column_of(key, name?, types).err();
        let problems: Vec<Problem> = columns.into_iter().filter_map(missing).collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let ports = ["out", "problems"].into_iter().zip(["perplexity", "likelihood"]);
        let ports = ports.map(|(port, name)| (port, kind(name).columns().clone()));
        Ok(Shape::with_ports(ports).using("model").with_weights().ending())
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let prompt_id = step.column("prompt_id");
        let reader = Reader {
            models: env.models.clone(),
            threads: env.threads,
            version: step.step.version,
            manner: Manner::of(step),
            prompt_id,
            prompt: config.prompt.as_ref().map(|name| step.column(name)),
            completion: step.column(&config.completion),
        };
        let report = Report {
            prompt_id,
            by: config.by.as_ref().map(|name| step.column(name)),
            scored: step.columns().len(),
            seed: config.seed.unwrap_or(step.plan.seed),
        };
        Ok(Body::Chain(vec![Stage::Effect(Arc::new(reader)), Stage::Keyed(Arc::new(report))]))
    }
}

#[cfg(test)]
mod tests {
    use flow_data::Value;
    use serde_json::{Value as Json, json};

    use crate::testing::{Ports, columns, mistakes, run_remembered};

    /// Every text has 4 tokens of half a nat together.
    fn measure(rows: &[Json], options: &str) -> Ports {
        let yaml = format!("op: perplexity, model: critic{options}");
        run_remembered(&columns("prompt completion:text"), rows, &yaml, vec![Value::Float(0.5), Value::Int(4)])
    }

    #[test]
    fn texts_of_a_problem_count_together() {
        let row = |id: &str, text: &str| json!({"prompt_id": id, "prompt": "1+1=", "completion": text});
        let rows = [row("a", "2"), row("a", "3"), row("b", "2"), json!({"prompt_id": "c"}), json!({"completion": "2"})];
        let ports = measure(&rows, "");
        let problem = |at: usize, key: &str| ports["problems"][at][key].clone();
        let mut problems = [0, 1].map(|at| (problem(at, "prompt_id"), problem(at, "n_texts"), problem(at, "nats")));
        problems.sort_by_key(|(id, ..)| id.to_string());
        assert_eq!(problems, [(json!("a"), json!(2), json!(1.0)), (json!("b"), json!(1), json!(0.5))]);
        assert_eq!((ports["problems"].len(), ports["out"].len()), (2, 1));
        let all = &ports["out"][0];
        assert_eq!((&all["perplexity"], &all["n_tokens"]), (&json!((0.125f64).exp()), &json!(12)));
        let mut reasons: Vec<_> = ports["rejected"].iter().map(|row| row["reason"].as_str()).collect();
        reasons.sort_unstable();
        assert_eq!(reasons, [Some("no_prompt_id"), Some("no_text")]);
    }

    #[test]
    fn groups_are_measured_apart() {
        let row = |id: &str, level: i64| json!({"prompt_id": id, "level": level, "completion": "2"});
        let rows = [row("a", 1), row("b", 1), row("c", 3)];
        let ports = measure(&rows, ", by: level, prompt: null");
        let mut groups: Vec<_> = ports["out"].iter().map(|row| (row["group"].as_str(), row["n_problems"].as_i64())).collect();
        groups.sort_unstable();
        assert_eq!(groups, [(None, Some(3)), (Some("1"), Some(2)), (Some("3"), Some(1))]);
    }

    #[test]
    fn columns_must_be_there() {
        let found = mistakes(Some(&columns("prompt")), "op: perplexity, model: critic, by: domain");
        assert_eq!(found.len(), 2, "{found:?}");
        let texts = columns("prompt_id:text text:text");
        let ports = mistakes(Some(&texts), "op: perplexity, model: critic, prompt: null, completion: text");
        assert_eq!(ports, [""; 0]);
    }
}
