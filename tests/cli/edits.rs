//! Incremental equals from scratch: bytes, and no model call that did not have to be.

use flow_data::Value;
use serde_json::Value as Json;

use super::bench::{Bench, QUESTIONS};

/// Samples, judges, trains and samples again from what was trained.
pub(crate) const LOOP: &str = "version: 1
name: loop
seed: 3
models: {policy: {path: policy}}
steps:
  questions: {op: read, path: questions.jsonl}
  attempts: {op: sample, from: questions, model: policy, n: 4, max_tokens: 6}
  graded: {op: verify, from: attempts, extract: auto, compare: math}
  chosen: {op: balance, from: [graded.equal, graded.different, graded.unknown], per: prompt_id, at_most: 2}
  shards: {op: write, from: chosen, path: out/shards, parts: 2}
  learner: {op: train, from: shards, start: policy, moe: {experts: 2, experts_per_token: 1}, epochs: 1, batch_size: 2}
  verdicts: {op: write, from: [graded.equal, graded.different, graded.unknown], path: out/verdicts, parts: 2}
  scores: {op: evaluate, from: questions, model: learner, n: 2, max_tokens: 6, metrics: [pass@1]}
rounds: {count: 3, feed: {policy: learner}}
";

/// A bench with the loop and its model.
pub(crate) fn looped() -> Bench {
    let bench = Bench::with(LOOP);
    bench.model("policy");
    bench
}

fn report(bench: &Bench, args: &[&str]) -> Json {
    bench.exec(&[&["--format", "json", "-q"], args].concat(), 0).json()
}

/// Calls of each step: (performed, reused).
fn calls(report: &Json, step: &str) -> (u64, u64) {
    let steps = report["steps"].as_array().unwrap();
    let step = steps.iter().find(|rows| rows["step"] == step).unwrap();
    (step["calls"].as_u64().unwrap(), step["reused"].as_u64().unwrap())
}

fn assert_same(one: &Bench, other: &Bench) {
    for folder in ["out/shards", "out/verdicts"] {
        assert!(one.published(folder) == other.published(folder), "{folder} is the same to the byte");
    }
}

#[test]
fn a_repeated_run_asks_nothing_and_publishes_the_same() {
    let bench = looped();
    let first = report(&bench, &[]);
    assert_eq!(calls(&first, "attempts"), (36, 0));
    assert_eq!(calls(&first, "learner"), (3, 0));
    let (shards, verdicts) = (bench.published("out/shards"), bench.published("out/verdicts"));
    let second = report(&bench, &[]);
    for step in ["attempts", "learner", "scores"] {
        assert_eq!(calls(&second, step).0, 0, "{step} is answered from the store");
    }
    assert!((shards, verdicts) == (bench.published("out/shards"), bench.published("out/verdicts")));
    assert_eq!(first["trainings"], second["trainings"]);
    assert_eq!(first["metrics"], second["metrics"]);
}

#[test]
fn workers_and_threads_change_no_byte() {
    let one = looped();
    report(&one, &["-w", "1", "--threads", "1"]);
    for args in [["-w", "2", "--threads", "2"], ["-w", "3", "--threads", "1"]] {
        let other = looped();
        report(&other, &args);
        assert_same(&one, &other);
    }
}

#[test]
fn a_deleted_prompt_and_a_corrected_answer_cost_only_what_follows_from_them() {
    let edited = QUESTIONS.replace(r#""answer": "5", "level": 1"#, r#""answer": "6", "level": 1"#);
    let edited: String =
        edited.lines().filter(|line| !line.contains(r#""c""#)).map(|line| format!("{line}\n")).collect();
    let bench = looped();
    report(&bench, &[]);
    bench.put("questions.jsonl", &edited);
    let again = report(&bench, &[]);

    let scratch = looped();
    scratch.put("questions.jsonl", &edited);
    let whole = report(&scratch, &[]);
    assert_same(&bench, &scratch);
    assert_eq!(again["trainings"], whole["trainings"]);
    assert_eq!(again["metrics"], whole["metrics"]);

    // Round 1 samples from the model that did not change: its 8 draws are all known. Later rounds' models are new.
    let (performed, reused) = calls(&again, "attempts");
    assert_eq!((performed + reused, calls(&whole, "attempts").0), (24, 24));
    assert_eq!(reused, 8, "the draws of round 1");
}

#[test]
fn an_answer_corrected_after_the_draws_needs_no_model() {
    let steady = "version: 1
name: steady
models: {policy: {path: policy}}
steps:
  questions: {op: read, path: questions.jsonl}
  attempts: {op: sample, from: questions, model: policy, n: 4, max_tokens: 6}
  graded: {op: verify, from: attempts}
  shards: {op: write, from: [graded.equal, graded.different, graded.unknown], path: out/shards}
";
    let bench = Bench::with(steady);
    bench.model("policy");
    report(&bench, &[]);
    let before = bench.published("out/shards");
    bench.put("questions.jsonl", QUESTIONS.replace(r#""answer": "2""#, r#""answer": "3""#));
    assert_eq!(calls(&report(&bench, &[]), "attempts"), (0, 12));
    assert!(before != bench.published("out/shards"), "the verdicts are new");

    bench.put("questions.jsonl", QUESTIONS);
    let grown = report(&bench, &["--set", "steps.attempts.n=5"]);
    assert_eq!(calls(&grown, "attempts"), (3, 12), "more draws ask for what is missing");
}

#[test]
fn passes_over_responses_are_asked_again_only_where_they_differ() {
    let bench = Bench::with(
        "version: 1
name: aggregate
seed: 3
models: {policy: {path: policy}}
steps:
  questions: {op: read, path: questions.jsonl}
  attempts: {op: sample, from: questions, model: policy, n: 5, max_tokens: 6}
  synthesis: {op: aggregate, from: attempts, model: policy, window: 3, reserved: 1, max_tokens: 6, template: '{{ prompt }}{{ responses | join(\" \") }}'}
  shards: {op: write, from: synthesis, path: out/shards}
",
    );
    bench.model("policy");
    // Three questions; the first pass reads three of five responses, the second two more.
    assert_eq!(calls(&report(&bench, &[]), "synthesis"), (6, 0));
    let rows = bench.rows("out/shards");
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().all(|row| matches!(&row["parent_ids"], Value::Texts(ids) if ids.len() == 5)));

    bench.put("questions.jsonl", QUESTIONS.replace("9-4=", "9-5="));
    assert_eq!(calls(&report(&bench, &["--verify-incremental"]), "synthesis"), (2, 4));
    let again = bench.copied(&[".flow", "out"]);
    report(&again, &[]);
    assert!(bench.published("out/shards") == again.published("out/shards"), "the same to the byte");
}
