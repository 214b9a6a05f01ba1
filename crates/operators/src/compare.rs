//! `compare` tells what a round gained: the difference of each metric to an earlier round, problem by problem.
//!
//! It reads the `problems` of an `evaluate` step. A difference is the mean over the problems that both rounds have; its
//! interval is a 95 % percentile bootstrap over these pairs, which is narrower than those of the two rounds, because the
//! problems are the same. An interval that holds 0 is no evidence of a change.
//!
//! Ports: `out`, one row per metric and round after the first (record `comparison`).
//!
//! Rejects: `not_measured` (the problem has too few draws for a metric; `maj@K` is known where K draws were made).
//!
//! Cost: 1,000 resamples of the problems for each metric and round; a change recomputes all of them.
//!
//! ```yaml
//! gains: {op: compare, from: scores.problems, baseline: first, metrics: [pass@1, pass@8]}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_data::{Id, Item, Round, Type, Value, kind};
use flow_dataflow::{Body, KeyedOp, Out, Stage};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::metric::Metric;
use crate::statistics::{bootstrap, pass_at_k};
use crate::{BuildError, Definition, Env, StepContext};

/// Options of `compare`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// What to compare: `pass@K`, `maj@K` or `coverage`.
    #[serde(default = "metrics")]
    #[schemars(length(min = 1))]
    metrics: Vec<String>,
    /// The round that each round is compared with.
    #[serde(default)]
    baseline: Baseline,
    /// Names the resamples; by default the pipeline's seed.
    seed: Option<u64>,
}

/// The round that another is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Baseline {
    /// The first one measured: the model that training started from.
    #[default]
    First,
    /// The one before.
    Previous,
}

fn metrics() -> Vec<String> {
    vec!["pass@1".into()]
}

/// The columns that are read, as `evaluate` makes them.
const SCORE: [(&str, Type); 4] = [
    ("prompt_id", Type::Text),
    ("n_draws", Type::Int),
    ("n_correct", Type::Int),
    ("majority_correct", Type::Bool),
];

/// The operator.
pub(crate) struct Compare;

impl Definition for Compare {
    const NAME: &'static str = "compare";
    const SOURCE: &'static str = include_str!("compare.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Metric::wrong_among(&config.metrics, None);
        let help = "compare the `problems` of an `evaluate` step: `from: scores.problems`";
        let missing = SCORE.iter().find_map(|(name, kind)| inputs[0].column_of("from", name, &[*kind]).err());
        problems.extend(missing.map(|problem| problem.with_help(help)));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Shape::new(kind("comparison").columns().clone()).ending())
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let metrics = config.metrics.iter().map(|metric| Metric::parse(metric)).collect::<Result<_, _>>();
        let comparer = Comparer {
            score: SCORE.map(|(name, _)| step.column(name)),
            metrics: metrics.map_err(|message: String| BuildError::step(&step.step.name, message))?,
            baseline: config.baseline,
            seed: config.seed.unwrap_or(step.plan.seed),
        };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(comparer))]))
    }
}

struct Comparer {
    /// Where the columns of [`SCORE`] are.
    score: [usize; 4],
    metrics: Vec<Metric>,
    baseline: Baseline,
    seed: u64,
}

/// The value of each metric of each problem of a round.
type Values = BTreeMap<String, Vec<f64>>;

impl KeyedOp for Comparer {
    fn key(&self, _: &Item) -> Id {
        Id::default()
    }

    fn across_rounds(&self) -> bool {
        true
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        let mut rounds: BTreeMap<Round, Values> = BTreeMap::new();
        for item in items {
            match self.metrics.iter().map(|metric| self.value(*metric, item)).collect() {
                Ok(values) => {
                    out.take(item);
                    let problem = item.text(self.score[0]).unwrap_or_default().to_owned();
                    rounds.entry(item.row.round).or_default().insert(problem, values);
                }
                Err(detail) => out.reject(item, "not_measured", detail),
            }
        }
        let rounds: Vec<(Round, Values)> = rounds.into_iter().collect();
        for (at, (round, values)) in rounds.iter().enumerate().skip(1) {
            let (base, base_values) = match self.baseline {
                Baseline::First => &rounds[0],
                Baseline::Previous => &rounds[at - 1],
            };
            for (metric, name) in self.metrics.iter().enumerate() {
                let shared = values.iter().filter_map(|(id, values)| Some((values, base_values.get(id)?)));
                let differences: Vec<f64> = shared.map(|(new, old)| new[metric] - old[metric]).collect();
                if let Some(cells) = self.comparison(*name, *base, &differences) {
                    let id = Id::of("comparison", [name.name().as_bytes(), &round.to_le_bytes()]);
                    out.create(0, *round, id, cells);
                }
            }
        }
    }
}

