//! `replay` on files of both forms, and on completions that others published.

use std::fs;

use flow_dataflow::SourceError;
use serde_json::json;
use tempfile::TempDir;

use crate::testing::{Ports, load, mistakes, shared_data};

fn replay(text: &str, options: &str) -> Result<Ports, SourceError> {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("samples.jsonl");
    fs::write(&path, text).unwrap();
    load(&format!("op: replay, path: {}{options}", path.display()))
}

#[test]
fn completions_are_numbered_per_prompt_wherever_they_stand() {
    let text = r#"{"prompt": "a", "completion": "1"}
        {"prompt": "b", "completion": "2"}
        {"prompt": "a", "completion": "1"}"#;
    let ports = replay(text, "").unwrap();
    let rows: Vec<_> = ports["out"].iter().map(|row| (&row["prompt"], &row["sample_index"])).collect();
    assert_eq!(rows, [(&json!("a"), &json!(0)), (&json!("b"), &json!(0)), (&json!("a"), &json!(1))]);
    assert_eq!(ports["out"][0]["parent_ids"], ports["out"][2]["parent_ids"]);
    assert_eq!(ports["out"][0]["prompt_id"], ports["out"][2]["prompt_id"]);
}

#[test]
fn several_columns_give_several_draws_with_what_stands_beside_them() {
    let text =
        r#"{"q": "1+1?", "split": "test", "s": {"text": "2", "ok": true}, "l": {"text": "3", "ok": false}}"#;
    let options = ", fields: {prompt: q}, completions: [s.text, l.text], extra: {ok: bool, split: text}";
    let ports = replay(text, options).unwrap();
    let shorter =
        ", fields: {prompt: q, completion: text}, completions: [s, l], extra: {ok: bool, split: text}";
    assert_eq!(replay(text, shorter).unwrap(), ports);
    let cells: Vec<_> = ports["out"]
        .iter()
        .map(|row| [&row["completion"], &row["model"], &row["ok"], &row["split"]])
        .collect();
    let (small, large) = ([json!("2"), json!("s"), json!(true)], [json!("3"), json!("l"), json!(false)]);
    for (cells, expected) in cells.iter().zip([small, large]) {
        assert_eq!(cells[..3], expected.iter().collect::<Vec<_>>()[..]);
        assert_eq!(cells[3], "test");
    }
    assert_eq!(ports["out"][1]["sample_index"], 1);
}

#[test]
fn a_list_of_completions_is_as_many_draws() {
    let text = r#"{"prompt": "a", "completion": ["1", "2"], "by": "m"}
        {"prompt": "a", "completion": "3", "by": "m"}
        {"prompt": "b", "completion": [], "by": "m"}
        {"prompt": "b", "completion": ["4"], "by": "m"}"#;
    let ports = replay(text, ", fields: {model: by}").unwrap();
    let rows: Vec<_> = ports["out"].iter().map(|row| [&row["completion"], &row["sample_index"], &row["model"]]).collect();
    let row = |completion: &str, index: i64| [json!(completion), json!(index), json!("m")];
    let expected = [row("1", 0), row("2", 1), row("3", 2), row("4", 1)];
    assert_eq!(rows, expected.iter().map(|row| row.each_ref()).collect::<Vec<_>>());
    assert_eq!(ports["rejected"].len(), 1);
    assert!(ports["rejected"][0]["detail"].as_str().is_some_and(|detail| detail.contains("a list of 0 texts")));
}

#[test]
fn a_file_without_a_row_that_fits_ends_the_run() {
    let options = ", fields: {answer: solved}";
    let error = replay(r#"{"prompt": "a", "completion": "1", "solved": {"x": 1}}"#, options).unwrap_err();
    assert!(error.code == "E0406" && error.message.contains("samples.jsonl:1: expected text in `solved`"), "{error:?}");
    assert_eq!(replay("", "").unwrap()["out"].len(), 0);
}

#[test]
fn recorded_identities_are_kept_and_unique() {
    let options = ", fields: {prompt_id: id, sample_index: k, model: by}";
    let line = |k: i64| {
        format!("{{\"id\": 5, \"prompt\": \"a\", \"completion\": \"x\", \"k\": {k}, \"by\": \"m\"}}\n")
    };
    let ports = replay(&(line(7) + &line(3)), options).unwrap();
    assert_eq!((&ports["out"][0]["sample_index"], &ports["out"][1]["model"]), (&json!(7), &json!("m")));
    let error = replay(&(line(7) + &line(7)), options).unwrap_err();
    assert_eq!(error.code, "E0403");
    assert!(
        error.message.starts_with("sample index 7 of one prompt by model `m` stands twice"),
        "{}",
        error.message
    );
}

#[test]
fn a_missing_completion_is_rejected_alone() {
    let text = r#"{"prompt": "a", "x": {"t": "1"}, "y": {"t": null}}
        {"prompt": "b", "x": {"t": "2"}, "y": {}}
        {"prompt": 3"#;
    let ports = replay(text, ", completions: [x.t, y.t]").unwrap();
    assert_eq!((ports["out"].len(), ports["rejected"].len()), (2, 3));
    let error = replay(text, ", completions: [x.t, z.t]").unwrap_err();
    assert_eq!(error.code, "E0402");
}

#[test]
fn mistakes_are_told_before_the_run() {
    let found = mistakes(None, "op: replay, path: x.csv, extract: b, extra: {model: text}");
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn published_solutions_are_read_with_their_labels() {
    let Some(path) = shared_data("gsm8k/example_model_solutions.jsonl") else { return };
    let yaml = format!(
        "op: replay, path: {}, fields: {{prompt: question, answer: ground_truth, completion: solution}}, extract: auto, \
         completions: [6b_finetuning, 6b_verification, 175b_finetuning, 175b_verification], extra: {{is_correct: bool}}",
        path.display()
    );
    let ports = load(&yaml).unwrap();
    assert_eq!((ports["out"].len(), ports["rejected"].len()), (4 * 1319, 0));
    assert_eq!(ports["out"][0]["answer"], "18");
    let correct = |model: &str| {
        ports["out"].iter().filter(|row| row["model"] == model && row["is_correct"] == true).count()
    };
    assert!(correct("175b_verification") > correct("6b_finetuning"));
}
