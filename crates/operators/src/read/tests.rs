//! `read` on files made for the purpose, and on one that others published.

use std::fs;
use std::path::{Path, PathBuf};

use flow_data::{Column, Columns, Type};
use flow_store::write_table;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::*;
use crate::testing::{Ports, load, mistakes, shared_data};

fn file(folder: &TempDir, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

fn read(path: &Path, options: &str) -> Result<Ports, SourceError> {
    load(&format!("op: read, path: {}{options}", path.display()))
}

fn lines(text: &str, options: &str) -> Result<Ports, SourceError> {
    let folder = TempDir::new().unwrap();
    read(&file(&folder, "q.jsonl", text), options)
}

/// The reason and detail of each rejected row, the folder taken out.
fn rejects(ports: &Ports) -> Vec<(String, String)> {
    let text = |row: &Json, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let reject = |row: &Json| {
        let detail = text(row, "detail");
        (text(row, "reason"), detail.rsplit_once('/').map_or(detail.clone(), |(_, rest)| rest.to_owned()))
    };
    let mut rejects: Vec<_> = ports["rejected"].iter().map(reject).collect();
    rejects.sort();
    rejects
}

#[test]
fn fields_name_the_columns_of_a_prompt() {
    let text = r#"{"id": 7, "q": "1+1?", "a": 2, "meta": {"level": "Level 3"}, "topic": "sums"}"#;
    let options = ", id: id, fields: {prompt: q, answer: a, level: meta.level}, extra: {topic: text}";
    let expected = json!({"prompt_id": "7", "prompt": "1+1?", "answer": "2", "level": 3, "topic": "sums"});
    assert_eq!(lines(text, options).unwrap()["out"], [expected]);
}

#[test]
fn columns_of_the_same_name_are_taken_where_they_are() {
    let ports = lines("{\"prompt\": \"a\", \"answer\": \"1\"}\n{\"prompt\": \"b\"}", "").unwrap();
    assert_eq!((&ports["out"][0]["answer"], ports["out"][1].get("answer")), (&json!("1"), None));
}

#[test]
fn rows_are_named_by_their_prompt_so_that_answers_can_be_corrected() {
    let text = r#"{"prompt": "a", "answer": "1"}
        {"prompt": "a", "answer": "1"}
        {"prompt": "b", "answer": "1"}"#;
    let ids = |text: &str| -> Vec<Json> {
        lines(text, "").unwrap()["out"].iter().map(|row| row["prompt_id"].clone()).collect()
    };
    let before = ids(text);
    assert_eq!(before.iter().collect::<std::collections::HashSet<_>>().len(), 3);
    assert_eq!(ids(&text.replace("\"1\"", "\"2\"")), before);
}

#[test]
fn bad_rows_are_rejected_with_their_place_and_the_others_read() {
    let text = "{\"prompt\": \"a\"}\n{\"prompt\": \n{\"answer\": \"2\"}\n{\"prompt\": [1]}\n{\"prompt\": null}\n{\"prompt\": \"b\"}";
    let ports = lines(text, "").unwrap();
    assert_eq!(ports["out"].len(), 2);
    let expected = [
        ("ill_typed", "q.jsonl:4: expected text in `prompt`, found a value of type list<float>"),
        ("malformed", "q.jsonl:2: not JSON at column 10: EOF while parsing a value"),
        ("missing_field", "q.jsonl:3: there is no field `prompt`"),
        ("missing_field", "q.jsonl:5: field `prompt` is empty"),
    ];
    assert_eq!(rejects(&ports), expected.map(|(reason, detail)| (reason.to_owned(), detail.to_owned())));
}

#[test]
fn what_no_row_has_is_a_mistake_of_the_pipeline() {
    let error =
        lines("{\"question\": \"a\"}\n{\"question\": \"b\"}", ", fields: {prompt: qestion}").unwrap_err();
    assert_eq!(
        (error.code, error.help.as_deref()),
        ("E0402", Some("did you mean `question`? its fields: question"))
    );
    let error = read(Path::new("no/such/file.jsonl"), "").unwrap_err();
    assert_eq!(error.code, "E0401");
    assert!(error.message.contains("no/such/file.jsonl") && error.help.is_some(), "{error:?}");
}

#[test]
fn an_id_names_one_row() {
    let error =
        lines("{\"id\": 1, \"prompt\": \"a\"}\n\n{\"id\": 1, \"prompt\": \"b\"}", ", id: id").unwrap_err();
    assert_eq!(error.code, "E0403");
    assert!(
        error.message.contains("the id \"1\"") && error.message.ends_with("q.jsonl:3"),
        "{}",
        error.message
    );
}

#[test]
fn a_limit_counts_records() {
    let text = "{\"prompt\": \"a\"}\nx\n{\"prompt\": \"b\"}";
    let ports = lines(text, ", limit: 2").unwrap();
    assert_eq!((ports["out"].len(), ports["rejected"].len()), (1, 1));
}

#[test]
fn parquet_is_read_like_lines() {
    let folder = TempDir::new().unwrap();
    let column = |name: &str, kind| Column::new(name, kind, true, "A column.");
    let columns =
        Columns::new([column("q", Type::Text), column("answer", Type::Int), column("rest", Type::Floats)]);
    let path = folder.path().join("q.parquet");
    let rows = [vec!["a".into(), 1.into(), Value::Null], vec![Value::Null, 2.into(), Value::Null]];
    write_table(&path, &columns, &rows).unwrap();
    let ports = read(&path, ", fields: {prompt: q}").unwrap();
    assert_eq!((&ports["out"][0]["prompt"], &ports["out"][0]["answer"]), (&json!("a"), &json!("1")));
    assert_eq!(
        rejects(&ports),
        [("missing_field".to_owned(), "q.parquet row 1: field `q` is empty".to_owned())]
    );
    let error = read(&path, "").unwrap_err();
    assert_eq!(error.code, "E0402");
    assert!(error.message.contains("q, answer, rest"), "{}", error.message);
    let bytes = fs::read(&path).unwrap();
    let cut = file(&folder, "cut.parquet", &bytes[..bytes.len() / 2]);
    assert_eq!(read(&cut, "").unwrap_err().code, "E0401");
}

#[test]
fn mistakes_are_told_before_the_run() {
    let found = mistakes(None, "op: read, path: q.csv, id: a, fields: {prompt_id: b}, extra: {level: int}");
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(mistakes(None, "op: read, path: q.txt, format: jsonl").is_empty());
}

#[test]
fn gsm8k_is_read_whole() {
    let Some(path) = shared_data("gsm8k/train.jsonl") else { return };
    let ports = read(&path, ", fields: {prompt: question, answer: answer}").unwrap();
    assert_eq!((ports["out"].len(), ports["rejected"].len()), (7473, 0));
    assert_eq!(ports["out"][0]["answer"], "72");
    assert!(
        ports["out"].iter().all(|row| row["solution"].as_str().is_some_and(|text| text.contains("####")))
    );
}
