//! What a run came to, as its tables say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flow_data::Value;
use flow_store::TableReader;

use super::{Arm, Measure};

/// A finished run of an arm.
pub(super) struct Outcome {
    pub(super) arm: &'static str,
    pub(super) seed: u64,
    scores: Vec<Score>,
    /// Tokens drawn and trainings' requests, by step and round.
    efforts: Vec<(String, i64, i64, i64)>,
    /// Folder of everything that the run publishes.
    out: PathBuf,
}

/// One problem under one model.
struct Score {
    step: String,
    round: i64,
    problem: String,
    level: Option<i64>,
    n_draws: i64,
    n_correct: i64,
    majority: bool,
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
                level: if let Value::Int(level) = level { Some(*level) } else { None },
                n_draws: *n,
                n_correct: *c,
                majority: *majority == Value::Bool(true),
            });
        })?;
        let mut efforts = Vec::new();
        rows(&out.join("run/efforts.parquet"), &["step", "round", "requests", "tokens"], |row| {
            if let [Value::Text(step), Value::Int(round), Value::Int(requests), Value::Int(tokens)] = row {
                efforts.push((step.to_string(), *round, *requests, *tokens));
            }
        })?;
        Ok(Self { arm: arm.name, seed, scores, efforts, out: out.to_owned() })
    }

    /// The last round that `step` has scores of.
    pub(super) fn last_round(&self, step: &str) -> i64 {
        self.of(step).map(|score| score.round).max().unwrap_or(0)
    }

    /// The first round that `step` has scores of, if it has any.
    pub(super) fn first_round(&self, step: &str) -> Option<i64> {
        self.of(step).map(|score| score.round).min()
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
        self.of(step).filter(asked).map(|score| (score.problem.as_str(), score.value(measure))).collect()
    }

    /// Requests and tokens of the steps named, over all rounds; of all steps where none is.
    pub(super) fn spent(&self, steps: &[&str]) -> (i64, i64) {
        let asked =
            self.efforts.iter().filter(|(step, ..)| steps.is_empty() || steps.contains(&step.as_str()));
        asked.fold((0, 0), |(requests, tokens), (_, _, more, drawn)| (requests + more, tokens + drawn))
    }

    /// How many published rows of the `write` step `step` have this level in this round, and how many there are.
    pub(super) fn rows_of_level(&self, step: &str, round: i64, level: i64) -> Result<(usize, usize), String> {
        let (mut of_level, mut all) = (0, 0);
        for path in parts(&self.out.join(step).join("current"))? {
            rows(&path, &["round", "level"], |row| {
                if row.first() == Some(&Value::Int(round)) {
                    all += 1;
                    of_level += usize::from(row.get(1) == Some(&Value::Int(level)));
                }
            })?;
        }
        Ok((of_level, all))
    }

    fn of(&self, step: &str) -> impl Iterator<Item = &Score> {
        self.scores.iter().filter(move |score| score.step == step)
    }
}

impl Score {
    fn value(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Pass(k) => pass(self.n_draws, self.n_correct, k.into()),
            Measure::Majority => f64::from(self.majority),
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

fn rows(path: &Path, columns: &[&str], mut see: impl FnMut(&[Value])) -> Result<(), String> {
    let reader = TableReader::open(path, Some(columns)).map_err(|error| error.to_string())?;
    for batch in reader {
        batch.map_err(|error| error.to_string())?.iter().for_each(|row| see(row));
    }
    Ok(())
}
