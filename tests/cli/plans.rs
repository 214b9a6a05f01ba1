//! What a run would do, told before it does it: counts, reasons, refusals; and what it leaves alone.

use std::fs;
use std::path::PathBuf;

use serde_json::Value as Json;

use super::bench::{Bench, QUESTIONS, tiny};
use super::edits::looped;

/// The forecast as JSON.
fn plan(bench: &Bench, args: &[&str]) -> Json {
    let ran = bench.flow(&[&["plan", "p.yaml", "--format", "json"], args].concat());
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    ran.json()
}

fn exec(bench: &Bench, args: &[&str]) -> Json {
    bench.exec(&[&["--format", "json", "-q"], args].concat(), 0).json()
}

fn step<'a>(report: &'a Json, name: &str) -> &'a Json {
    report["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap()
}

/// Calls of every step that makes any.
fn calls(report: &Json) -> Vec<(String, u64)> {
    let steps = report["steps"].as_array().unwrap().iter();
    let calls =
        steps.map(|step| (step["step"].as_str().unwrap().to_owned(), step["calls"].as_u64().unwrap()));
    calls.filter(|(_, calls)| *calls > 0).collect()
}

/// The reasons of a step.
fn because(report: &Json, name: &str) -> Vec<String> {
    let reasons = step(report, name)["because"].as_array().unwrap().iter();
    reasons.map(|words| words.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_plan_foretells_every_call_of_the_rounds_to_come() {
    let bench = looped();
    exec(&bench, &["--rounds", "1"]);
    for rounds in ["2", "3"] {
        let foretold = plan(&bench, &["--rounds", rounds]);
        assert_eq!(foretold["total"]["bound"], "exact", "{foretold}");
        let done = exec(&bench, &["--rounds", rounds]);
        assert_eq!(calls(&foretold), calls(&done));
    }
    let nothing = plan(&bench, &[]);
    assert_eq!((calls(&nothing), nothing["total"]["calls"].as_u64()), (Vec::new(), Some(0)));
}

#[test]
fn a_first_plan_counts_what_it_can_and_makes_no_store() {
    let bench = looped();
    let foretold = plan(&bench, &[]);
    assert_eq!(foretold["first_run"], true);
    assert_eq!(step(&foretold, "attempts")["calls"], 36);
    assert_eq!(step(&foretold, "learner")["calls"], 3);
    let memory = &plan(&bench, &["--device", "cpu"])["memory"][0];
    assert_eq!(memory["device"], "the CPU");
    assert!(
        memory["draws"].as_u64() >= Some(24) && memory["cache_bytes"].as_u64() >= Some(1 << 20),
        "{memory}"
    );
    assert!(!bench.path(".flow/memo").exists() && !bench.path("out/shards").exists());
}

#[test]
fn the_exit_code_tells_whether_there_is_work() {
    let bench = looped();
    let code = |bench: &Bench| bench.flow(&["plan", "p.yaml", "--detailed-exitcode"]).code;
    assert_eq!(code(&bench), 3);
    exec(&bench, &[]);
    assert_eq!(code(&bench), 0);
    bench.put("questions.jsonl", QUESTIONS.replace("1+1=", "1+2="));
    assert_eq!(code(&bench), 3);
}

#[test]
fn a_round_more_of_kept_ones_is_no_work_once_it_is_done() {
    let bench = looped();
    for count in ["1", "2"] {
        let rounds = format!("rounds.count={count}");
        let kept = ["--set", &rounds, "--set", "rounds.on_change=keep"];
        let code = || bench.flow(&[&["plan", "p.yaml", "--detailed-exitcode"], &kept[..]].concat()).code;
        assert_eq!(code(), 3);
        exec(&bench, &kept);
        assert_eq!(code(), 0, "{count}");
    }
}

#[test]
fn a_plan_follows_the_keys_of_a_training() {
    let bench = looped();
    exec(&bench, &[]);
    let steps = |change: &str| {
        let plan = plan(&bench, &["--set", change]);
        let learner =
            plan["steps"].as_array().unwrap().iter().find(|step| step["step"] == "learner").unwrap();
        (learner["calls"].as_u64().unwrap(), learner["training_steps"].as_u64())
    };
    let (trainings, once) = steps("steps.learner.learning_rate=0.002");
    assert_eq!((trainings, once), (3, Some(9)), "six rows a round, two at a time");
    assert_eq!(steps("steps.learner.epochs=2"), (3, Some(18)));
    assert_eq!(steps("steps.learner.gradient_accumulation_steps=3"), (3, Some(3)));
    assert_eq!(steps("steps.learner.max_steps=5"), (3, Some(15)));
    assert_eq!(steps("steps.learner.packing=true"), (3, None));
}

#[test]
fn a_plan_names_published_folders_that_a_run_would_mend() {
    let bench = looped();
    exec(&bench, &[]);
    let (before, current) = (bench.published("out/verdicts"), bench.path("out/verdicts/current"));
    let planned = |words: &str| {
        let ran = bench.flow(&["plan", "p.yaml", "--detailed-exitcode"]);
        assert_eq!(ran.code, 3);
        assert!(ran.stdout.contains(words), "{}", ran.stdout);
        exec(&bench, &[]);
        assert!(before == bench.published("out/verdicts"));
        assert_eq!(bench.flow(&["plan", "p.yaml", "--detailed-exitcode"]).code, 0);
    };
    let part = before.keys().find(|path| path.extension().is_some_and(|end| end == "parquet")).unwrap();
    fs::write(current.join(part), "half").unwrap();
    planned("what is published in `out/verdicts` is damaged");
    fs::remove_dir_all(bench.path("out/verdicts")).unwrap();
    planned("nothing is published in `out/verdicts` any more");

    let copies = ["--set", "steps.learner.path=copied"];
    let coded = |args: &[&str]| bench.flow(&[args, &copies].concat());
    let missing = coded(&["plan", "p.yaml", "--detailed-exitcode"]);
    assert_eq!(missing.code, 3);
    assert!(missing.stdout.contains("`copied` has no checkpoint"), "{}", missing.stdout);
    exec(&bench, &copies);
    assert!(bench.path("copied/config.json").is_file());
    assert_eq!(coded(&["plan", "p.yaml", "--detailed-exitcode"]).code, 0);
    for (file, words) in
        [("config.json", "`copied` has no checkpoint"), ("model.safetensors", "`copied` is damaged")]
    {
        fs::remove_file(bench.path("copied").join(file)).unwrap();
        let planned = coded(&["plan", "p.yaml", "--detailed-exitcode"]);
        assert!(planned.code == 3 && planned.stdout.contains(words), "{}", planned.stdout);
        exec(&bench, &copies);
        assert_eq!(coded(&["plan", "p.yaml", "--detailed-exitcode"]).code, 0);
    }

    let other =
        fs::read_to_string(bench.path("p.yaml")).unwrap().replace("name: loop", "name: other\nout: out/loop");
    bench.put("other.yaml", other);
    let ran = bench.flow(&["exec", "other.yaml"]);
    assert_eq!(ran.code, 0);
    ran.says(&["p.yaml` has the same `out`: this run takes the place of what it has in `out/loop`"]);
    let told = bench.flow(&["plan", "p.yaml"]).stdout;
    assert!(told.contains("`out/verdicts` shows what pipeline `other` published"), "{told}");
    assert!(told.contains("other.yaml` has the same `out`"), "{told}");
}

#[test]
fn models_that_are_gone_are_made_again_and_nothing_else() {
    let bench = looped();
    exec(&bench, &[]);
    let models = || fs::read_dir(bench.path(".flow/models")).unwrap().map(|entry| entry.unwrap().path());
    let before = bench.published("out/verdicts");
    let n = models().count() as u64;
    let nothing: fn(PathBuf) = |_| {};
    let gone: fn(PathBuf) = |folder| fs::remove_dir_all(folder).unwrap();
    let cut: fn(PathBuf) = |folder| fs::write(folder.join("model.safetensors"), "half").unwrap();
    for (damage, calls) in [(nothing, 0), (gone, n), (cut, n)] {
        models().for_each(damage);
        let foretold = plan(&bench, &[]);
        assert_eq!(foretold["total"]["calls"], calls, "{foretold}");
        if calls > 0 {
            let words = format!("{calls} models that it made are gone: they are made again, the same");
            assert!(bench.flow(&["why", "p.yaml", "learner"]).stdout.contains(&words));
        }
        exec(&bench, &["--max-calls", &calls.to_string()]);
        assert!(before == bench.published("out/verdicts") && models().count() as u64 == n);
    }
}

#[test]
fn plans_and_reasons_are_of_the_part_that_is_meant() {
    let bench = looped();
    let part = plan(&bench, &["--until", "graded", "--rounds", "1"]);
    assert_eq!(part["steps"].as_array().unwrap().len(), 3);
    for verb in ["plan", "exec"] {
        let ran = bench.flow(&[verb, "p.yaml", "--from", "graded"]);
        assert_eq!(ran.code, 2);
        ran.says(&[
            "error[E0615]",
            "`--from graded` holds nothing back: `attempts` rests on it",
            "--rounds 1",
        ]);
    }
    let ran = bench.flow(&["plan", "p.yaml", "--rounds", "1", "--from", "graded"]);
    assert_eq!(ran.code, 1);
    ran.says(&["error[E0615]", "step `attempts` is before `--from`"]);
    exec(&bench, &["--rounds", "1"]);
    assert_eq!(plan(&bench, &["--rounds", "1", "--from", "graded"])["total"]["calls"], 0);
    let why = bench.flow(&["why", "p.yaml", "learner", "--rounds", "1"]).stdout;
    assert!(why.contains("a run would not change `learner`"), "{why}");
    let why = bench.flow(&["why", "p.yaml", "learner", "--rounds", "2"]).stdout;
    assert!(why.contains("a run would change `learner`"), "{why}");
}

#[test]
fn what_rests_on_unknown_rows_is_told_as_a_bound() {
    let bench = looped();
    let text = fs::read_to_string(bench.path("p.yaml")).unwrap();
    let again = "  again: {op: sample, from: [graded.different, graded.unknown], model: policy, n: 1, max_tokens: 6}\n";
    bench.put("p.yaml", text.replace("  verdicts", &format!("{again}  verdicts")));
    let first = bench.flow(&["plan", "p.yaml"]).stdout;
    exec(&bench, &[]);
    let again = bench.flow(&["plan", "p.yaml", "--set", "steps.attempts.temperature=0.5"]).stdout;
    assert!(first.contains("at least 63 calls") && again.contains("at most"), "{first}{again}");
}

#[test]
fn reasons_name_what_was_changed() {
    let bench = looped();
    exec(&bench, &[]);
    let colder = plan(&bench, &["--set", "steps.attempts.temperature=0.5"]);
    assert_eq!(because(&colder, "attempts")[0], "temperature 1.0 to 0.5");
    assert_eq!(because(&colder, "graded"), ["rows of `attempts` change"]);
    assert_eq!(step(&colder, "attempts")["recomputed"], 36);

    let more = plan(&bench, &["--set", "steps.attempts.n=6"]);
    assert_eq!(because(&more, "attempts")[0], "n 4 to 6");
    let attempts = step(&more, "attempts");
    assert_eq!(
        (&attempts["reused"], &attempts["rows"]),
        (&12.into(), &"at_least".into()),
        "round 1 keeps its draws"
    );
    let learner = step(&more, "learner");
    assert_eq!(
        (&learner["reused"], &learner["rows"]),
        (&Json::Null, &"unknown".into()),
        "it may train on other rows"
    );

    let line = "{\"prompt_id\": \"d\", \"prompt\": \"3+3=\", \"answer\": \"6\", \"level\": 1}\n";
    bench.put("questions.jsonl", QUESTIONS.replace("9-4=", "8-4=") + line);
    assert_eq!(because(&plan(&bench, &[]), "questions"), ["rows: 1 added, 1 changed"]);
    bench.put("questions.jsonl", QUESTIONS);

    let mut other = tiny();
    other.tensors.values_mut().for_each(|tensor| tensor.data = tensor.data.iter().map(|x| x * 2.0).collect());
    other.save(&bench.path("policy")).unwrap();
    assert_eq!(because(&plan(&bench, &[]), "attempts")[0], "weights of model `policy` changed");
}

#[test]
fn what_means_the_same_changes_nothing() {
    let bench = looped();
    exec(&bench, &[]);
    let text = std::fs::read_to_string(bench.path("p.yaml")).unwrap();
    let same = text
        .replace(
            "{op: sample, from: questions, model: policy, n: 4, max_tokens: 6}",
            "{max_tokens: 6, n: 4, model: policy, from: questions, op: sample} # draws",
        )
        .replace("questions.jsonl", "moved/questions.jsonl");
    bench.put("moved/questions.jsonl", QUESTIONS);
    bench.put("elsewhere.yaml", same);
    let ran = bench.flow(&["plan", "elsewhere.yaml", "--format", "json"]).json();
    assert_eq!(ran["total"]["calls"], 0);
    let rows = |what: &str| {
        ran["steps"].as_array().unwrap().iter().map(|step| step[what].as_u64().unwrap()).sum::<u64>()
    };
    assert_eq!((rows("new"), rows("retracted")), (0, 0));
}

#[test]
fn a_run_that_would_ask_too_much_is_refused_with_the_numbers() {
    let bench = looped();
    exec(&bench, &[]);
    let before = bench.published("out/shards");
    let colder = ["--set", "steps.attempts.temperature=0.5"];
    let denied = bench.exec(&[&colder[..], &["--on-recompute", "deny"]].concat(), 1);
    denied.says(&[
        "error[E0612]",
        "would ask again for rows that the last run had",
        "temperature 1.0 to 0.5",
    ]);
    bench.exec(&[&colder[..], &["--on-recompute", "ask"]].concat(), 1).says(&["E0612"]);
    bench.exec(&[&colder[..], &["--max-calls", "5"]].concat(), 1).says(&["`--max-calls` allows 5"]);
    assert!(before == bench.published("out/shards"));
    exec(&bench, &["--on-recompute", "deny", "--max-calls", "0"]);
}

#[test]
fn more_of_the_same_is_asked_without_asking_again() {
    let bench = looped();
    let deny = ["--rounds", "1", "--on-recompute", "deny"];
    exec(&bench, &deny[..2]);
    let more = exec(&bench, &[&deny[..], &["--set", "steps.scores.n=4"]].concat());
    assert_eq!(step(&more, "scores")["calls"], 12, "two more for each of three, by two models");
    let more = exec(&bench, &[&deny[..], &["--until", "graded", "--set", "steps.attempts.n=6"]].concat());
    assert_eq!(step(&more, "attempts")["calls"], 6);
}

#[test]
fn until_a_step_runs_what_it_rests_on_and_leaves_the_rest_published() {
    let bench = looped();
    exec(&bench, &[]);
    let (shards, verdicts) = (bench.published("out/shards"), bench.published("out/verdicts"));
    let part = exec(&bench, &["--until", "graded", "--rounds", "1", "--set", "steps.attempts.seed=9"]);
    let steps: Vec<&str> =
        part["steps"].as_array().unwrap().iter().map(|step| step["step"].as_str().unwrap()).collect();
    assert_eq!(steps, ["questions", "attempts", "graded"]);
    assert!((shards, verdicts) == (bench.published("out/shards"), bench.published("out/verdicts")));
    let rows = |report: &Json| report["outputs"][1]["rows"].clone();
    assert_eq!(
        rows(&exec(&bench, &["--rounds", "1"])),
        rows(&exec(&bench, &[])),
        "what is told is what readers see"
    );
    bench.exec(&["--until", "grded"], 2).says(&["error[E0614]", "graded"]);
}

#[test]
fn from_a_step_nothing_before_it_is_asked() {
    let bench = looped();
    let from = ["--rounds", "1", "--from", "graded"];
    bench.exec(&from, 1).says(&["error[E0615]", "`attempts`"]);
    exec(&bench, &["--rounds", "1", "--until", "attempts"]);
    let rest = exec(&bench, &from);
    assert_eq!(step(&rest, "learner")["calls"], 1);
}

#[test]
fn finished_rounds_stay_as_they_were() {
    let bench = looped();
    let keep = ["--set", "rounds.on_change=keep"];
    exec(&bench, &keep);
    let parts = |bench: &Bench| {
        let mut files = bench.published("out/shards");
        files.retain(|path, _| path.extension().is_some_and(|end| end == "parquet"));
        files
    };
    let before = parts(&bench);
    bench.put("questions.jsonl", QUESTIONS.replace("2+3=", "2+4="));
    let same = exec(&bench, &keep);
    assert_eq!(calls(&same), []);
    assert!(before == parts(&bench), "an edit reaches no finished round");

    let fourth = [&keep[..], &["--set", "rounds.count=4", "--verify-incremental"]].concat();
    let ran = bench.exec(&[&["--format", "json"], &fourth[..]].concat(), 0);
    ran.says(&["verified: "]);
    assert_eq!(step(&ran.json(), "attempts")["calls"], 12, "one round is drawn");
    let after = bench.published("out/shards");
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)));
    assert!(after.keys().any(|path| path.starts_with("round-004")));
    let manifest: Json = serde_json::from_slice(&after[std::path::Path::new("_manifest.json")]).unwrap();
    assert_eq!(manifest["lineage"]["kept_rounds"], 3);
}

