//! Bad inputs: what one row has wrong costs that row, what the file has wrong ends the run.

use flow_data::{Column, Columns, Type, Value};
use serde_json::json;

use super::bench::{Bench, COPY, QUESTIONS, Ran};

/// Runs the pipeline on this file; nothing may be published.
fn refused(bench: &Bench, args: &[&str]) -> Ran {
    let ran = bench.exec(args, 1);
    assert!(!bench.path("out/shards/current").exists(), "nothing is published");
    ran
}

#[test]
fn a_file_most_of_whose_rows_do_not_fit_is_pointed_at() {
    let bench = Bench::with(COPY);
    bench.put("questions.jsonl", format!("{QUESTIONS}{}", "{\"prompt\": 1, \"answer\": {}}\n".repeat(4)));
    bench
        .exec(&[], 0)
        .says(&["hint: step `questions` rejected 4 of its 7 rows, as `ill_typed`: questions.jsonl:"]);
    bench.put("questions.jsonl", format!("{QUESTIONS}{}", "{\"prompt\": 1, \"answer\": {}}\n".repeat(3)));
    let ran = bench.exec(&[], 0);
    assert!(!ran.stderr.contains("hint:"), "{}", ran.stderr);
}

#[test]
fn a_judge_without_answers_is_told_before_anything_is_judged() {
    let judged = |fields: &str| {
        let text = "version: 1
name: judged
steps:
  questions: {op: read, path: questions.jsonl, fields: {prompt: question}}
  graded: {op: verify, from: questions, completion: prompt}
";
        let bench = Bench::with(&text.replace("fields: {prompt: question}", fields));
        bench.put("questions.jsonl", "{\"question\": \"#### 4\", \"target\": \"4\"}\n");
        bench.exec(&[], 0).stderr
    };
    let told = judged("fields: {prompt: question}");
    let words = "`questions`: the first row of `questions.jsonl` has no `answer`, and `graded` judges by it";
    assert!(told.contains(words) && told.contains("there are `question`, `target`"), "{told}");
    assert!(!judged("fields: {prompt: question, answer: target}").contains("judges by it"));
}

#[test]
fn a_level_that_nobody_asked_for_costs_no_row() {
    let bench = Bench::with(COPY);
    let levels = ["\"hard\"", "\"Level 5\"", "3", "null"];
    let row = |(at, level)| format!("{{\"prompt\": \"{at}+1=\", \"level\": {level}}}\n");
    bench.put("questions.jsonl", levels.into_iter().enumerate().map(row).collect::<String>());
    bench.exec(&[], 0).says(&["the first row of `questions.jsonl` has", "`fields: {level: ..}`"]);
    let mut found: Vec<Value> =
        bench.rows("out/shards").into_iter().map(|row| row["level"].clone()).collect();
    found.sort_by_key(|level| format!("{level:?}"));
    assert_eq!(found, [Value::Int(3), Value::Int(5), Value::Null, Value::Null]);
    let named = ["--set", "steps.questions.fields={level: level}", "--format", "json"];
    assert_eq!(bench.exec(&named, 0).json()["steps"][0]["rejected"], 1);
}

#[test]
fn a_malformed_line_is_rejected_and_counted() {
    let bench = Bench::with(COPY);
    bench.put(
        "questions.jsonl",
        format!("{QUESTIONS}{{\"prompt_id\": \"d\", \"prompt\": \n\n{{\"answer\": 1}}\n[]\n"),
    );
    let report = bench.exec(&["--format", "json"], 0).json();
    let step = &report["steps"][0];
    assert_eq!(
        (&step["rows_in"], &step["ports"]["out"], &step["rejected"]),
        (&json!(6), &json!(3), &json!(3))
    );
    let rejected = bench.table("out/copy/run/rejects.parquet");
    let mut reasons: Vec<Value> = rejected.iter().map(|row| row["reason"].clone()).collect();
    reasons.sort_by_key(|reason| format!("{reason:?}"));
    assert_eq!(reasons, ["malformed".into(), "malformed".into(), "missing_field".into()]);
    assert!(
        rejected
            .iter()
            .all(|row| matches!(&row["detail"], Value::Text(text) if text.contains("questions.jsonl:")))
    );
    assert_eq!(bench.rows("out/shards").len(), 3);
}

