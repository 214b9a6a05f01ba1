//! `evaluate` measures a model on held-out problems: n draws each, judged against the known answer.
//!
//! pass@k is estimated without bias from n draws (1 - C(n-c, k) / C(n, k)); maj@k takes the most frequent answer among
//! the first k, however it is written; `coverage` is the share of problems solved by any draw. Intervals are 95 % percentile bootstraps over
//! problems. Every round uses the same random streams, so that rounds are compared on common random numbers. A step
//! that trains is measured before its first round too: round 0 is the model it starts from.
//!
//! Ports: `out`, one row per metric and level (record `metric`); `problems`, one row per problem (record `score`).
//!
//! Rejects: `not_drawn` (the prompt does not fit the model's context), `no_prompt_id`, `no_prompt`, `no_answer` (nothing
//! to judge by), `server_refused` and `server_failed` (a server has no answer). A model whose scores are not finite numbers ends the run.
//!
//! `preset` sets how completions are judged, with the names and meanings of `verify`; `extract` and `compare` change it.
//!
//! Cost: n model calls per problem and model, memoised.
//!
//! ```yaml
//! scores: {op: evaluate, from: held_out, model: learner, n: 8, temperature: 0.7, metrics: [pass@1, pass@8]}
//! ```

pub(crate) mod report;

use std::sync::Arc;

use flow_data::{Id, Item, Round, Type, Value, kind};
use flow_dataflow::{Body, Out, RowOp, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_verify::{Grader, Outcome};

use crate::drawing::{Drawing, Drawn, Refused};
use crate::draws::{Ask, Draw, Draws};
use crate::metric::Metric;
use crate::sampling::with_sampling;
use crate::{BuildError, Definition, Env, StepContext, grading};
use report::{Places, Report};

with_sampling! {
    temperature: "crate::defaults::temperature",
    /// Options of `evaluate`.
    pub(crate) struct Config {
        /// The model: a declared one, or a step that trains one.
        #[expect(dead_code, reason = "planning resolves it by its key")]
        model: String,
        /// What to report: `pass@K`, `maj@K` with K up to `n`, or `coverage`.
        #[serde(default = "metrics")]
        #[schemars(length(min = 1))]
        metrics: Vec<String>,
        /// Column that holds the text to continue.
        #[serde(default = "crate::defaults::prompt")]
        prompt: String,
        /// Column that holds the known answer.
        #[serde(default = "crate::defaults::answer")]
        answer: String,
        /// The data set whose rules hold, as in `verify`: `gsm8k`, `math`, `aime`, `boxed`, `numeric`, `choice` or `exact`.
        preset: Option<String>,
        /// Where a completion states its answer, as in `verify`; `auto` without a preset.
        extract: Option<String>,
        /// How answers are compared: `math`, `numeric` or `exact`; `math` without a preset.
        compare: Option<String>,
        /// Draws per problem, at least 1.
        #[serde(default = "eight")]
        #[schemars(range(min = 1, max = 65_536))]
        n: u32,
    }
}

fn metrics() -> Vec<String> {
    vec!["pass@1".into()]
}

fn eight() -> u32 {
    8
}

/// The operator.
pub(crate) struct Evaluate;

impl Definition for Evaluate {
    const NAME: &'static str = "evaluate";
    const SOURCE: &'static str = include_str!("evaluate.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Metric::wrong_among(&config.metrics, Some(config.n as usize));
        problems.extend(config.grader().err().unwrap_or_default());
        for (key, name) in [("prompt", &config.prompt), ("answer", &config.answer)] {
            problems.extend(inputs[0].column_of(key, name, &[Type::Text]).err());
        }
        problems.extend(inputs[0].column_of("from", "prompt_id", &[Type::Text]).err());
        if !problems.is_empty() {
            return Err(problems);
        }
        let ports =
            [("out", kind("metric").columns().clone()), ("problems", kind("score").columns().clone())];
        Ok(Shape::with_ports(ports).using("model").ending())
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let invalid = |message: String| BuildError::step(&step.step.name, message);
        let grader = config.grader();
        let params = config.params();
        let seed = config.seed.unwrap_or(step.plan.seed);
        let n = config.n as usize;
        let metrics = config.metrics.iter().map(|metric| Metric::of_draws(metric, n));
        let width = step.columns().len();
        let exam = Exam {
            draws: Draws::new(step, env, params, seed),
            prompt_id: step.column("prompt_id"),
            prompt: step.column(&config.prompt),
            answer: step.column(&config.answer),
            n: config.n,
        };
        let grader = grader.map_err(|problems| invalid(problems[0].message.clone()))?;
        let compare = grader.options.clone();
        let judge = Judge { answer: exam.answer, completion: width, grader };
        let places = Places {
            prompt_id: exam.prompt_id,
            level: step.columns().index("level"),
            model: width + 1,
            sample_index: width + 2,
            extracted: width + 3,
            correct: width + 4,
        };
        let report = Report {
            places,
            metrics: metrics.collect::<Result<_, _>>().map_err(invalid)?,
            n,
            compare,
            seed,
        };
        Ok(Body::Chain(vec![
            Stage::Effect(Arc::new(Drawn(exam))),
            Stage::Row(Arc::new(judge)),
            Stage::Keyed(Arc::new(report)),
        ]))
    }
}

