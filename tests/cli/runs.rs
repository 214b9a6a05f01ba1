//! Whole runs: the report, the tables, lineage, interruption, kills, budgets, early ends.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flow_data::Value;
use serde_json::json;

use super::bench::{Bench, COPY, QUESTIONS, Ran, tiny};
use super::edits::{LOOP, looped};

#[test]
fn the_report_and_the_tables_agree() {
    let bench = looped();
    let report = bench.exec(&["--format", "json"], 0).json();
    assert_eq!(report["outcome"], "done");
    assert_eq!(report["rounds"], json!({"ran": 3, "of": 3, "ended_by": null}));
    let trainings = report["trainings"].as_array().unwrap();
    assert_eq!(trainings.len(), 3);
    for training in trainings {
        assert_eq!(
            (&training["experts"]["per_layer"], &training["experts"]["layers"]),
            (&json!(2), &json!(1))
        );
    }
    let checkpoints = bench.table("out/loop/run/checkpoints.parquet");
    let rounds: Vec<&Value> = checkpoints.iter().map(|row| &row["round"]).collect();
    assert_eq!(rounds, [&Value::Int(1), &Value::Int(2), &Value::Int(3)]);
    let run = &bench.table("out/loop/run/runs.parquet")[0];
    assert_eq!((&run["outcome"], &run["seed"]), (&"done".into(), &Value::Int(3)));

    // Every row that came in left by a port or was rejected: as the table itself says.
    let steps = bench.table("out/loop/run/steps.parquet");
    let rows = |port: &str| {
        let row =
            steps.iter().find(|row| row["step"] == "graded".into() && row["port"] == port.into()).unwrap();
        let Value::Int(n) = row["rows_out"] else { panic!("a count") };
        n
    };
    assert_eq!(rows("equal") + rows("different") + rows("unknown") + rows("rejected"), 36);

    // What the draws rest on, round by round.
    let efforts = bench.table("out/loop/run/efforts.parquet");
    let drawn: Vec<&Value> = efforts
        .iter()
        .filter(|row| row["step"] == "attempts".into() && row["tokens"] != Value::Int(0))
        .map(|row| &row["requests"])
        .collect();
    assert_eq!(drawn, [&Value::Int(12), &Value::Int(12), &Value::Int(12)]);

    // Four models were measured: the start and one of each round.
    let metrics = bench.table("out/loop/run/metrics.parquet");
    let whole = metrics.iter().filter(|row| row["level"] == Value::Null);
    assert_eq!(whole.count(), 4);
    assert_eq!(bench.table("out/loop/run/problems.parquet").len(), 12);
}

#[test]
fn a_gpu_that_cannot_be_used_ends_the_run_before_it_begins() {
    if flow_sampler::open_gpu().is_ok() {
        return eprintln!("skipped: there is a GPU");
    }
    let bench = looped();
    let ran = bench.exec(&["--device", "cuda"], 78);
    ran.says(&["error[E0635]: the GPU cannot be used", "--features cuda", "--device"]);
    for verb in ["watch", "plan"] {
        let ran = bench.flow(&[verb, "p.yaml", "--device", "cuda"]);
        assert_eq!(ran.code, 78, "{verb}");
        ran.says(&["error[E0635]: the GPU cannot be used"]);
    }
    bench.exec(&["--device", "cpu"], 0);
}

#[test]
fn the_manifest_says_what_the_data_was_made_from() {
    let bench = looped();
    bench.exec(&[], 0);
    let snapshot = flow_store::Snapshot::current(&bench.path("out/shards")).unwrap().unwrap();
    let lineage = &snapshot.manifest.lineage;
    let policy = flow_data::Id(tiny().digest()).to_string();
    assert_eq!(
        (&lineage["pipeline"], &lineage["step"], &lineage["seed"]),
        (&json!("loop"), &json!("shards"), &json!(3))
    );
    assert_eq!(lineage["models"], json!({"policy": policy}));
    assert!(snapshot.manifest.parts.iter().all(|part| part.path.starts_with("round-00")));
    for row in bench.rows("out/shards") {
        assert!(matches!((&row["row_id"], &row["model"]), (Value::Text(_), Value::Text(_))), "{row:?}");
    }
}

