//! The store between runs: what it holds, what is given up, what damage costs.

use std::fs;

use flow_store::RunLock;
use serde_json::{Value as Json, json};

use super::bench::{Bench, COPY};
use super::edits::{LOOP, looped};

/// `flow VERB --format json`, which must succeed.
fn told(bench: &Bench, args: &[&str]) -> Json {
    let ran = bench.flow(&[args, &["--format", "json"]].concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    ran.json()
}

/// Calls of all steps.
fn calls(report: &Json) -> u64 {
    report["steps"].as_array().unwrap().iter().map(|step| step["calls"].as_u64().unwrap()).sum()
}

#[test]
fn a_folder_that_is_no_store_is_left_alone() {
    let bench = Bench::with(COPY);
    let ran = bench.flow(&["gc", "--store", "."]);
    assert_eq!((ran.code, bench.path("lock").exists()), (2, false));
    ran.says(&["error[E0606]", "`.` is no store"]);
}

#[test]
fn what_no_pipeline_uses_is_removed_and_the_rest_answers_on() {
    let bench = looped();
    bench.put("other.yaml", LOOP.replace("name: loop", "name: other").replace("out/", "out/other/"));
    told(&bench, &["exec", "p.yaml"]);
    told(&bench, &["exec", "other.yaml", "--set", "steps.attempts.temperature=0.5"]);
    let whole = told(&bench, &["du"]);
    assert_eq!((&whole["unused_answers"]["n"], &whole["unused_models"]["n"]), (&json!(0), &json!(0)));
    assert_eq!(whole["pipelines"].as_array().unwrap().len(), 2);

    // An edit leaves behind what only the last run used.
    bench.put("p.yaml", LOOP.replace("n: 4, max_tokens: 6", "n: 3, max_tokens: 6"));
    told(&bench, &["exec", "p.yaml"]);
    let published = bench.published("out/shards");
    let unused = &told(&bench, &["du"])["unused_answers"];
    assert!(unused["n"].as_u64() > Some(0));
    let dry = told(&bench, &["gc", "--dry-run"]);
    assert_eq!(&dry["answers"], &unused["n"]);
    let freed = told(&bench, &["gc"]);
    assert_eq!(
        (&freed["answers"], &freed["models"], &freed["bytes"]),
        (&dry["answers"], &dry["models"], &dry["bytes"])
    );
    assert_eq!(told(&bench, &["du"])["unused_answers"]["n"], 0);
    for args in [&["exec", "p.yaml"][..], &["exec", "other.yaml", "--set", "steps.attempts.temperature=0.5"]]
    {
        assert_eq!(calls(&told(&bench, args)), 0, "{args:?} is answered from the store");
    }
    assert!(published == bench.published("out/shards"));

    // A pipeline that was moved is named, and kept for until it is to be forgotten.
    let other = bench.path("other.yaml").display().to_string();
    fs::rename(bench.path("other.yaml"), bench.path("moved.yaml")).unwrap();
    let kept = told(&bench, &["gc"]);
    assert_eq!((&kept["models"], &kept["gone"]), (&json!(0), &json!([other])));
    bench.flow(&["gc"]).says(&["kept what `", "other.yaml` used", "flow gc --forget"]);
    bench.flow(&["gc", "--forget", "none.yaml"]).says(&["error[E0606]", "no run of `none.yaml`"]);
    let forgotten = told(&bench, &["gc", "--forget", "other.yaml"]);
    assert!(forgotten["models"].as_u64() > Some(0));
    assert_eq!(
        (&forgotten["gone"], told(&bench, &["du"])["pipelines"].as_array().unwrap().len()),
        (&json!([]), 1)
    );
    assert_eq!(calls(&told(&bench, &["exec", "p.yaml"])), 0);
}

#[test]
fn a_store_of_which_nothing_is_known_is_left_alone() {
    let bench = looped();
    assert_eq!(told(&bench, &["gc"])["answers"], 0);
    bench.exec(&["-q"], 0);
    fs::remove_dir_all(bench.path(".flow/uses")).unwrap();
    bench.flow(&["gc"]).says(&["nothing was removed: no pipeline has noted what it uses"]);
    assert_eq!(calls(&told(&bench, &["exec", "p.yaml"])), 0);
}

#[test]
fn a_store_in_use_is_not_swept() {
    let bench = Bench::with(COPY);
    bench.exec(&["-q"], 0);
    let _lock = RunLock::acquire(&bench.path(".flow/lock"), "flow exec other.yaml").unwrap();
    let ran = bench.flow(&["gc"]);
    assert_eq!(ran.code, 75);
    ran.says(&["error[E0605]", "flow exec other.yaml"]);
    assert_eq!(bench.flow(&["du"]).code, 0, "looking disturbs nobody");
}

#[test]
fn a_damaged_answer_is_asked_for_again_and_told() {
    let bench = looped();
    let first = told(&bench, &["exec", "p.yaml"]);
    assert_eq!(first["warnings"], json!([]));
    let (published, log) = (bench.published("out/shards"), bench.path(".flow/memo/00000.log"));
    let mut bytes = fs::read(&log).unwrap();
    // A byte of the first answer.
    bytes[40] ^= 1;
    fs::write(&log, bytes).unwrap();
    let again = told(&bench, &["exec", "p.yaml"]);
    assert_eq!(calls(&again), 1, "only what was damaged");
    assert!(again["warnings"][0].as_str().unwrap().starts_with("1 damaged place in the store"));
    assert!(published == bench.published("out/shards"));
    bench.exec(&[], 0).says(&["warning: 1 damaged place in the store"]);
    told(&bench, &["gc"]);
    assert_eq!(told(&bench, &["exec", "p.yaml"])["warnings"], json!([]), "a sweep leaves no damaged place");
}
