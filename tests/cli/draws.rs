//! Draws that begin with a given text, and draws until a prompt has enough correct ones.

use std::collections::BTreeMap;

use flow_data::Value;

use super::bench::Bench;

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

#[test]
fn a_prompt_is_drawn_for_until_it_has_enough_correct_completions() {
    let bench = bench();
    let first = bench.exec(&["--format", "json", "-q"], 0).json();
    let calls = |json: &serde_json::Value| {
        let steps = json["steps"].as_array().unwrap();
        steps.iter().find(|step| step["step"] == "attempts").unwrap()["calls"].as_u64()
    };
    assert_eq!(calls(&first), Some(3));
    let rows = draws(&bench);
    assert_eq!((count(&rows, "a"), count(&rows, "b")), (3, 7), "always correct, and never");
    assert!((3..=7).contains(&count(&rows, "c")));
    for ((prompt, _), row) in rows.iter().filter(|((prompt, _), _)| prompt != "c") {
        let begun = if prompt == "a" { "2" } else { "3" };
        assert_eq!(row["completion"], Value::from(begun));
    }
    assert_eq!(calls(&bench.exec(&["--format", "json", "-q"], 0).json()), Some(0));

    let plain = bench.copied(&["out"]);
    let text =
        FLOOR.replace("    until: {correct: 3, budget: 7, preset: exact}\n", "").replace("n: 2", "n: 7");
    plain.put("p.yaml", text);
    plain.exec(&["-q"], 0);
    let all = draws(&plain);
    assert_eq!(all.len(), 21);
    for (at, row) in &rows {
        assert_eq!(all[at], *row, "{at:?}: the draws are those of a larger n");
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
