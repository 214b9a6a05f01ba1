//! `cargo xtask bench think-prune-train`: the main job over seeds and arms, with paired intervals, as Markdown.

use std::collections::BTreeMap;
use std::path::Path;

use flow_data::Value;
use flow_store::TableReader;

use super::{Place, Run, exec};

const PIPELINE: &str = "pipelines/think-prune-train.yaml";
const SEEDS: [u64; 3] = [18, 19, 20];
const RESAMPLES: u64 = 2000;

/// An arm and the overlay that makes it.
const ARMS: [(&str, &[&str]); 2] = [("pruned", &[]), ("unpruned", &["steps.chosen.from=attempts"])];

/// Share of correct draws, and whether any is, by (round, problem).
type Scores = BTreeMap<(i64, String), (f64, f64)>;

/// Runs what is missing under `target/bench` and returns the tables.
pub(super) fn tables(place: &Place) -> Result<String, String> {
    let mut text =
        String::from("| arm | seed | measure | base | round 1 | round 2 | round 3 | wall s | peak |\n");
    text.push_str("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    let mut gains = String::new();
    for (arm, overlay) in ARMS {
        let mut all = Vec::new();
        for seed in SEEDS {
            let run = run(place, arm, overlay, seed)?;
            let scores = scores(&run.tables)?;
            for (name, pick) in MEASURES {
                let cells: Vec<String> =
                    (0..4).map(|round| format!("{:.1}", 100.0 * mean(&scores, round, pick))).collect();
                let cells = cells.join(" | ");
                text.push_str(&format!(
                    "| {arm} | {seed} | {name} | {cells} | {} | {} |\n",
                    run.wall_s, run.peak
                ));
            }
            all.push(scores);
        }
        for (name, pick) in MEASURES {
            let differences: Vec<f64> = all.iter().flat_map(|scores| differences(scores, pick)).collect();
            let (value, low, high) = bootstrap(&differences);
            gains.push_str(&format!(
                "| {arm} | {name} | {:+.1} | {:+.1} to {:+.1} | {} |\n",
                100.0 * value,
                100.0 * low,
                100.0 * high,
                differences.len()
            ));
        }
    }
    text.push_str("\n| arm | measure | base to round 3 | paired 95 % interval | problems |\n| --- | --- | --- | --- | --- |\n");
    Ok(text + &gains)
}

type Pick = fn(&(f64, f64)) -> f64;

const MEASURES: [(&str, Pick); 2] = [("pass@1", |score| score.0), ("pass@8", |score| score.1)];

/// One run of an arm from an empty store.
fn run(place: &Place, arm: &str, overlay: &[&str], seed: u64) -> Result<Run, String> {
    let mut changes = vec![format!("seed={seed}")];
    changes.extend(overlay.iter().map(|change| (*change).to_owned()));
    exec(place, PIPELINE, &format!("{arm}-{seed}"), &changes, &[])
}

fn scores(folder: &Path) -> Result<Scores, String> {
    let path = folder.join("problems.parquet");
    let columns = ["round", "prompt_id", "n_draws", "n_correct"];
    let reader = TableReader::open(&path, Some(&columns)).map_err(|error| error.to_string())?;
    let mut scores = Scores::new();
    for batch in reader {
        for row in batch.map_err(|error| error.to_string())? {
            if let [Value::Int(round), Value::Text(problem), Value::Int(n), Value::Int(c)] = row.as_slice() {
                let share = *c as f64 / (*n).max(1) as f64;
                scores.insert((*round, problem.to_string()), (share, f64::from(*c > 0)));
            }
        }
    }
    Ok(scores)
}

fn mean(scores: &Scores, round: i64, pick: Pick) -> f64 {
    let values: Vec<f64> =
        scores.iter().filter(|((at, _), _)| *at == round).map(|(_, score)| pick(score)).collect();
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// Last round minus round 0, problem by problem.
fn differences(scores: &Scores, pick: Pick) -> Vec<f64> {
    let last = scores.keys().map(|(round, _)| *round).max().unwrap_or(0);
    let base = scores.iter().filter(|((round, _), _)| *round == 0);
    base.filter_map(|((_, problem), before)| {
        let after = scores.get(&(last, problem.clone()))?;
        Some(pick(after) - pick(before))
    })
    .collect()
}

/// Mean with its percentile bootstrap interval over `values`.
fn bootstrap(values: &[f64]) -> (f64, f64, f64) {
    let n = values.len();
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(state) * n as u128) >> 64) as usize
    };
    let mean_of = |sum: f64| sum / n.max(1) as f64;
    let mut means: Vec<f64> = (0..RESAMPLES).map(|_| mean_of((0..n).map(|_| values[next()]).sum())).collect();
    means.sort_by(f64::total_cmp);
    let at = |share: f64| means[((means.len() - 1) as f64 * share).round() as usize];
    (mean_of(values.iter().sum()), at(0.025), at(0.975))
}
