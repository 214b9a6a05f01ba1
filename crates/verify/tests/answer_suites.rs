//! The answer suites of other checkers: whatever they call different is never called equal here.

mod common;

use common::{field, json_lines, shared};
use flow_verify::{Compare, Extract, Outcome, compare, extract};
use serde_json::Value;

/// The rows whose label is not followed, each with the name of the reading that is taken instead.
fn readings() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("readings.tsv").lines();
    lines.filter(|line| !line.starts_with(['#', '='])).filter_map(|line| line.split_once('\t'))
}

#[test]
fn every_reading_is_said() {
    let said: Vec<&str> = include_str!("readings.tsv")
        .lines()
        .filter_map(|line| Some(line.strip_prefix('=')?.split_once('\t')?.0))
        .collect();
    for (id, reading) in readings() {
        assert!(said.contains(&reading), "{id}: {reading}");
    }
}

#[test]
fn nothing_is_accepted_that_a_suite_calls_different() {
    let Some(folder) = shared("answer_equivalence") else { return };
    let mut files: Vec<String> = folder
        .read_dir()
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".jsonl") && !name.starts_with('_'))
        .collect();
    files.sort();
    let (mut accepted, mut refused, mut right) = (Vec::new(), 0, 0);
    for file in &files {
        for row in json_lines(&format!("answer_equivalence/{file}")).unwrap_or_default() {
            let Some((expected, outcome)) = judge(&row) else { continue };
            match (expected, outcome == Outcome::Equal) {
                (false, true) => accepted.push(field(&row, "id").to_owned()),
                (false, false) => refused += 1,
                (true, is_equal) => right += usize::from(is_equal),
            }
        }
    }
    accepted.retain(|id| readings().all(|(known, _)| known != id));
    assert!(accepted.is_empty(), "accepted without a reading: {accepted:?}");
    assert!(refused > 3_500, "{refused}");
    assert!(right > 4_500, "{right}");
}

/// The label of a row and what is said of it; none for rows that ask something else.
fn judge(row: &Value) -> Option<(bool, Outcome)> {
    if row["options"]["mode"] == "literal" {
        return None;
    }
    let expected = row["expected"].as_bool()?;
    let given = row["pred"].as_str()?;
    let golds: Vec<&str> = match &row["gold"] {
        Value::String(gold) => vec![gold],
        Value::Array(golds) => golds.iter().filter_map(Value::as_str).collect(),
        _ => return None,
    };
    let answer = match row["kind"].as_str()? {
        "equiv" => Some(given.to_owned()),
        "extract_then_equiv" => extract(given, Extract::Auto).map(|answer| answer.text.into_owned()),
        _ => return None,
    };
    let Some(answer) = answer else { return Some((expected, Outcome::Unknown)) };
    let is_equal = golds.iter().any(|gold| compare(gold, &answer, Compare::Math).outcome == Outcome::Equal);
    Some((expected, if is_equal { Outcome::Equal } else { Outcome::Unknown }))
}