#[test]
fn a_file_of_something_else_ends_the_run_and_what_was_published_stays() {
    let bench = Bench::with(COPY);
    bench.exec(&["-q"], 0);
    let before = bench.published("out/shards");
    let utf16 = "\u{feff}{\"prompt\": \"1+1=\"}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, words) in [
        (b"[{\"prompt\": \"1+1=\"}]\n".to_vec(), "one JSON list"),
        (b"{\n  \"prompt\": \"1+1=\"\n}\n".to_vec(), "on one line"),
        (b"\x1f\x8b\x08\0\n".to_vec(), "compressed"),
        (utf16, "UTF-16"),
    ] {
        bench.put("questions.jsonl", bytes);
        let ran = bench.exec(&[], 1);
        ran.says(&["error[E0405]: step `questions`: no line of `questions.jsonl` is a JSON object", words]);
        assert!(before == bench.published("out/shards"));
    }
}

#[test]
fn a_missing_file_ends_the_run() {
    let bench = Bench::with(COPY);
    std::fs::remove_file(bench.path("questions.jsonl")).unwrap();
    refused(&bench, &[]).says(&[
        "error[E0401]: step `questions`: ",
        "p.yaml:4:31",
        "No such file",
        "= help: paths are relative",
    ]);
}

#[test]
fn duplicate_ids_end_the_run() {
    let bench = Bench::with(COPY);
    bench.put("questions.jsonl", format!("{QUESTIONS}{QUESTIONS}"));
    refused(&bench, &[]).says(&[
        "error[E0403]: step `questions`: ",
        "p.yaml:4:31",
        "\"a\" stands twice",
        "questions.jsonl:1",
        "questions.jsonl:4",
    ]);
}

#[test]
fn a_missing_column_ends_the_run_with_a_suggestion() {
    let bench = Bench::with(&COPY.replace("questions.jsonl}", "questions.jsonl, fields: {prompt: promt}}"));
    refused(&bench, &[]).says(&[
        "error[E0402]: step `questions`: ",
        "p.yaml:4:56",
        "field `promt`",
        "did you mean `prompt`?",
    ]);
}

#[test]
fn parquet_is_read_and_a_truncated_file_is_not() {
    let bench = Bench::with(COPY);
    let columns = Columns::new([Column::new("prompt", Type::Text, false, "Prompt.")]);
    let rows: Vec<Vec<Value>> = (0..50).map(|at| vec![format!("question {at}").into()]).collect();
    let path = bench.path("questions.parquet");
    flow_store::write_table(&path, &columns, &rows).unwrap();
    bench.exec(&["--set", "steps.questions.path=questions.parquet"], 0);
    assert_eq!(bench.rows("out/shards").len(), 50);

    let bytes = std::fs::read(&path).unwrap();
    let whole = bench.published("out/shards");
    for length in [0, 3, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        let ran = bench.exec(&["--set", "steps.questions.path=questions.parquet"], 1);
        ran.says(&["error[E0401]", "questions.parquet"]);
        assert_eq!(bench.published("out/shards"), whole, "what was published stays");
    }
}

#[test]
fn programs_read_the_failure_from_stdout() {
    let bench = Bench::with(&COPY.replace("questions.jsonl", "nowhere.jsonl"));
    let ran = refused(&bench, &["--format", "json"]);
    let object = ran.json();
    assert_eq!((&object["outcome"], &object["diagnostics"][0]["code"]), (&json!("failed"), &json!("E0401")));
    assert_eq!(ran.stderr, "");
}
