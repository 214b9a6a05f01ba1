//! Trainers of one's own: `command` gives them shards and takes the checkpoint that they leave.

use super::bench::Bench;

/// A loop whose trainer is a script.
const LOOP: &str = "version: 1
name: own
seed: 2
models: {policy: {path: policy}}
steps:
  questions: {op: generate, n: 12, levels: [1]}
  attempts: {op: sample, from: questions, model: policy, n: 1, max_tokens: 4}
  shards: {op: write, from: attempts, path: out/shards}
  learner: {op: command, from: shards, start: policy, run: [sh, train.sh, \"{data}\", \"{start}\", \"{out}\", \"{seed}\"], files: [train.sh], path: trained}
  scores: {op: evaluate, from: questions, model: learner, n: 1, max_tokens: 4}
rounds: {count: 2, feed: {policy: learner}}
";

/// Notes each run with the number of shards, and makes another model of the start: its config says so.
const SCRIPT: &str = "set -e
echo \"$(ls $1/*.parquet | wc -l) $4\" >> runs.txt
cp $2/* $3/
sed 's/\"rope_theta\": *\\([0-9]\\)/\"rope_theta\": 1\\1/' $2/config.json > $3/config.json
";

fn bench(script: &str) -> Bench {
    let bench = Bench::with(LOOP);
    bench.model("policy");
    bench.put("train.sh", script);
    bench
}

fn runs(bench: &Bench) -> Vec<String> {
    let runs = std::fs::read_to_string(bench.path("runs.txt")).unwrap_or_default();
    runs.lines().map(str::to_owned).collect()
}

#[test]
fn what_is_damaged_while_a_run_goes_on_is_found_by_its_proof() {
    let bench = bench(SCRIPT);
    bench.exec(&["--verify-incremental"], 0);
    let before = bench.published("out/shards");
    bench.put(
        "train.sh",
        format!("{SCRIPT}for part in out/shards/current/round-001/*; do echo x >> $part; done\n"),
    );
    bench.exec(&["--verify-incremental"], 1).says(&["error[E0616]", "shards"]);
    bench.exec(&["--verify-incremental"], 0);
    assert!(before == bench.published("out/shards"), "the next run mends it");
}

#[test]
fn a_script_trains_each_round_and_again_only_where_something_changed() {
    let bench = bench(SCRIPT);
    bench.exec(&[], 0);
    let first = runs(&bench);
    assert_eq!(first.len(), 2, "once a round");
    assert!(first.iter().all(|run| run.ends_with(" 2") && !run.starts_with('0')), "{first:?}");
    let models = bench.table("out/own/run/checkpoints.parquet");
    assert_eq!(models.len(), 2);
    assert_ne!(models[0]["model"], models[1]["model"], "the second round begins with what the first made");
    assert!(bench.path("trained/config.json").exists());
    let before = bench.published("out/shards");
    let card = std::fs::read_to_string(bench.path("trained/README.md")).unwrap();
    for said in ["# learner of own", ", round 2, seed 2", "## Settings", "| `scores` | pass@1 | ", "train.sh"]
    {
        assert!(card.contains(said), "{said}: {card}");
    }

    bench.exec(&[], 0);
    assert_eq!(runs(&bench).len(), 2, "nothing changed");
    bench.put("train.sh", format!("{SCRIPT}# changed\n"));
    let plan = bench.flow(&["plan", "p.yaml"]);
    assert!(plan.stdout.contains("learner"), "{}", plan.stdout);
    bench.exec(&[], 0);
    assert_eq!(runs(&bench).len(), 4, "the script changed");
    assert_eq!(bench.published("out/shards"), before, "to the same models");
    assert_eq!(std::fs::read_to_string(bench.path("trained/README.md")).unwrap(), card);
    bench.put("trained/README.md", "my own words");
    bench.exec(&["--set", "steps.learner.seed=3"], 0);
    assert_eq!(std::fs::read_to_string(bench.path("trained/README.md")).unwrap(), "my own words");
    assert_eq!(runs(&bench)[4..], [first[0].replace(" 2", " 3"), first[1].replace(" 2", " 3")]);
}

#[test]
fn a_script_that_fails_ends_the_run_with_its_last_words() {
    let bench = bench("echo out of memory; exit 3");
    let ran = bench.exec(&[], 1);
    ran.says(&["step `learner` failed", "exit status: 3", "out of memory", "log.txt"]);
    assert!(!bench.path("trained").exists());
    bench.put("train.sh", "exit 0");
    bench.exec(&[], 1).says(&["`sh` left no checkpoint that can be drawn from"]);
    bench.put("train.sh", SCRIPT);
    bench.exec(&[], 0);
    assert_eq!(runs(&bench).len(), 2);
    let left = std::fs::read_dir(bench.path(".flow/models")).unwrap().flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().ends_with(".training")).count();
    assert_eq!(left, 2, "what failed can be looked at until it is removed");
}

#[test]
fn mistakes_of_command_lines_are_told_before_the_run() {
    let bench = bench(SCRIPT);
    let set = "steps.learner.run=[sh, train.sh, \"{dat}\", \"{out}\"]";
    let ran = bench.flow(&["check", "p.yaml", "--set", set]);
    assert_ne!(ran.code, 0);
    ran.says(&["unknown place `{dat}`", "`data`", "no word of `run` has `{data}` in it"]);
    let ran = bench.flow(&["exec", "p.yaml", "--set", "steps.learner.files=[trian.sh]"]);
    assert_ne!(ran.code, 0);
    ran.says(&["cannot read trian.sh"]);
    assert!(runs(&bench).is_empty());
}
