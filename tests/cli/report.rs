//! `flow report` and `flow show`: a run as one file, rows in full.

use std::fs;

use super::bench::{Bench, QUESTIONS};
use super::runs::{begun, slow};

const LOOP: &str = "version: 1
name: loop
models: {policy: {path: policy}}
steps:
  questions: {op: read, path: questions.jsonl}
  attempts: {op: sample, from: questions, model: policy, n: 3, max_tokens: 6}
  graded: {op: verify, from: attempts, on_unknown: reject}
  shards: {op: write, from: [graded.equal, graded.different]}
  learner: {op: train, from: shards, start: policy, moe: {experts: 2, experts_per_token: 1}, max_steps: 3, batch_size: 2}
  scores: {op: evaluate, from: questions, model: learner, n: 2, max_tokens: 6, metrics: [pass@1, pass@2]}
  gains: {op: compare, from: scores.problems, baseline: first, metrics: [pass@1]}
rounds: {count: 2, feed: {policy: learner}}
";

fn report(bench: &Bench, args: &[&str]) -> String {
    let ran = bench.flow(&[&["report", "p.yaml"], args].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    fs::read_to_string(bench.path(ran.stdout.trim())).expect("the file that was named")
}

#[test]
fn a_run_is_shown_in_one_file_that_needs_nothing_else() {
    let bench = Bench::with(LOOP);
    bench.put("questions.jsonl", QUESTIONS.replace("9-4=", "<b>9-4="));
    bench.model("policy");
    bench.exec(&["-q"], 0);
    let html = report(&bench, &[]);
    for section in ["Accuracy", "How often problems are solved", "Completions", "Training", "Examples"] {
        assert!(html.contains(&format!("<h2>{section}</h2>")), "{section}");
    }
    for fact in ["pass@1", "expert 1", "round 2", "1+1="] {
        assert!(html.contains(fact), "{fact}");
    }
    // Nothing is fetched, nothing runs, nothing that was written becomes markup.
    for outside in ["http", "<script", "<link", "<img", "<b>9", "NaN"] {
        assert!(!html.contains(outside), "{outside}");
    }
    assert!(html.contains("&lt;b&gt;9-4="));
    bench.put("elsewhere/r.html", "<!doctype html>\nan older one");
    assert_eq!(html, report(&bench, &["-o", "elsewhere/r.html"]), "the same run, the same file");
    std::os::unix::fs::symlink("elsewhere/r.html", bench.path("link.html")).unwrap();
    report(&bench, &["-o", "link.html"]);
    assert!(bench.path("link.html").is_symlink(), "what a link leads to is replaced, not the link");
}

#[test]
fn a_run_that_was_killed_is_shown_as_far_as_it_came() {
    let bench = slow();
    let mut child = begun(&bench, &["-q"]);
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = bench.flow(&["report", "p.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.says(&["Incomplete: ", "not there yet"]);
}

#[test]
fn prompts_whose_draws_were_left_behind_count_as_unsolved() {
    let cut = "  cut: {op: balance, from: attempts, per: prompt_id, at_most: 1, rows: 2}\n  graded: {op: verify, from: cut,";
    let bench = Bench::with(&LOOP.replace("  graded: {op: verify, from: attempts,", cut));
    bench.model("policy");
    bench.exec(&["-q"], 0);
    let html = report(&bench, &[]);
    let (_, table) =
        html.split_once("`graded`: prompts by the number of their correct draws").expect("the table");
    let (head, _) = table.split_once("</tr>").expect("its head");
    assert!(head.contains("<th>3</th>"), "three draws were made for each prompt: {head}");
}

#[test]
fn answers_that_are_missing_are_told_and_no_model_is_asked() {
    let bench = Bench::with(LOOP);
    bench.model("policy");
    bench.exec(&["-q"], 0);
    let whole = report(&bench, &[]);
    let edited = LOOP.replace("n: 3", "n: 4");
    bench.put("p.yaml", edited);
    let ran = bench.flow(&["report", "p.yaml"]);
    ran.says(&["Incomplete: ", "answers are not there yet", "`attempts`, `graded`"]);
    let lacking = fs::read_to_string(bench.path(ran.stdout.trim())).unwrap();
    // What rests on a model that only the run trains is not shown as it was.
    let scores = bench.flow(&["show", "p.yaml", "scores", "--round", "2"]);
    scores.says(&["0 of 0 rows in `scores`; answers are not there yet"]);
    assert!(lacking.contains("answers are not there yet") && lacking.contains("<th>not there yet</th>"));
    assert_eq!(fs::read_to_string(bench.path("out/loop/run/report.html")).unwrap(), whole, "it stays");
    assert_eq!(bench.flow(&["plan", "p.yaml", "--detailed-exitcode"]).code, 3, "nothing was asked");
}

#[test]
fn a_pipeline_that_was_not_run_and_a_place_that_cannot_be_written_are_told() {
    let bench = Bench::with(LOOP);
    bench.model("policy");
    let ran = bench.flow(&["report", "p.yaml"]);
    assert_eq!(ran.code, 1);
    ran.says(&["error[E0623]", "has not been run", "flow exec"]);
    bench.exec(&["-q"], 0);
    bench.put("file", "in the way");
    let ran = bench.flow(&["report", "p.yaml", "-o", "file/report.html"]);
    assert_eq!(ran.code, 1);
    ran.says(&["cannot write `file/report.html`"]);
    for file in ["p.yaml", "questions.jsonl"] {
        let before = fs::read(bench.path(file)).unwrap();
        let ran = bench.flow(&["report", "p.yaml", "-o", file]);
        assert_eq!(ran.code, 2);
        ran.says(&["is there, and is no report"]);
        assert_eq!(fs::read(bench.path(file)).unwrap(), before);
    }
    let ran = bench.flow(&["report", "p.yaml", "-o", "nowhere/report.html"]);
    assert_eq!((ran.code, bench.path("nowhere").exists()), (1, false));
}

#[test]
fn rows_of_any_port_are_shown() {
    let bench = Bench::with(LOOP);
    bench.model("policy");
    let show = |what: &[&str]| bench.flow(&[&["show", "p.yaml"], what].concat());
    let before = show(&["attempts"]);
    assert_eq!((before.code, before.stdout.as_str()), (0, ""), "nothing is known before a run");
    before.says(&["0 of 0 rows", "answers are not there yet"]);
    assert_eq!(
        show(&["learner", "--format", "json"]).json()["rows"],
        serde_json::json!([]),
        "nothing was trained"
    );
    bench.exec(&["-q"], 0);

    let ran = show(&["attempts", "-n", "2", "--round", "2"]);
    assert_eq!((ran.code, ran.stdout.matches("  round 2\n").count()), (0, 2));
    ran.says(&["2 of 9 rows in `attempts`"]);
    let json = show(&["graded.different", "--format", "json", "-n", "100"]).json();
    let rows = json["rows"].as_array().expect("rows");
    assert_eq!(
        (&json["rows_known"], &json["port"], &json["more"]),
        (&rows.len().into(), &"different".into(), &false.into())
    );
    assert!(
        rows.iter().all(|row| row.get("solution").is_some()),
        "each has all columns, also those that are null"
    );
    let ran = show(&["attempts", "--round", "9"]);
    assert_eq!(ran.code, 2);
    ran.says(&["there is no round 9", "the last one is 2"]);
    assert!(rows.iter().all(|row| row["verdict"] == "different" && row["row_id"].is_string()));

    assert_eq!(show(&["graded.rejected"]).code, 0);
    for (what, help) in
        [("grded", "did you mean `graded`?"), ("graded.diferent", "did you mean `different`?")]
    {
        let ran = show(&[what]);
        assert_eq!(ran.code, 2);
        ran.says(&[help]);
    }
}
