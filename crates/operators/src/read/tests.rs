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
fn a_folder_a_pattern_and_a_published_data_set_are_files() {
    let folder = TempDir::new().unwrap();
    for name in ["b.jsonl", "a.jsonl", "test.jsonl", "_notes.jsonl", "README.md"] {
        file(&folder, name, format!("{{\"prompt\": \"{name}\"}}\n"));
    }
    let prompts = |path: &Path| -> Vec<Json> {
        read(path, "").unwrap()["out"].iter().map(|row| row["prompt"].clone()).collect()
    };
    assert_eq!(prompts(folder.path()), ["a.jsonl", "b.jsonl", "test.jsonl"]);
    assert_eq!(prompts(&folder.path().join("*.jsonl")).len(), 3);
    assert_eq!(prompts(&folder.path().join("t*.jsonl")), ["test.jsonl"]);

    let published = TempDir::new().unwrap();
    let columns = Columns::new([Column::new("prompt", Type::Text, false, "")]);
    let publisher = flow_store::Publisher::open(published.path()).unwrap();
    let rows = [vec!["published".into()]];
    let bytes = flow_store::encode_part(&columns, &rows, &flow_store::Layout::default(), 1).unwrap();
    let digest = publisher.parts().stage(&bytes).unwrap();
    let path = "round-001/part.parquet".to_owned();
    let part = flow_store::Part { path, digest, n_rows: 1, n_bytes: bytes.len() as u64 };
    publisher.publish(&flow_store::Manifest::new(&columns, None, vec![part], serde_json::Map::new())).unwrap();
    assert_eq!(prompts(published.path()), ["published"]);
    assert_eq!(prompts(&published.path().join("current")), ["published"]);

    let part = published.path().join("current/round-001/part.parquet");
    let mut damaged = bytes;
    damaged[6] ^= 1;
    std::fs::remove_file(&part).unwrap();
    std::fs::write(&part, damaged).unwrap();
    let Err(error) = read(published.path(), "") else { panic!("it is not what was published") };
    assert!(error.code == "E0401" && error.message.contains("the bytes that were published"), "{error:?}");
}

#[test]
fn what_names_no_file_says_so() {
    let folder = TempDir::new().unwrap();
    let refused = |name: &str| {
        let Err(error) = read(&folder.path().join(name), "") else { panic!("there is nothing") };
        assert_eq!(error.code, "E0401");
        error.message
    };
    assert!(refused("").contains("has no file that ends in .jsonl or .parquet"));
    assert!(refused("train-*.jsonl").contains("no file has a name like"));
    assert!(refused("shards").contains("there is no file or folder"));
}

#[test]
fn an_id_that_stands_in_two_files_is_told_with_both_places() {
    let folder = TempDir::new().unwrap();
    file(&folder, "a.jsonl", "{\"prompt_id\": \"x\", \"prompt\": \"1\"}");
    file(&folder, "b.jsonl", "\n{\"prompt_id\": \"x\", \"prompt\": \"2\"}");
    let Err(error) = read(folder.path(), "") else { panic!("an id stands twice") };
    assert!(error.message.contains("a.jsonl:1 and at") && error.message.contains("b.jsonl:2"), "{error}");
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
    let found = mistakes(None, "op: read, path: q.jsonl, extra: {step: text, topic: text}");
    assert!(found.len() == 1 && found[0].contains("every published row has a `step` of its own"), "{found:?}");
    let found = mistakes(Some(&crate::testing::columns("prompt seed:text")), "op: write");
    assert!(found.len() == 1 && found[0].contains("to hold int, it holds text"), "{found:?}");
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
