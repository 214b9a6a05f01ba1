//! What a run came to, as its tables say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_data::Value;
use flow_store::TableReader;

use super::claim::When;
use super::{Arm, Measure};

/// A finished run of an arm.
pub(super) struct Outcome {
    pub(super) arm: &'static str,
    pub(super) seed: u64,
    scores: Vec<Score>,
    /// Requests and tokens drawn, by step; one entry a round.
    efforts: Vec<(String, i64, i64)>,
    /// Tokens that trainings saw, prompts included.
    trained: i64,
    /// Folder of everything that the run publishes.
    out: PathBuf,
}

/// What a run cost.
#[derive(Clone, Copy)]
pub(super) struct Spent {
    /// Of all models and trainings.
    pub(super) requests: i64,
    pub(super) tokens_drawn: i64,
    /// Prompts included.
    pub(super) tokens_trained: i64,
}

/// The mean of a measure over runs, and the runs furthest from it.
#[derive(Clone, Copy)]
pub(super) struct Summary {
    pub(super) mean: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

impl Summary {
    /// Of the runs that have the step and the round; none where no run has.
    pub(super) fn of(runs: &[&Outcome], step: &str, round: i64, measure: Measure) -> Option<Self> {
        let mean = |run: &&Outcome| {
            let values = run.values(step, round, measure, None);
            (!values.is_empty()).then(|| values.values().sum::<f64>() / values.len() as f64)
        };
        let means: Vec<f64> = runs.iter().filter_map(mean).collect();
        let most = means.iter().copied().reduce(f64::max)?;
        let least = means.iter().copied().reduce(f64::min)?;
        Some(Self { mean: means.iter().sum::<f64>() / means.len() as f64, least, most })
    }
}

/// One problem under one model.
struct Score {
    step: String,
    round: i64,
    problem: String,
    level: Option<i64>,
    found: Found,
}

/// What was found of it.
enum Found {
    Draws {
        n: i64,
        correct: i64,
        majority: bool,
    },
    /// Nats per token of its known solution.
    Loss(f64),
}

impl Outcome {
    pub(super) fn read(arm: &'static Arm, seed: u64, out: &Path) -> Result<Self, String> {
        let columns = ["step", "round", "prompt_id", "level", "n_draws", "n_correct", "majority_correct"];
        let mut scores = Vec::new();
        rows(&out.join("run/problems.parquet"), &columns, |row| {
            let [
                Value::Text(step),
                Value::Int(round),
                Value::Text(problem),
                level,
                Value::Int(n),
                Value::Int(c),
                majority,
            ] = row
            else {
                return;
            };
            scores.push(Score {
                step: step.to_string(),
                round: *round,
                problem: problem.to_string(),
                level: whole(level),
                found: Found::Draws { n: *n, correct: *c, majority: *majority == Value::Bool(true) },
            });
        })?;
        let columns = ["step", "round", "prompt_id", "n_tokens", "nats"];
        rows(&out.join("run/likelihoods.parquet"), &columns, |row| {
            let [
                Value::Text(step),
                Value::Int(round),
                Value::Text(problem),
                Value::Int(tokens),
                Value::Float(nats),
            ] = row
            else {
                return;
            };
            scores.push(Score {
                step: step.to_string(),
                round: *round,
                problem: problem.to_string(),
                level: None,
                found: Found::Loss(nats / (*tokens).max(1) as f64),
            });
        })?;
        let mut efforts = Vec::new();
        rows(&out.join("run/efforts.parquet"), &["step", "requests", "tokens"], |row| {
            if let [Value::Text(step), Value::Int(requests), Value::Int(tokens)] = row {
                efforts.push((step.to_string(), *requests, *tokens));
            }
        })?;
        let mut trained = 0;
        rows(&out.join("run/checkpoints.parquet"), &["n_tokens"], |row| {
            trained += whole(&row[0]).unwrap_or(0);
        })?;
        Ok(Self { arm: arm.name, seed, scores, efforts, trained, out: out.to_owned() })
    }

    /// The last round that `step` has scores of.
    pub(super) fn last_round(&self, step: &str) -> i64 {
        self.of(step).map(|score| score.round).max().unwrap_or(0)
    }

    /// The number of the round that is meant.
    pub(super) fn round(&self, step: &str, when: When) -> i64 {
        match when {
            When::Round(round) => round,
            When::Last => self.last_round(step),
        }
    }

    /// The measure of each problem of a round; of one level, where one is asked for.
    pub(super) fn values(
        &self,
        step: &str,
        round: i64,
        measure: Measure,
        level: Option<i64>,
    ) -> BTreeMap<&str, f64> {
        let asked = |score: &&Score| score.round == round && (level.is_none() || score.level == level);
        let scores = self.of(step).filter(asked);
        scores.filter_map(|score| Some((score.problem.as_str(), score.value(measure)?))).collect()
    }

    /// What the run cost, all rounds together.
    pub(super) fn spent(&self) -> Spent {
        Spent {
            requests: self.efforts.iter().map(|(_, requests, _)| requests).sum(),
            tokens_drawn: self.efforts.iter().map(|(.., tokens)| tokens).sum(),
            tokens_trained: self.trained,
        }
    }

    /// Tokens that one step drew, over all rounds.
    pub(super) fn drawn(&self, step: &str) -> i64 {
        self.efforts.iter().filter(|(name, ..)| name == step).map(|(.., tokens)| tokens).sum()
    }

    /// Question and level of each row that the `write` step `step` has published of a round.
    pub(super) fn published(&self, step: &str, round: i64) -> Result<Vec<(String, Option<i64>)>, String> {
        let mut found = Vec::new();
        for path in parts(&self.out.join(step).join("current"))? {
            rows(&path, &["round", "prompt_id", "level"], |row| {
                if let [Value::Int(of), Value::Text(problem), level] = row
                    && *of == round
                {
                    found.push((problem.to_string(), whole(level)));
                }
            })?;
        }
        Ok(found)
    }

    fn of(&self, step: &str) -> impl Iterator<Item = &Score> {
        self.scores.iter().filter(move |score| score.step == step)
    }
}

impl Score {
    fn value(&self, measure: Measure) -> Option<f64> {
        match (measure, &self.found) {
            (Measure::Pass(k), Found::Draws { n, correct, .. }) => Some(pass(*n, *correct, k.into())),
            (Measure::Majority, Found::Draws { majority, .. }) => Some(f64::from(*majority)),
            (Measure::Loss, Found::Loss(loss)) => Some(*loss),
            _ => None,
        }
    }
}

/// 1 - C(n - c, k) / C(n, k).
fn pass(n: i64, c: i64, k: i64) -> f64 {
    if n - c < k {
        return 1.0;
    }
    1.0 - (n - c + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product::<f64>()
}

/// The Parquet files below `folder`.
fn parts(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries =
        std::fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut found = Vec::new();
    for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
        if path.is_dir() {
            found.extend(parts(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "parquet") {
            found.push(path);
        }
    }
    Ok(found)
}

fn whole(cell: &Value) -> Option<i64> {
    if let Value::Int(number) = cell { Some(*number) } else { None }
}

/// Shows every row of a table; a table that no step fills is not there.
fn rows(path: &Path, columns: &[&str], mut see: impl FnMut(&[Value])) -> Result<(), String> {
    if !path.exists() {
        return Ok(());
    }
    let reader = TableReader::open(path, Some(columns)).map_err(|error| error.to_string())?;
    for batch in reader {
        batch.map_err(|error| error.to_string())?.iter().for_each(|row| see(row));
    }
    Ok(())
}