impl Comparer {
    fn value(&self, metric: Metric, item: &Item) -> Result<f64, String> {
        let [_, n_draws, n_correct, majority_correct] = self.score;
        let count = |at: usize| usize::try_from(item.int(at).unwrap_or(0)).unwrap_or(0);
        let (n, c) = (count(n_draws), count(n_correct));
        match metric {
            Metric::Pass(k) if k <= n && c <= n => Ok(pass_at_k(n, c, k)),
            Metric::Majority(k) if k == n => Ok(f64::from(*item.get(majority_correct) == Value::Bool(true))),
            Metric::Coverage if n > 0 => Ok(f64::from(c > 0)),
            metric => Err(format!("{} is not known of {n} draws", metric.name())),
        }
    }

    /// The cells of the record `comparison`; none when the rounds share no problem.
    fn comparison(&self, metric: Metric, baseline: Round, differences: &[f64]) -> Option<Vec<Value>> {
        if differences.is_empty() {
            return None;
        }
        let estimate = bootstrap(differences, self.seed);
        Some(vec![
            metric.name().into(),
            i64::from(baseline).into(),
            estimate.value.into(),
            estimate.low.into(),
            estimate.high.into(),
            (differences.len() as i64).into(),
        ])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::testing::{Ports, columns, mistakes, run};

    fn score(round: i64, problem: i64, n_correct: i64) -> Json {
        json!({"round": round, "prompt_id": problem.to_string(), "n_draws": 4, "n_correct": n_correct, "majority_correct": n_correct > 2})
    }

    fn compare(rows: &[Json], options: &str) -> Ports {
        run(&columns("score"), rows, &format!("op: compare{options}"))
    }

    #[test]
    fn rounds_are_compared_on_the_problems_they_share() {
        let mut rows: Vec<Json> = (0..40).map(|problem| score(0, problem, problem % 4)).collect();
        rows.extend((0..40).map(|problem| score(1, problem, problem % 4 + 1)));
        rows.extend((20..60).map(|problem| score(2, problem, problem % 4)));
        let ports = compare(&rows, ", metrics: [pass@1, maj@4]");
        let row = |round: i64, metric: &str| {
            ports["out"].iter().find(|row| row["round"] == round && row["metric"] == metric).unwrap()
        };
        // Every problem gains one correct draw in four: no spread, so the interval is a point.
        for bound in ["difference", "low", "high"] {
            assert_eq!(row(1, "pass@1")[bound], 0.25);
        }
        assert_eq!(
            (&row(2, "pass@1")["difference"], &row(2, "pass@1")["n_problems"]),
            (&json!(0.0), &json!(20))
        );
        // Problems with two correct draws get a third, which turns the majority: one in four.
        let majority = row(1, "maj@4");
        assert_eq!(majority["difference"], 0.25);
        assert!(majority["low"].as_f64() < Some(0.25) && majority["high"].as_f64() > Some(0.25));
        assert_eq!(ports["out"].len(), 4);
    }

    #[test]
    fn the_baseline_can_be_the_round_before() {
        let rows = [score(1, 7, 0), score(2, 7, 4), score(3, 7, 2)];
        let differences = |options: &str| -> Vec<(Json, Json)> {
            let ports = compare(&rows, options);
            ports["out"]
                .iter()
                .map(|row| (row["baseline_round"].clone(), row["difference"].clone()))
                .collect()
        };
        assert_eq!(differences(""), [(json!(1), json!(1.0)), (json!(1), json!(0.5))]);
        assert_eq!(differences(", baseline: previous"), [(json!(1), json!(1.0)), (json!(2), json!(-0.5))]);
    }

    #[test]
    fn what_was_not_drawn_cannot_be_compared() {
        let ports = compare(&[score(1, 7, 0), score(2, 7, 4)], ", metrics: [pass@8]");
        assert_eq!((ports["out"].len(), ports["rejected"].len()), (0, 2));
        assert_eq!(ports["rejected"][0]["detail"], "pass@8 is not known of 4 draws");
    }

    #[test]
    fn mistakes_are_told_together() {
        let found = mistakes(Some(&columns("metric")), "op: compare, metrics: [pass@1, accuracy]");
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found.iter().any(|one| one.contains("from: scores.problems")), "{found:?}");
    }
}
