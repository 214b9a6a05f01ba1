//! Verbs that run nothing: streams, exit codes, JSON.

use serde_json::json;

use super::bench::{Bench, COPY, Ran};

#[test]
fn usage_mistakes_end_with_2_and_help_with_0() {
    let bench = Bench::with(COPY);
    for args in [&["chekc"][..], &["check"], &["exec", "p.yaml", "--workers", "0"], &["exec", "none.yaml"]] {
        let ran = bench.flow(args);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{args:?}");
        assert!(!ran.stderr.is_empty());
    }
    let help = bench.flow(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
    assert!(help.stdout.contains("Exit codes: 0 done"));
}

#[test]
fn check_tells_on_stderr_or_as_json_on_stdout() {
    let bench = Bench::with(&COPY.replace("path: out", "pth: out"));
    let text = bench.flow(&["check", "p.yaml"]);
    assert_eq!((text.code, text.stdout.as_str()), (78, ""));
    text.says(&["error[E0101]", "p.yaml:5:", "did you mean `path`?", "1 file checked: 1 error, 0 warnings"]);

    let ran = bench.flow(&["check", "p.yaml", "--format", "json"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (78, ""));
    let object = ran.json();
    assert_eq!((&object["errors"], &object["warnings"]), (&json!(1), &json!(0)));
    let first = &object["diagnostics"][0];
    assert_eq!(
        (&first["code"], &first["file"], &first["line"]),
        (&json!("E0101"), &json!("p.yaml"), &json!(5))
    );
}

#[test]
fn check_reads_all_files_and_no_other() {
    let bench = Bench::new();
    bench.put("right.yaml", COPY);
    bench.put("wrong.yaml", "version: 2");
    let ran = bench.flow(&["check", "right.yaml", "wrong.yaml"]);
    assert_eq!(ran.code, 78);
    ran.says(&["wrong.yaml:1:10", "2 files checked"]);
    assert_eq!(bench.flow(&["check", "right.yaml"]).code, 0, "the questions need not be there");
}

#[test]
fn text_that_is_not_utf8_is_an_invalid_pipeline() {
    let bench = Bench::new();
    bench.put("p.yaml", b"version: 1\nname: \xff");
    let ran = bench.flow(&["check", "p.yaml"]);
    assert_eq!(ran.code, 78);
    ran.says(&["error[E0601]", "from byte 17 on"]);
}

#[test]
fn overlays_are_checked_like_the_file() {
    let bench = Bench::with(COPY);
    assert_eq!(bench.flow(&["check", "p.yaml", "--set", "steps.shards.parts=8"]).code, 0);
    let ran = bench.flow(&["check", "p.yaml", "--set", "steps.shards.parts=7"]);
    assert_eq!(ran.code, 78);
    ran.says(&["--set:1:20", "expected a power of two, found 7"]);
}

#[test]
fn two_steps_that_publish_in_one_folder_are_refused() {
    let bench =
        Bench::with(&(COPY.to_owned() + "  again: {op: write, from: questions, path: ./out/./shards}\n"));
    let ran = bench.flow(&["check", "p.yaml"]);
    assert_eq!(ran.code, 78);
    ran.says(&["error[E0603]", "step `again` and step `shards` are published in `out/shards`"]);
}

#[test]
fn a_step_that_publishes_within_the_folder_of_another_is_refused() {
    for folder in ["out/shards/more", "out"] {
        let again = format!("  again: {{op: write, from: questions, path: {folder}}}\n");
        let ran = Bench::with(&(COPY.to_owned() + &again)).flow(&["check", "p.yaml"]);
        assert_eq!(ran.code, 78);
        ran.says(&["error[E0603]", "step `shards` in `out/shards`: one within the other"]);
    }
}

#[test]
fn graphs_are_data() {
    let bench = Bench::with(COPY);
    let graph = |language: &str| bench.flow(&["graph", "p.yaml", "--format", language]).stdout;
    assert!(graph("mermaid").starts_with("flowchart LR\n  s0[\"questions<br/>read\"]"));
    assert!(graph("dot").starts_with("digraph flow {"));
}

#[test]
fn the_schema_names_every_operator_that_ops_lists() {
    let bench = Bench::new();
    let schema = bench.flow(&["schema"]).json();
    let operators = schema["$defs"]["operators"].as_object().unwrap();
    let list = bench.flow(&["ops"]).stdout;
    let listed: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(listed.len() >= 10 && listed.iter().all(|name| operators.contains_key(*name)), "{listed:?}");
    assert_eq!(listed.len(), operators.len());
    for name in listed {
        let reference = bench.flow(&["ops", name]).stdout;
        assert!(reference.contains("Ports: ") && reference.contains("\nKeys:\n"), "{reference}");
    }
}

#[test]
fn unknown_names_get_suggestions() {
    let bench = Bench::new();
    let said = |args: &[&str], words: &str| {
        let Ran { code, stderr, .. } = bench.flow(args);
        assert!(code == 2 && stderr.contains(words), "{stderr}");
    };
    said(&["ops", "blance"], "did you mean `balance`?");
    said(&["explain", "E0310x"], "did you mean E0310?");
}

#[test]
fn every_code_is_explained() {
    let bench = Bench::new();
    let list = bench.flow(&["explain"]).stdout;
    let ids: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(ids.len() > 40 && ids.is_sorted());
    for id in ids {
        let text = bench.flow(&["explain", &id.to_lowercase()]).stdout;
        assert!(text.starts_with(&format!("{id}: ")) && text.lines().count() > 2, "{text}");
        assert_eq!(text.contains("\nWrong:\n"), text.contains("\nRight:\n"), "{text}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure_and_a_full_disk_is() {
    let bench = Bench::new();
    let shell = |redirection: &str| {
        let script = format!("'{}' schema {redirection}", env!("CARGO_BIN_EXE_flow"));
        let mut shell = std::process::Command::new("bash");
        let output =
            shell.args(["-o", "pipefail", "-c", &script]).current_dir(bench.path(".")).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(shell("| head -c 1 > rest"), (Some(0), String::new()));
    let (code, said) = shell("> /dev/full");
    assert_eq!(code, Some(1));
    assert!(said.starts_with("error[E0602]"), "{said}");
}

const TESTED: &str = "version: 1
name: tested
models: {policy: {path: none}}
steps:
  questions: {op: read, path: none.jsonl}
  attempts: {op: sample, from: questions, model: policy}
  graded: {op: verify, from: attempts, extract: final_line, compare: math}
  shards: {op: write, from: graded}
tests:
  - name: a right answer is kept
    step: graded
    given: [{answer: 4, completion: '#### 4'}, {answer: 5, completion: '#### 4'}]
    expect: {equal: [{answer: 4}], different: 1, rejected: 0}
";

#[test]
fn tests_of_a_pipeline_pass_or_show_what_came() {
    let bench = Bench::with(TESTED);
    let ran = bench.flow(&["test", "p.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, "1 of 1 tests passed\n"));

    bench.put("p.yaml", TESTED.replace("different: 1", "different: 2, unknown: [{answer: 4}]"));
    let ran = bench.flow(&["test", "p.yaml"]);
    assert_eq!(ran.code, 1);
    ran.says(&[
        "error[E0621]: expected 2 rows on `different`, found 1",
        "p.yaml:13:",
        r##"{"answer":"5""##,
        "0 of 1",
    ]);
    ran.says(&["expected other rows on `unknown`: 1 as listed, found 0"]);
    let object = bench.flow(&["test", "p.yaml", "--format", "json"]).json();
    assert_eq!((&object["tests"], &object["failed"]), (&json!(1), &json!(1)));
}

#[test]
fn steps_that_need_more_than_rows_are_not_tested() {
    let bench = Bench::with(
        &TESTED.replace("step: graded", "step: shards").replace("equal: [{answer: 4}], different: 1, ", ""),
    );
    let ran = bench.flow(&["test", "p.yaml"]);
    assert_eq!(ran.code, 1);
    ran.says(&["error[E0622]", "it writes files"]);
    assert!(!bench.path("out").exists(), "testing writes nothing");
}

#[test]
fn cells_of_tests_have_the_type_of_their_column() {
    let bench = Bench::with(&TESTED.replace("answer: 5,", "answer: [5],"));
    let ran = bench.flow(&["test", "p.yaml"]);
    assert_eq!(ran.code, 1);
    ran.says(&["error[E0309]", "column `answer` holds text, not a value of type list<float>"]);
}
