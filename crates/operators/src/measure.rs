//! `measure` makes metrics of completions that are there and judged, as `evaluate` does of those that it draws.
//!
//! It is for completions that come about in several steps: refined, aggregated, replayed. Each problem of which a completion arrives
//! counts with `n`: those that are missing, rejected on the way, count as wrong. A problem of which none arrives is not known here, so
//! let those that cannot be decided arrive too (`judged.unknown`). `pass@K`, `maj@K` and `coverage` and their intervals are those of
//! `evaluate`; they are of the model that all completions are of, if it is one. `correct` says what is counted, a Jinja expression over the columns: by default that `verify` found the known
//! answer, or `(verdict == 'equal') == (critique_verdict == 'correct')`, how often a critic is right.
//!
//! Ports: `out`, one row per metric and level (record `metric`); `problems`, one row per problem (record `score`).
//!
//! Rejects: `over_n` (the problem has more than `n` completions), `no_prompt_id`, `not_evaluated` (an operation in `correct` does
//! not fit the value).
//!
//! Cost: keeps the rows arranged; a change recomputes the metrics of its round.
//!
//! ```yaml
//! accuracy: {op: measure, from: [judged.equal, judged.different, judged.unknown], n: 4, metrics: [pass@1, maj@4]}
//! ```

use std::sync::Arc;

use flow_data::{Item, Type, kind};
use flow_dataflow::{Body, Out, RowOp, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_verify::{Compare, Options};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::evaluate::report::{Places, Report};
use crate::metric::Metric;
use crate::template::Condition;
use crate::{BuildError, Definition, Env, StepContext};

/// Options of `measure`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Completions per problem, at least 1.
    #[schemars(range(min = 1, max = 65_536))]
    n: u32,
    /// What to report: `pass@K`, `maj@K` with K up to `n`, or `coverage`.
    #[serde(default = "metrics")]
    #[schemars(length(min = 1))]
    metrics: Vec<String>,
    /// When a completion counts as correct.
    #[serde(default = "correct")]
    correct: String,
    /// Names the resamples; by default the pipeline's seed.
    seed: Option<u64>,
}

fn metrics() -> Vec<String> {
    vec!["pass@1".into()]
}

fn correct() -> String {
    "verdict == 'equal'".into()
}

/// The columns that are read, as `sample` and `verify` make them.
const DRAWN: [(&str, Type); 4] =
    [("prompt_id", Type::Text), ("model", Type::Text), ("sample_index", Type::Int), ("extracted", Type::Text)];

/// The operator.
pub(crate) struct Measure;

impl Definition for Measure {
    const NAME: &'static str = "measure";
    const SOURCE: &'static str = include_str!("measure.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Condition::check("correct", &config.correct, &inputs[0]);
        problems.extend(Metric::wrong_among(&config.metrics, Some(config.n as usize)));
        let missing = DRAWN.iter().filter_map(|(name, kind)| inputs[0].column_of("from", name, &[*kind]).err());
        problems.extend(missing.map(|problem| problem.with_help("measure the rows of a `verify` step")));
        if !problems.is_empty() {
            return Err(problems);
        }
        let ports = [("out", kind("metric").columns().clone()), ("problems", kind("score").columns().clone())];
        Ok(Shape::with_ports(ports).ending())
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let invalid = |message: String| BuildError::step(&step.step.name, message);
        let n = config.n as usize;
        let metrics: Result<_, _> = config.metrics.iter().map(|metric| Metric::of_draws(metric, n)).collect();
        let correct = Condition::new(&config.correct, &step.columns());
        let judge = Judge {
            prompt_id: step.column("prompt_id"),
            correct: correct.map_err(|error| invalid(error.to_string()))?,
        };
        let places = Places {
            prompt_id: judge.prompt_id,
            level: step.columns().index("level"),
            model: step.column("model"),
            sample_index: step.column("sample_index"),
            extracted: step.column("extracted"),
            correct: step.columns().len(),
        };
        let report = Report {
            places,
            metrics: metrics.map_err(invalid)?,
            n,
            compare: Options::new(Compare::Math),
            seed: config.seed.unwrap_or(step.plan.seed),
        };
        Ok(Body::Chain(vec![Stage::Row(Arc::new(judge)), Stage::Keyed(Arc::new(report))]))
    }
}

/// Adds whether a completion is correct.
struct Judge {
    prompt_id: usize,
    correct: Condition,
}