#[test]
fn the_closing_report_tells_people_where_to_look() {
    let bench = looped();
    let ran = bench.exec(&[], 0);
    assert_eq!(ran.stdout, "");
    ran.says(&[
        "conservation holds",
        "learner, round 3",
        "shares",
        "scores, round 1",
        "pass@1",
        "peak memory",
    ]);
    ran.says(&["duckdb -c \"SELECT * FROM 'out/shards/current/*/*.parquet' LIMIT 5\""]);
    assert_eq!(bench.exec(&["-q"], 0).stderr, "");
}

#[test]
fn the_last_checkpoint_is_copied_where_the_step_says() {
    let bench = looped();
    let copied = ["--set", "steps.learner.path=models/next"];
    let report = bench.exec(&[&copied[..], &["--format", "json"]].concat(), 0).json();
    let checkpoint = flow_model::Checkpoint::load(&bench.path("models/next")).unwrap();
    let last = report["trainings"].as_array().unwrap().last().unwrap();
    assert_eq!(last["model"], json!(flow_data::Id(checkpoint.digest()).to_string()));
    bench.exec(&copied, 0);
    bench.put("models/next/notes.md", "mine");
    bench.exec(&copied, 0);
    assert_eq!(fs::read(bench.path("models/next/notes.md")).unwrap(), b"mine", "texts stay");
    bench.put("models/next/eval/scores.json", "{}");
    bench.exec(&copied, 1).says(&["error[E0607]", "models/next/eval` is there, and would be lost"]);
    fs::remove_dir_all(bench.path("models/next/eval")).unwrap();

    let weights = fs::read_dir(bench.path(".flow/models").join(last["model"].as_str().unwrap())).unwrap();
    let weights = weights
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "safetensors"));
    let weights = weights.unwrap();
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 0x80;
    fs::write(&weights, bytes).unwrap();
    bench.exec(&copied, 1).says(&["error[E0607]", "is damaged: its files have other contents"]);
    flow_model::Checkpoint::load(&bench.path("models/next")).unwrap();
    fs::write(&weights, "cut short").unwrap();
    bench.exec(&copied, 0);
    assert_eq!(
        flow_model::Checkpoint::load(&bench.path("models/next")).unwrap().digest(),
        checkpoint.digest()
    );
}

#[test]
fn a_folder_that_no_checkpoint_can_be_copied_to_is_told_before_anything_runs() {
    let bench = looped();
    bench.put("mine/note.txt", "mine");
    bench
        .exec(&["--set", "steps.learner.path=mine"], 1)
        .says(&["error[E0607]", "note.txt` is there, and would be lost"]);
    // A checkpoint that came there in another way is not replaced.
    bench.model("own");
    bench.exec(&["--set", "steps.learner.path=own"], 1).says(&["error[E0607]", "own/config.json` is there"]);
    bench
        .exec(&["--set", "steps.learner.path=mine/note.txt/next"], 1)
        .says(&["error[E0607]", "mine/note.txt/next"]);
    assert_eq!(fs::read(bench.path("mine/note.txt")).unwrap(), b"mine");
    assert!(!bench.path(".flow/models").exists(), "nothing was trained");
}

#[test]
fn a_loop_without_rows_to_train_on_says_so() {
    let bench = looped();
    let none = ["--set", "steps.chosen.at_least=100", "--set", "steps.chosen.at_most=100"];
    let ran = bench.exec(&none, 1);
    ran.says(&[
        "the loop ended after 0 of 3 rounds: `learner` had nothing to train on",
        "error[E0627]: no round of the loop came to its end: `learner` had nothing to train on",
        "help: step `chosen` rejected all of its",
    ]);
    assert!(!ran.stderr.contains("FROM 'out/shards"), "there is no file to look into:\n{}", ran.stderr);
    let told = bench.exec(&[&none[..], &["--format", "json"]].concat(), 1).json();
    assert_eq!((&told["outcome"], &told["diagnostics"][0]["code"]), (&json!("failed"), &json!("E0627")));
}

