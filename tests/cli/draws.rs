//! Draws that begin with a given text, and draws until a prompt has enough correct ones, with help or without.

use std::collections::BTreeMap;

use flow_data::Value;
use flow_model::{Checkpoint, Config};

use super::bench::{Bench, tiny};

/// Completions are one token long: the given one, or the model's.
const FLOOR: &str = "version: 1
name: draws
models: {policy: {path: policy}}
steps:
  questions: {op: read, path: begun.jsonl, extra: {begun: text}}
  attempts:
    op: sample
    from: questions
    model: policy
    n: 2
    max_tokens: 1
    prefix: begun
    until: {correct: 3, budget: 7, preset: exact}
  shards: {op: write, from: attempts, path: out/shards}
";

const BEGUN: &str = r#"{"prompt": "a", "answer": "2", "begun": "2"}
{"prompt": "b", "answer": "2", "begun": "3"}
{"prompt": "c", "answer": "2", "begun": ""}
"#;

type Rows = BTreeMap<(String, i64), BTreeMap<String, Value>>;

/// Draws by prompt and sample index.
fn draws(bench: &Bench) -> Rows {
    let text = |value: &Value| match value {
        Value::Text(text) => text.to_string(),
        other => panic!("expected a text, found {other:?}"),
    };
    let index = |value: &Value| match value {
        Value::Int(index) => *index,
        other => panic!("expected a number, found {other:?}"),
    };
    let keyed = |row: BTreeMap<String, Value>| ((text(&row["prompt"]), index(&row["sample_index"])), row);
    bench.rows("out/shards").into_iter().map(keyed).collect()
}

fn bench() -> Bench {
    let bench = Bench::with(FLOOR);
    bench.put("begun.jsonl", BEGUN);
    bench.model("policy");
    bench
}

fn count(rows: &Rows, prompt: &str) -> usize {
    rows.keys().filter(|(of, _)| of == prompt).count()
}

/// The calls of `attempts` in a run with `args` beside.
fn calls(bench: &Bench, args: &[&str]) -> u64 {
    let report = bench.exec(&[&["--format", "json", "-q"], args].concat(), 0).json();
    let steps = report["steps"].as_array().unwrap();
    steps.iter().find(|step| step["step"] == "attempts").unwrap()["calls"].as_u64().unwrap()
}

#[test]
fn a_prompt_is_drawn_for_until_it_has_enough_correct_completions() {
    let bench = bench();
    let first = calls(&bench, &[]);
    let rows = draws(&bench);
    assert_eq!(first, rows.len() as u64, "each draw is a call");
    assert_eq!((count(&rows, "a"), count(&rows, "b")), (3, 7), "always correct, and never");
    assert!((3..=7).contains(&count(&rows, "c")));
    for ((prompt, _), row) in rows.iter().filter(|((prompt, _), _)| prompt != "c") {
        let begun = if prompt == "a" { "2" } else { "3" };
        assert_eq!(row["completion"], Value::from(begun));
    }
    assert_eq!(calls(&bench, &[]), 0);

    let plain = bench.copied(&["out"]);
    let text =
        FLOOR.replace("    until: {correct: 3, budget: 7, preset: exact}\n", "").replace("n: 2", "n: 7");
    plain.put("p.yaml", text);
    assert_eq!(calls(&plain, &[]), 21 - first, "the draws that were made already are kept");
    let all = draws(&plain);
    assert_eq!(all.len(), 21);
    for (at, mut row) in rows {
        row.retain(|column, _| column != "guided" && column != "given");
        assert_eq!(all[&at], row, "{at:?}: the draws are those of a larger n");
    }
}