impl Config {
    /// How completions are judged; all that is wrong with its keys.
    fn grader(&self) -> Result<Grader, Vec<Problem>> {
        let keys = [("extract", &self.extract), ("compare", &self.compare)];
        let given = keys.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        grading::grader(self.preset.as_deref(), given)
    }
}

/// Draws n completions of each problem: the problem's cells followed by completion, model, sample index.
struct Exam {
    draws: Draws,
    prompt_id: usize,
    prompt: usize,
    answer: usize,
    n: u32,
}

impl Drawing for Exam {
    fn draws(&self) -> &Draws {
        &self.draws
    }

    fn first(&self, item: &Item) -> Result<u32, Refused> {
        item.text(self.prompt_id).ok_or_else(|| ("no_prompt_id", "the problem has no name".to_owned()))?;
        item.text(self.answer).ok_or_else(|| ("no_answer", "there is no known answer".to_owned()))?;
        Ok(self.n)
    }

    fn ask(&self, item: &Item, _: u32) -> Result<Ask, Refused> {
        let prompt = item.text(self.prompt).filter(|prompt| !prompt.is_empty());
        let prompt = prompt.ok_or_else(|| ("no_prompt", "the prompt is empty".to_owned()))?;
        Ok(prompt.to_owned().into())
    }

    /// Rounds are compared on common random numbers.
    fn round(&self, _: &Item) -> Round {
        0
    }

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        for (index, answer) in answers.iter().enumerate() {
            let id = Id::of("exam", [item.row.id.0.as_slice(), &index.to_le_bytes()]);
            let model = model.map(|model| model.to_string()).into();
            let cells = vec![Draw::new(answer).completion().into(), model, (index as i64).into()];
            out.derive(0, item, item.row.round, id, cells);
        }
    }
}

/// Adds the extracted answer and whether it is correct.
struct Judge {
    answer: usize,
    completion: usize,
    grader: Grader,
}

impl RowOp for Judge {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        let gold = item.text(self.answer).unwrap_or_default();
        let graded = self.grader.grade(gold, item.text(self.completion).unwrap_or_default());
        let correct = graded.verdict.outcome == Outcome::Equal;
        out.extend(0, item, vec![graded.extracted.map(|answer| answer.into_owned()).into(), correct.into()]);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{columns, mistakes, run_answered};

    #[test]
    fn draws_of_a_problem_are_counted_together() {
        let problem = |id: &str, answer: &str| json!({"prompt_id": id, "prompt": "1+1?", "answer": answer});
        let rows = [problem("a", "2"), problem("b", "3"), json!({"prompt": "1+1?", "answer": "2"})];
        let yaml = "op: evaluate, model: critic, n: 4, top_k: 5, metrics: [pass@4]";
        let ports = run_answered(&columns("prompt"), &rows, yaml, "#### 2");
        let mut scores: Vec<_> = ports["problems"]
            .iter()
            .map(|row| (row["prompt_id"].as_str(), row["n_draws"].as_i64(), row["n_correct"].as_i64()))
            .collect();
        scores.sort_unstable();
        assert_eq!(scores, [(Some("a"), Some(4), Some(4)), (Some("b"), Some(4), Some(0))]);
        assert_eq!((ports["out"].len(), &ports["out"][0]["value"]), (1, &json!(0.5)));
        assert_eq!(ports["rejected"][0]["reason"], json!("no_prompt_id"));
    }

    #[test]
    fn a_preset_says_where_answers_stand() {
        let rows = [json!({"prompt_id": "a", "prompt": "1+1?", "answer": "2"})];
        let correct = |preset: &str| {
            let yaml = format!("op: evaluate, model: critic, n: 4, top_k: 5, metrics: [pass@4], preset: {preset}");
            run_answered(&columns("prompt"), &rows, &yaml, "so 1 + 1 is 2").remove("problems").unwrap()[0]["n_correct"].clone()
        };
        assert_eq!((correct("gsm8k"), correct("boxed")), (json!(4), json!(0)));
        let found = mistakes(Some(&columns("prompt")), "op: evaluate, model: critic, preset: gsm, extract: box");
        assert!(found.len() == 2 && found[0].contains("unknown preset \"gsm\""), "{found:?}");
    }

    #[test]
    fn problems_need_names() {
        let yaml = "op: evaluate, model: critic";
        let found = mistakes(Some(&columns("prompt:text answer:text")), yaml);
        assert!(found.len() == 1 && found[0].contains("has no column `prompt_id`"), "{found:?}");
    }
}