#[test]
fn rounds_that_cannot_stay_are_not_computed_again_unasked() {
    let bench = looped();
    let keep = ["--set", "rounds.on_change=keep"];
    exec(&bench, &keep);
    let before = bench.published("out/shards");
    let refused = |more: &[&str], what: &str| {
        bench.exec(&[&keep[..], more].concat(), 1).says(&[
            "error[E0620]",
            what,
            "rounds.on_change=recompute",
        ]);
        assert!(before == bench.published("out/shards"));
    };
    refused(&["--rounds", "1"], "3 rounds have finished, and a run of 1 would forget some");
    let models = bench.path(".flow/models");
    fs::rename(&models, bench.path("elsewhere")).unwrap();
    refused(&[], "the model that round 1 made is not in the store any more");
    fs::rename(bench.path("elsewhere"), &models).unwrap();
    for record in fs::read_dir(bench.path(".flow/records")).unwrap() {
        fs::write(record.unwrap().path(), "half").unwrap();
    }
    refused(&[], "the record of the last run is damaged");
    exec(&bench, &[]);
}

#[test]
fn an_incremental_run_is_proved_and_a_changed_file_is_mended() {
    let bench = looped();
    exec(&bench, &[]);
    bench.put("questions.jsonl", QUESTIONS.replace(r#""answer": "2""#, r#""answer": "3""#));
    bench
        .exec(&["--verify-incremental"], 0)
        .says(&["verified: 8 steps with ", "equal a computation from scratch (0 calls"]);

    let before = bench.published("out/verdicts");
    let part = before.keys().find(|path| path.extension().is_some_and(|e| e == "parquet"));
    let path = bench.path("out/verdicts/current").join(part.unwrap());
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    bench.exec(&["--verify-incremental"], 0).says(&["equal a computation from scratch (0 calls"]);
    assert!(before == bench.published("out/verdicts"));
}

#[test]
fn why_follows_a_step_to_what_was_changed_and_a_row_to_where_it_comes_from() {
    let bench = looped();
    exec(&bench, &[]);
    let why = |args: &[&str]| bench.flow(&[&["why", "p.yaml"], args].concat());
    let told = why(&["shards", "--set", "steps.attempts.temperature=0.5"]).stdout;
    assert!(told.contains("attempts: temperature 1.0 to 0.5"), "{told}");
    let told = why(&["shards"]).stdout;
    assert!(told.contains("would not change `shards`") && told.contains("first run"), "{told}");
    bench.put("questions.jsonl", QUESTIONS.replace("1+1=", "1+2="));
    exec(&bench, &[]);
    for (step, reason) in [
        ("questions", "rows: 1 changed"),
        ("attempts", "rows of `questions` changed (1 changed); `learner` trained another model"),
        ("graded", "rows of `attempts` changed ("),
    ] {
        let told = why(&[step]).stdout;
        assert!(told.contains(reason), "{told}");
    }

    let row = bench.rows("out/shards").remove(0);
    let flow_data::Value::Text(id) = &row["row_id"] else { panic!("identities are texts") };
    let told = why(&[&id[..10]]).stdout;
    for words in ["attempts.out, round ", "the last run had it", "chosen.out", "completion: ", "verdict: "] {
        assert!(told.contains(words), "`{words}` is not in:\n{told}");
    }
    assert!(why(&["ffffffffffffffff"]).stderr.contains("error[E0617]"));
    assert_eq!(why(&["nosuchstep"]).code, 2);
}

#[test]
fn a_budget_of_calls_stops_cleanly_and_the_rest_follows() {
    let (bench, whole) = (looped(), looped());
    exec(&whole, &[]);
    for limit in ["calls", "tokens"] {
        let ran = bench.exec(&["--set", &format!("budget={{{limit}: 1}}")], 4);
        ran.says(&[
            &format!("stopped by the budget `{limit}: 1` with "),
            " spent; finished answers are kept",
        ]);
    }
    exec(&bench, &[]);
    assert!(bench.published("out/shards") == whole.published("out/shards"));

    let exact = looped();
    exact.exec(&["--set", "budget={calls: 62}"], 4);
    exact.exec(&["--set", "budget={calls: 1}"], 0);
    assert!(
        exact.published("out/shards") == whole.published("out/shards"),
        "36 draws, 3 trainings and 24 draws of scores: what is just enough is enough"
    );
}