#[test]
fn a_run_in_which_every_row_is_rejected_says_where_and_why() {
    let bench = Bench::with(
        &COPY
            .replace("from: questions,", "from: few,")
            .replace("  shards:", "  few: {op: filter, from: questions, where: level > 4}\n  shards:"),
    );
    let ran = bench.exec(&[], 0);
    ran.says(&["hint: step `few` rejected all of its 3 rows, as `filtered`: not: level > 4\n"]);
    let report = bench.exec(&["--format", "json"], 0).json();
    assert_eq!(
        (&report["dead_ends"][0]["step"], &report["dead_ends"][0]["n"], &report["dead_ends"][1]),
        (&json!("few"), &json!(3), &json!(null))
    );
}

#[test]
fn nothing_does_not_take_the_place_of_published_rows() {
    let bench = Bench::with(
        &COPY
            .replace("from: questions,", "from: few,")
            .replace("  shards:", "  few: {op: filter, from: questions, where: level > 0}\n  shards:"),
    );
    bench.exec(&["-q"], 0);
    let published = fs::read_link(bench.path("out/shards/current")).unwrap();
    let none = ["--set", "steps.few.where=level > 4"];
    bench.exec(&none, 1).says(&[
        "error[E0624]: step `shards` has no rows to publish in the place of 3 rows: step `few` rejected all of its 3 rows, as `filtered`",
        "remove `out/shards` and run again",
    ]);
    bench.put("questions.jsonl", "");
    bench.exec(&[], 1).says(&["error[E0624]", "in the place of 3 rows: step `questions` has no rows"]);
    bench.put("questions.jsonl", "{\"prompt\": null}\nnonsense\n{\"prompt\": null}\n");
    bench.exec(&[], 1).says(&["error[E0406]", "questions.jsonl:1: field `prompt` is empty"]);
    assert_eq!(fs::read_link(bench.path("out/shards/current")).unwrap(), published);

    fs::remove_dir_all(bench.path("out/shards")).unwrap();
    bench.put("questions.jsonl", "");
    bench.exec(&[], 0).says(&["hint: step `questions` has no rows\n"]);
}

#[test]
fn fewer_rounds_of_an_edited_loop_take_the_place_of_what_was_published() {
    let bench = looped();
    let rounds = || {
        fs::read_dir(bench.path("out/shards/current"))
            .unwrap()
            .filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_dir()))
            .count()
    };
    bench.exec(&["-q"], 0);
    let published = fs::read_link(bench.path("out/shards/current")).unwrap();
    bench.exec(&["-q", "--rounds", "1"], 0);
    assert_eq!(fs::read_link(bench.path("out/shards/current")).unwrap(), published, "a repeated round");
    let edited = ["--rounds", "1", "--set", "steps.attempts.seed=77", "--format", "json", "-q"];
    let report = bench.exec(&edited, 0).json();
    assert_eq!(rounds(), 1);
    let step = |name: &str| {
        report["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap().clone()
    };
    assert_eq!(report["outputs"][0]["rows"], step("shards")["rows_in"]);
}

#[test]
fn one_is_not_called_many() {
    let bench = Bench::with(&COPY.replace("path: out/shards", "path: out/shards, parts: 1"));
    bench.put("questions.jsonl", "{\"prompt\": \"1+1=\"}\n");
    bench.exec(&[], 0).says(&["1 row in 1 part\n", "conservation holds"]);
}

#[test]
fn a_table_that_no_step_fills_any_more_is_removed() {
    let bench = looped();
    bench.exec(&["-q"], 0);
    let metrics = bench.path("out/loop/run/metrics.parquet");
    assert!(metrics.exists());
    let without: Vec<&str> = LOOP.lines().filter(|line| !line.contains("scores:")).collect();
    bench.put("p.yaml", without.join("\n"));
    bench.exec(&["-q"], 0);
    assert!(!metrics.exists());
}

#[test]
fn a_budget_that_is_spent_stops_the_run() {
    let bench = slow();
    let ran = bench.exec(&["--set", "budget={wall: 1}"], 4);
    ran.says(&[
        "stopped by the budget `wall: 1` with 1 spent; ",
        "flow exec p.yaml --set 'budget={wall: 1}'`",
    ]);
}

