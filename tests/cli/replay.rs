//! GSM8K's recorded solutions: the judge against labels that others have published, and what of them methods keep.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use flow_data::Value;

use super::bench::Bench;

/// The recorded solutions, where they are.
fn solutions() -> Option<PathBuf> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/gsm8k/example_model_solutions.jsonl");
    if !path.exists() {
        eprintln!("skipped: {} is not there", path.display());
    }
    path.exists().then_some(path)
}

/// A folder in which they were replayed, with `set` beside.
fn replayed(set: &[&str]) -> Option<Bench> {
    let path = format!("steps.attempts.path={}", solutions()?.display());
    let pipeline =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("pipelines/gsm8k-replay.yaml").display().to_string();
    let bench = Bench::new();
    let set = [&[path.as_str()], set].concat();
    let args = set.into_iter().flat_map(|set| ["--set", set]);
    let ran = bench.flow(&["exec", &pipeline, "-q"].into_iter().chain(args).collect::<Vec<_>>());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    Some(bench)
}

#[test]
fn every_published_label_of_gsm8k_is_found_again() {
    let Some(bench) = replayed(&[]) else { return };
    let rows = bench.rows("out/gsm8k-replay/verdicts");
    assert_eq!(rows.len(), 5_276, "all solutions are judged");
    let equal = rows.iter().filter(|row| row["verdict"] == "equal".into());
    assert_eq!(equal.count(), 2_001);
    for row in &rows {
        let agrees = row["is_correct"] == Value::Bool(row["verdict"] == "equal".into());
        assert!(agrees, "{row:?}");
    }
}

/// Guided Self-Improvement keeps all right solutions, and helps with the questions that have too few of them: those come short of
/// a floor.
#[test]
fn questions_short_of_a_floor_are_told_apart() {
    let chosen = "steps.chosen={op: balance, from: graded.equal, per: prompt_id, at_least: 2}";
    let short = "steps.short={op: write, from: chosen.rejected}";
    let Some(bench) = replayed(&["seed=1", chosen, short]) else { return };
    let mut right: BTreeMap<String, usize> = BTreeMap::new();
    for row in bench.rows("out/gsm8k-replay/verdicts") {
        let Value::Text(prompt) = &row["prompt_id"] else { panic!("a name: {row:?}") };
        *right.entry(prompt.to_string()).or_default() += usize::from(row["verdict"] == "equal".into());
    }
    assert_eq!(right.len(), 1_319);
    let rows = |kept: fn(usize) -> bool| right.values().filter(|n| kept(**n)).sum::<usize>();
    assert_eq!(bench.rows("out/gsm8k-replay/shards").len(), rows(|n| n >= 2));
    let short = bench.rows("out/gsm8k-replay/short");
    assert_eq!(short.len(), rows(|n| n == 1));
    assert!(!short.is_empty() && short.iter().all(|row| row["reason"] == "under_floor".into()));
}

/// The commands of `docs/methods.md`, over the first 40 questions and in the pipelines' short forms.
#[test]
fn every_pipeline_that_samples_runs_over_recorded_draws() {
    let Some(solutions) = solutions() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = std::fs::read_to_string(root.join("docs/methods.md")).expect("it is there");
    let block = docs.split("```sh\n").find(|block| block.starts_with("DRAWS=")).expect("the commands");
    let block = block.split("```").next().unwrap_or_default();
    let (draws, commands) = block.split_once("\nflow exec ").expect("draws, then commands");
    let draws = draws.replace("data/gsm8k/example_model_solutions.jsonl", &solutions.display().to_string());
    let commands: Vec<&str> = commands.split("\nflow exec ").map(str::trim_end).collect();
    assert!(commands.len() >= 12, "{commands:?}");
    let bench = Bench::new();
    for folder in ["models", "pipelines"] {
        std::os::unix::fs::symlink(root.join(folder), bench.path(folder)).expect("a new folder");
    }
    for command in commands {
        let flow = env!("CARGO_BIN_EXE_flow");
        let less = "--profile short --set steps.attempts.limit=40 --set out=out -q";
        let words = format!("{draws}\n{flow} exec {command} {less}");
        let ran = Command::new("sh").args(["-c", &words]).current_dir(bench.path("")).output();
        let ran = ran.expect("there is a shell");
        assert!(ran.status.success(), "{command}: {}", String::from_utf8_lossy(&ran.stderr));
        let steps = bench.table("out/run/steps.parquet");
        let attempts = steps.iter().find(|row| row["step"] == "attempts".into()).expect("it ran");
        assert_eq!(
            (&attempts["op"], &attempts["rows_out"]),
            (&"replay".into(), &Value::Int(160)),
            "{command}"
        );
    }
}