impl RowOp for Judge {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        match self.correct.holds(item) {
            _ if item.text(self.prompt_id).is_none() => out.reject(item, "no_prompt_id", "the problem has no name"),
            Ok(correct) => out.extend(0, item, vec![correct.into()]),
            Err(detail) => out.reject(item, "not_evaluated", detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::testing::{columns, mistakes, run};

    fn row(id: &str, index: i64, extracted: &str, verdict: &str) -> Json {
        json!({"prompt_id": id, "level": id.len(), "sample_index": index, "extracted": extracted, "verdict": verdict, "model": "m"})
    }

    #[test]
    fn completions_that_are_missing_count_as_wrong_and_further_ones_are_rejected() {
        let rows = [
            row("a", 1, "2", "equal"),
            row("a", 0, "3", "different"),
            row("bb", 0, "2", "equal"),
            row("a", 2, "2", "equal"),
        ];
        let ports = run(&columns("prompt draw verdict"), &rows, "op: measure, n: 2, metrics: [pass@1, maj@2]");
        let mut scores: Vec<_> = ports["problems"].iter().map(|row| (row["prompt_id"].clone(), row["n_draws"].clone(), row["n_correct"].clone())).collect();
        scores.sort_by_key(|(id, ..)| id.to_string());
        assert_eq!(scores, [(json!("a"), json!(2), json!(1)), (json!("bb"), json!(2), json!(1))]);
        let value = |metric: &str, level: Option<i64>| {
            ports["out"].iter().find(|row| row["metric"] == metric && row.get("level").and_then(Json::as_i64) == level).unwrap()["value"].clone()
        };
        assert_eq!((value("pass@1", None), value("maj@2", None), value("maj@2", Some(2))), (json!(0.5), json!(0.5), json!(1.0)));
        assert_eq!((ports["rejected"].len(), &ports["rejected"][0]["reason"]), (1, &json!("over_n")));
    }

    #[test]
    fn what_counts_as_correct_can_be_said() {
        let rows = [row("a", 0, "2", "different"), row("b", 0, "2", "equal"), json!({"sample_index": 0})];
        let yaml = "op: measure, n: 1, correct: \"verdict == 'different'\"";
        let ports = run(&columns("prompt draw verdict"), &rows, yaml);
        assert!(ports["out"].iter().any(|row| row.get("level").is_none() && row["value"] == 0.5), "{ports:?}");
        assert_eq!(ports["rejected"][0]["reason"], json!("no_prompt_id"));
    }

    #[test]
    fn answers_that_are_written_differently_vote_together() {
        let said = [("0.5", "equal"), ("\\frac12", "equal"), ("3", "different"), ("1/2", "equal"), ("3", "different")];
        let rows: Vec<Json> =
            said.iter().zip(0..).map(|((answer, verdict), index)| row("a", index, answer, verdict)).collect();
        let ports = run(&columns("prompt draw verdict"), &rows, "op: measure, n: 5, metrics: [maj@5, maj@3]");
        assert!(ports["out"].iter().all(|row| row["value"] == 1.0), "{ports:?}");
        assert_eq!(ports["problems"][0]["majority_correct"], json!(true));
    }

    #[test]
    fn completions_without_one_recorded_model_are_measured_too() {
        let model = |models: [Json; 2]| {
            let row = |(model, index): (Json, i64)| json!({"prompt_id": "a", "sample_index": index, "verdict": "equal", "model": model});
            let rows: Vec<Json> = models.into_iter().zip(0..).map(row).collect();
            let ports = run(&columns("prompt draw verdict"), &rows, "op: measure, n: 2");
            (ports["out"][0]["model"].clone(), ports["problems"][0]["model"].clone())
        };
        assert_eq!(model([json!("m"), json!("m")]), (json!("m"), json!("m")));
        assert_eq!(model([json!("m"), json!("other")]), (json!(null), json!(null)));
        assert_eq!(model([json!(null), json!(null)]), (json!(null), json!(null)));
        for name in ["metric", "score"] {
            assert!(super::kind(name).columns().get("model").is_some_and(|column| column.nullable), "{name}");
        }
    }

    #[test]
    fn mistakes_are_told_before_the_run() {
        let found = mistakes(Some(&columns("prompt draw verdict")), "op: measure, n: 2, metrics: [maj@3], correct: verdct == 'equal'");
        assert_eq!(found.len(), 2, "{found:?}");
        let found = mistakes(Some(&columns("prompt verdict")), "op: measure, n: 2");
        assert!(found.len() == 2 && found[0].contains("measure the rows of a `verify` step"), "{found:?}");
    }
}