/// A run of many seconds.
pub(crate) fn slow() -> Bench {
    let bench = looped();
    let many = (0..400).map(|n| format!("{{\"prompt\": \"{n}+{n}=\", \"answer\": \"{}\"}}\n", 2 * n));
    bench.put("questions.jsonl", many.collect::<String>());
    bench.put("p.yaml", LOOP.replace("n: 4, max_tokens: 6", "n: 64, max_tokens: 48"));
    bench
}

/// Starts a slow run and waits until some of its answers are kept.
pub(crate) fn begun(bench: &Bench, more: &[&str]) -> Child {
    let mut command = bench.command(&[&["exec", "p.yaml"], more].concat());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let log = bench.path(".flow/memo/00000.log");
    let started = Instant::now();
    while fs::metadata(&log).map_or(0, |file| file.len()) < 100_000 {
        assert!(started.elapsed() < Duration::from_secs(60), "the run makes headway");
        std::thread::sleep(Duration::from_millis(10));
    }
    child
}

pub(crate) fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// The bench again with few draws, so that it can be finished: those that are kept must fit in.
pub(crate) fn finished_as_from_scratch(bench: &Bench) {
    let few = LOOP.replace("n: 4, max_tokens: 6", "n: 2, max_tokens: 48").replace("count: 3", "count: 1");
    bench.put("p.yaml", &few);
    let report = bench.exec(&["--format", "json"], 0).json();
    let attempts =
        report["steps"].as_array().unwrap().iter().find(|rows| rows["step"] == "attempts").unwrap();
    assert!(attempts["reused"].as_u64() > Some(0), "answers of the stopped run are used");
    let scratch = slow();
    scratch.put("p.yaml", &few);
    scratch.exec(&["-q"], 0);
    assert!(bench.published("out/verdicts") == scratch.published("out/verdicts"));
}

#[test]
fn an_interrupted_run_ends_with_130_and_goes_on_from_there() {
    let stopped = ["-TERM", "-HUP", "-INT"].map(|name| {
        let bench = slow();
        let child = begun(&bench, &[]);
        signal(&child, name);
        let ran = Ran::of(child);
        assert_eq!(ran.code, 130, "{name}: {}", ran.stderr);
        ran.says(&["stopping; finished answers are kept", "interrupted", "flow exec p.yaml`"]);
        bench
    });
    finished_as_from_scratch(&stopped[0]);
}

#[test]
fn an_edited_run_that_is_interrupted_takes_no_round_away() {
    let bench = looped();
    bench.put("p.yaml", LOOP.replace("count: 3", "count: 20"));
    bench.exec(&["-q"], 0);
    let before = (bench.published("out/shards"), bench.published("out/verdicts"));

    bench.put("questions.jsonl", QUESTIONS.replace("1+1=", "1+2="));
    let mut command = bench.command(&["exec", "p.yaml", "-q"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let trained = || bench.table("out/loop/run/checkpoints.parquet").len();
    let started = Instant::now();
    while trained() == 20 {
        assert!(started.elapsed() < Duration::from_secs(60), "the run makes headway");
        std::thread::sleep(Duration::from_millis(2));
    }
    signal(&child, "-INT");
    let ran = Ran::of(child);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!((1..20).contains(&trained()), "some rounds have settled");
    assert!(before == (bench.published("out/shards"), bench.published("out/verdicts")));

    bench.exec(&["-q"], 0);
    assert!(before.0 != bench.published("out/shards"), "the whole run publishes the edit");
}

#[test]
fn a_killed_run_goes_on_from_there() {
    let bench = slow();
    let child = begun(&bench, &[]);
    signal(&child, "-KILL");
    assert_eq!(Ran::of(child).code, -1);
    bench.flow(&["gc"]).says(&["nothing was removed: the last run of", "has not ended", "flow gc --forget"]);
    bench.flow(&["gc", "--dry-run", "--forget", "p.yaml"]).says(&["would free"]);
    finished_as_from_scratch(&bench);
}