#[test]
fn a_floor_after_an_edit_is_that_of_a_run_from_nothing() {
    let edited = bench();
    edited.exec(&["-q"], 0);
    let more = format!(
        "{}{}",
        BEGUN.replace(r#""begun": "3""#, r#""begun": "2""#),
        r#"{"prompt": "d", "answer": "5", "begun": "1"}"#
    );
    edited.put("begun.jsonl", &more);
    edited.exec(&["-q"], 0);
    let fresh = bench();
    fresh.put("begun.jsonl", &more);
    fresh.exec(&["-q"], 0);
    assert_eq!(edited.published("out/shards"), fresh.published("out/shards"));
}

#[test]
fn a_run_that_comes_to_more_calls_than_foreseen_ends_before_the_first_too_many() {
    let bench = bench();
    let plan = bench.flow(&["plan", "p.yaml", "--format", "json"]).json();
    assert_eq!(plan["total"]["calls"], 6, "which prompts need more is known to the run alone");
    bench
        .exec(&["--max-calls", "8"], 1)
        .says(&["error[E0612]", "more calls than are allowed by `--max-calls`"]);
    let all = calls(&bench.copied(&["out", ".flow"]), &[]);
    assert!(all > 8);
    bench.exec(&["--set", "budget={calls: 1}"], 4).says(&["stopped by the budget"]);
    assert_eq!(
        calls(&bench, &["--max-calls", &(all - 9).to_string()]),
        all - 9,
        "all that was asked is kept"
    );
}

#[test]
fn all_processes_of_a_run_share_what_is_allowed() {
    let bench = bench();
    let another = || bench.copied(&["out", ".flow"]);
    let all = calls(&another(), &[]);
    let allowed =
        |calls: u64| ["--processes".to_owned(), "3".into(), "--max-calls".into(), calls.to_string()];
    assert_eq!(
        calls(&another(), &allowed(all).each_ref().map(String::as_str)),
        all,
        "none is lost on the way"
    );
    bench
        .exec(&allowed(all - 1).each_ref().map(String::as_str), 1)
        .says(&["error[E0612]", "more calls than are allowed by `--max-calls`"]);
    assert_eq!(calls(&bench, &[]), 1, "all that was asked is kept");
}

#[test]
fn another_floor_or_budget_asks_for_what_is_missing() {
    let bench = bench();
    let mut made = calls(&bench, &[]);
    for (floor, budget) in [(2, 7), (3, 9), (5, 9), (5, 12), (1, 2)] {
        let set = format!("steps.attempts.until={{correct: {floor}, budget: {budget}, preset: exact}}");
        let more = calls(&bench, &["--set", &set]);
        made += more;
        let rows = draws(&bench);
        assert_eq!((count(&rows, "a"), count(&rows, "b")), (floor.max(2), budget), "{set}");
        let fresh = self::bench();
        assert_eq!(calls(&fresh, &["--set", &set]), rows.len() as u64, "{set}");
        assert_eq!(fresh.published("out/shards"), bench.published("out/shards"), "{set}");
        // What is left out of a smaller one stays kept.
        assert!(rows.len() as u64 <= made && (more == 0) == (floor < 3), "{set}: {more} more");
    }
}

#[test]
fn a_plan_tells_the_least_that_a_floor_asks() {
    let bench = bench();
    let attempts = |args: &[&str]| {
        let plan = bench.flow(&[&["plan", "p.yaml", "--format", "json"], args].concat()).json();
        let steps = plan["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["step"] == "attempts").unwrap().clone();
        (step["calls"].as_u64().unwrap(), step["bound"].as_str().unwrap().to_owned())
    };
    assert_eq!(attempts(&[]), (6, "at_least".to_owned()), "two for each prompt");
    bench.exec(&["-q"], 0);
    assert_eq!(attempts(&[]), (0, "exact".to_owned()));
    let (calls, bound) = attempts(&["--set", "steps.attempts.until.budget=9"]);
    assert!((1..=4).contains(&calls) && bound == "at_least", "{calls} {bound}");
}

#[test]
fn guided_draws_are_told_and_keep_the_plain_prompt() {
    let bench = bench();
    let solved = BEGUN.replace("\"begun\"", "\"solution\": \"2+0\\n#### 2\", \"begun\"");
    bench.put("begun.jsonl", solved);
    let text = FLOOR.replace("    prefix: begun\n", "").replace("max_tokens: 1", "max_tokens: 5");
    bench.put("p.yaml", text.replace("preset: exact", "guide: {prefix: solution}"));
    let made = calls(&bench, &[]);
    let rows = draws(&bench);
    assert_eq!(made, rows.len() as u64);
    for ((prompt, index), row) in &rows {
        assert_eq!(row["prompt"], Value::from(prompt.as_str()));
        assert_eq!(row["guided"] == Value::Null, *index < 2, "{row:?}");
        if *index >= 2 {
            let Value::Text(completion) = &row["completion"] else { panic!("a text: {row:?}") };
            assert!(completion.starts_with("2+0\n"), "{completion}");
            assert_eq!((&row["guided"], &row["given"]), (&"prefix".into(), &Value::Int(4)));
        }
    }
    let guided = |rows: &Rows| rows.keys().filter(|(_, index)| *index >= 2).count() as u64;
    assert!(guided(&rows) > 0, "some prompt lacks correct draws");
    let other = "steps.attempts.until.guide={template: \"{{ prompt }} {{ answer }}\"}";
    let made = calls(&bench, &["--set", other]);
    assert_eq!(made, guided(&draws(&bench)), "another guide leaves the first draws");
}

#[test]
fn a_prompt_that_the_model_cannot_take_is_refused_once() {
    let pipeline = "version: 1
name: long
models: {policy: {path: policy}}
steps:
  questions: {op: read, path: questions.jsonl}
  attempts: {op: sample, from: questions, model: policy, n: 2, max_tokens: 2}
  shards: {op: write, from: attempts, path: out/shards}
";
    let bench = Bench::with(pipeline);
    let long = format!(
        "{{\"prompt\": \"{}\", \"answer\": \"2\"}}\n{{\"prompt\": \"1+1=\", \"answer\": \"2\"}}\n",
        "1+".repeat(80)
    );
    bench.put("questions.jsonl", long);
    bench.model("policy");
    bench.exec(&["-q"], 0);
    assert_eq!(bench.flow(&["plan", "p.yaml", "--detailed-exitcode"]).code, 0, "it is known");
    bench.exec(&["-q", "--max-calls", "0", "--verify-incremental"], 0);
    let rejected = bench.flow(&["show", "p.yaml", "attempts.rejected"]);
    rejected.says(&["1 of 1 row in `attempts.rejected`"]);
    assert!(rejected.stdout.contains("not_drawn"), "{}", rejected.stdout);
    let other = tiny();
    Checkpoint { config: Config { max_position_embeddings: 4096, ..other.config.clone() }, ..other }
        .save(&bench.path("policy"))
        .unwrap();
    bench.exec(&["-q"], 0);
    assert_eq!(bench.rows("out/shards").len(), 4, "another model takes it");
}
