//! `flow verify`: verdicts on files of answers, and how they agree with labels.

use flow_data::{Column, Columns, Type, Value};
use serde_json::{Value as Json, json};

use super::bench::Bench;

const ROWS: &str = r#"{"id": "a", "gold": "1/2", "pred": "0.5", "expected": true}
{"id": "b", "gold": "18", "pred": "She has 17 left. The answer is 17.", "expected": false}
{"id": "c", "gold": ["3", "x+1"], "pred": "\\boxed{1+x}", "expected": true}
{"gold": "4", "pred": "5", "expected": true}
{"gold": "B", "pred": "red", "options": ["blue", "red"]}
{"gold": "0.33", "pred": "1/3", "options": {"decimals": "places:2", "unheard_of": 1}}
{"gold": null, "pred": "5"}
"#;

/// Rows of JSON lines.
fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The id and verdict of each row.
fn verdicts(rows: &[Json]) -> Vec<(&str, &str)> {
    rows.iter().map(|row| (row["id"].as_str().unwrap(), row["verdict"].as_str().unwrap())).collect()
}

#[test]
fn each_row_has_a_verdict_and_labels_close_with_a_table() {
    let bench = Bench::new();
    bench.put("rows.jsonl", ROWS);
    let ran = bench.flow(&["verify", "rows.jsonl"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let rows = lines(&ran.stdout);
    assert_eq!(
        verdicts(&rows),
        [
            ("a", "equal"),
            ("b", "different"),
            ("c", "equal"),
            ("rows.jsonl:4", "different"),
            ("rows.jsonl:5", "equal"),
            ("rows.jsonl:6", "equal"),
            ("rows.jsonl:7", "unknown")
        ]
    );
    assert_eq!((&rows[1]["extracted"], &rows[1]["expected"]), (&json!("17"), &json!(false)));
    assert!(rows.iter().all(|row| row["method"].is_string() && row["witness"].is_string()));
    ran.says(&[
        "rows.jsonl:6: `options.unheard_of` says nothing here",
        "agreement 75.00 % (3 of 4), 0 false accepts, 1 false rejects, 0 unknown",
    ]);
}

#[test]
fn text_lists_what_disagrees_and_json_is_one_value() {
    let bench = Bench::new();
    bench.put("rows.jsonl", ROWS);
    let text = bench.flow(&["verify", "rows.jsonl", "--format", "text"]).stdout;
    assert!(text.starts_with("rows.jsonl:4: different, expected equal (number): "), "{text}");
    assert!(text.contains("agreement 75.00 %") && !text.contains("a: equal"), "{text}");
    let figures = bench.flow(&["verify", "rows.jsonl", "--format", "json"]).json();
    assert_eq!(
        (&figures["rows"], &figures["labelled"], &figures["false_rejects"]),
        (&json!(7), &json!(4), &json!(1))
    );
    assert_eq!(figures["rows_judged"].as_array().map(Vec::len), Some(7));
}

#[test]
fn what_is_not_decided_agrees_with_no_label() {
    let bench = Bench::new();
    let row = |expected: bool| {
        format!("{{\"gold\": \"some set\", \"pred\": \"another\", \"expected\": {expected}}}\n")
    };
    bench.put(
        "rows.jsonl",
        row(false) + &row(true) + "{\"gold\": \"4\", \"pred\": \"5\", \"expected\": false}\n",
    );
    let figures = bench.flow(&["verify", "rows.jsonl", "--format", "json"]).json();
    assert_eq!(
        (&figures["labelled"], &figures["agreeing"], &figures["unknown"]),
        (&json!(3), &json!(1), &json!(2))
    );
    let text = bench.flow(&["verify", "rows.jsonl", "--format", "text"]).stdout;
    assert!(
        text.contains("agreement 33.33 % (1 of 3), 0 false accepts, 0 false rejects, 2 unknown"),
        "{text}"
    );
}

#[test]
fn a_file_may_have_names_of_its_own_and_rows_that_cannot_be_judged() {
    let bench = Bench::new();
    let rows = "{\"gt\": \"18\", \"out\": [\"18.0\"], \"gold\": \"nonsense\"}\n{\"gt\": \"18\"}\n{\"gt\": \"18\", \"out\": \"17\"}\n";
    bench.put("rows.jsonl", rows);
    let ran = bench.flow(&["verify", "rows.jsonl", "--field", "gold=gt", "--field", "pred=out"]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert_eq!(verdicts(&lines(&ran.stdout)), [("rows.jsonl:1", "equal"), ("rows.jsonl:3", "different")]);
    ran.says(&[
        "rows.jsonl:2: there is no field `out`",
        "error[E0633]: rows.jsonl has 1 row that cannot be judged",
    ]);
}

#[test]
fn a_preset_searches_completions_and_keys_change_it() {
    let bench = Bench::new();
    bench.put("rows.jsonl", "{\"gold\": \"1/3\", \"pred\": \"First 7, then 0.333\"}\n");
    let verdict = |args: &[&str]| {
        let ran = bench.flow(&[&["verify", "rows.jsonl"], args].concat());
        lines(&ran.stdout)[0]["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(verdict(&["--preset", "gsm8k"]), "unknown");
    assert_eq!(verdict(&["--preset", "numeric"]), "equal");
    assert_eq!(verdict(&["--preset", "numeric", "--with", "extract=regex:First (.)"]), "different");
    assert_eq!(
        verdict(&["--with", "decimals=exact", "--with", "compare=numeric", "--preset", "gsm8k"]),
        "different"
    );
}

#[test]
fn a_row_may_say_where_its_answer_stands() {
    let bench = Bench::new();
    let options = r#""options": {"extract": "boxed"}"#;
    bench.put(
        "rows.jsonl",
        format!("{{\"gold\": 4, \"pred\": 4, {options}}}\n{{\"gold\": 4, \"pred\": \"\\\\boxed{{4}}\", {options}}}\n"),
    );
    let rows = lines(&bench.flow(&["verify", "rows.jsonl"]).stdout);
    assert_eq!(verdicts(&rows), [("rows.jsonl:1", "different"), ("rows.jsonl:2", "equal")]);
}

#[test]
fn parquet_is_read_and_written() {
    let bench = Bench::new();
    let column = |name: &str, kind| Column::new(name, kind, true, "A column.");
    let columns = Columns::new([
        column("gold", Type::Text),
        column("pred", Type::Text),
        column("expected", Type::Bool),
        column("options", Type::Texts),
    ]);
    let rows = vec![
        vec!["4".into(), "4.0".into(), Value::Bool(true), Value::Null],
        vec!["A".into(), "(B)".into(), Value::Bool(false), Value::texts(["1", "2"])],
    ];
    flow_store::write_table(&bench.path("rows.parquet"), &columns, &rows).unwrap();
    let ran = bench.flow(&["verify", "rows.parquet", "-o", "verdicts.parquet", "--format", "json"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(ran.json()["agreeing"], 2);
    let written = bench.table("verdicts.parquet");
    assert_eq!((&written[0]["id"], &written[0]["verdict"]), (&"rows.parquet row 0".into(), &"equal".into()));
    assert_eq!(written[1]["expected"], Value::Bool(false));

    let ran = bench.flow(&["verify", "rows.parquet", "-o", "verdicts.jsonl"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert_eq!(lines(&std::fs::read_to_string(bench.path("verdicts.jsonl")).unwrap()).len(), 2);
}

#[test]
fn bad_input_is_told_with_its_place() {
    let bench = Bench::new();
    let row = "{\"gold\": \"4\", \"pred\": \"4\"}\n";
    let told = |rows: &str, args: &[&str], code: i32, words: &[&str]| {
        bench.put("rows.jsonl", rows);
        let ran = bench.flow(&[&["verify", "rows.jsonl", "-o", "out.jsonl"], args].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{}", ran.stderr);
        ran.says(words);
        let written = std::fs::read_to_string(bench.path("out.jsonl")).unwrap_or_default();
        let judged = if code == 1 && rows.starts_with(row) { 1 } else { 0 };
        assert_eq!(written.lines().count(), judged, "rows that can be judged are written");
        let _ = std::fs::remove_file(bench.path("out.jsonl"));
    };
    told(&format!("{row}{{\"gold\": "), &[], 1, &["error[E0633]", "rows.jsonl:2: not JSON"]);
    told(
        &format!("{row}{{\"gold\": 1}}"),
        &[],
        1,
        &["error[E0633]", "rows.jsonl:2: there is no field `pred`", "= help"],
    );
    told("{\"pred\": 1}", &[], 1, &["there is no field `gold`"]);
    told("{\"gold\": 1, \"pred\": [1]}", &[], 1, &["expected text in `pred`, found [1]"]);
    told(
        "{\"gold\": 1, \"pred\": 1, \"expected\": \"maybe\"}",
        &[],
        1,
        &["expected true or false in `expected`"],
    );
    for (fields, words) in [
        (r#""expcted": true"#, "rows.jsonl:2: unknown field `expcted`, did you mean `expected`?"),
        (r#""expected": 1"#, "rows.jsonl:2: expected true or false in `expected`, found 1"),
        (
            r#""options": {"decimal": "exact"}"#,
            "rows.jsonl:2: unknown key `options.decimal`, did you mean `decimals`?",
        ),
        (
            r#""options": {"choices": "red"}"#,
            "rows.jsonl:2: expected a list in `options.choices`, found \"red\"",
        ),
        (r#""options": {"precision": "6"}"#, "rows.jsonl:2: expected a whole number in `options.precision`"),
        (r#""options": {"order": 1}"#, "rows.jsonl:2: expected text in `options.order`, found 1"),
        (r#""options": 5"#, "rows.jsonl:2: expected a list or a map in `options`, found 5"),
        (r#""gold": 2"#, "rows.jsonl:2: the key `gold` stands twice"),
        (r#""options": {"order": "any", "order": "listed"}"#, "rows.jsonl:2: the key `order` stands twice"),
    ] {
        told(&format!("{row}{{\"gold\": 1, \"pred\": 1, {fields}}}"), &[], 1, &["error[E0633]", words]);
    }
    told(
        "{\"gold\": 1, \"pred\": 1, \"options\": {\"extract\": \"x\"}}",
        &[],
        1,
        &["rows.jsonl:1: unknown extract \"x\""],
    );
    told(row, &["--field", "golden=x"], 2, &["error[E0631]", "expected FIELD=NAME", "gold, pred"]);
    told(
        "{\"gold\": 5, \"pred\": 5}",
        &["--field", "gold=answer"],
        1,
        &["rows.jsonl:1: there is no field `answer`", "has no row that can be judged, of 1"],
    );
    told(row, &["--with", "extract"], 2, &["error[E0631]", "expected KEY=VALUE"]);
    told(row, &["--with", "extract=regex:("], 2, &["error[E0631]", "invalid regex"]);
    told(row, &["--preset", "gsm9k"], 2, &["gsm9k", "gsm8k"]);

    for (args, code, words) in [
        (["verify", "none.jsonl"].as_slice(), 1, ["error[E0632]", "none.jsonl"]),
        (&["verify", "rows.csv"], 2, ["error[E0632]", "expected a path that ends in"]),
        (&["verify", "rows.jsonl", "-o", "out.csv"], 2, ["error[E0634]", "expected `--output` to end in"]),
        (&["verify", "rows.jsonl", "-o", "none/out.jsonl"], 1, ["error[E0634]", "none/out"]),
    ] {
        let ran = bench.flow(args);
        assert_eq!(ran.code, code, "{}", ran.stderr);
        ran.says(&words);
    }
    bench.put("cut.parquet", "PAR1");
    assert_eq!(bench.flow(&["verify", "cut.parquet"]).code, 1);
}
