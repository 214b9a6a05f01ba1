//! The answer suites of other checkers: whatever they call different is never called equal here.

mod common;

use common::{field, json_lines, shared};
use flow_verify::{Compare, Extract, Outcome, compare, extract};
use serde_json::Value;

/// Rows that a suite calls different and this crate equal, and why this crate stays with it.
const POLICY: &[(&str, &str)] = &[
    ("glm_v/0036", "the suite wants the unit that the question asks for"),
    ("glm_v/0037", "the suite wants the unit that the question asks for"),
    ("glm_v/0038", "the suite wants the unit that the question asks for"),
    ("glm_v/0060", "a unit on one side is left aside"),
    ("hendrycks_math/0001", "a list without brackets is in any order"),
    ("hendrycks_math/0008", "a list without brackets is in any order"),
    ("math_verify/0031", "the suite refuses an answer on a line of its own"),
    ("math_verify/0032", "the suite refuses an answer on a line of its own"),
    ("math_verify/0187", "an inequality and its interval are the same set"),
    ("pie_math_validation/1258", "a missing unit is forgiven"),
    ("pie_math_validation/1262", "a missing unit is forgiven"),
    ("pie_math_validation/1266", "a missing unit is forgiven"),
    ("pie_math_validation/1270", "a missing unit is forgiven"),
    ("pie_math_validation/1273", "a missing unit is forgiven"),
    ("pie_math_validation/1274", "a missing unit is forgiven"),
    ("real_pairs_nemo_math/0022", "a missing unit is forgiven"),
    ("real_pairs_qwen_math/0084", "`10{,}000` is ten thousand; that grader could not read it"),
    ("rllm/0003", "the suite wants a box"),
    ("rllm/0004", "the suite wants a box"),
    ("rllm/0014", "the suite wants a box"),
    ("skyrl/0002", "the suite wants `####`"),
    ("skyrl/0007", "the suite wants the same form of a number"),
    ("skyrl/0010", "the suite wants the end of the text to be well formed"),
    ("skyrl/0012", "the suite wants the end of the text to be well formed"),
    ("trl/0013", "the suite wants the answer after `</think>`"),
];

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
    assert_eq!(accepted, POLICY.iter().map(|(id, _)| (*id).to_owned()).collect::<Vec<_>>());
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
