//! Trainings that cannot teach, or hardly: told with their place, the cause and what to do.

use super::bench::Bench;

/// Problems and their solutions, learned by a model of 64 positions.
const TAUGHT: &str = "version: 1
name: taught
models: {policy: {path: policy}}
steps:
  problems: {op: generate, n: 12, levels: [1]}
  shards: {op: write, from: problems, path: out/shards}
  learner: {op: train, from: shards, start: policy, completion: solution, max_steps: 2}
";

fn taught() -> Bench {
    let bench = Bench::with(TAUGHT);
    bench.model("policy");
    bench
}

#[test]
fn examples_that_are_cut_before_they_teach_are_told_with_what_cuts_them() {
    let bench = taught();
    let place = ["error[E0608]", "p.yaml:7:3", "none of 12 examples has a completion token to learn from"];
    let ran = bench.exec(&["--set", "steps.learner.max_length=2"], 1);
    ran.says(&place);
    ran.says(&[", 12 are cut off after 2 tokens by `max_length`; raise it"]);
    let step = format!(
        "  long: {{op: render, from: problems, template: \"{}\"}}\n  shards:",
        "{{prompt}}".repeat(9)
    );
    bench.put(
        "p.yaml",
        TAUGHT.replace("  shards:", &step).replace("from: problems, path", "from: long, path"),
    );
    let ran = bench.exec(&[], 1);
    ran.says(&["p.yaml:8:3", "12 are cut off after 64 tokens by the positions of the model"]);
}

#[test]
fn a_training_that_diverges_says_which_key_to_lower() {
    let ran = taught()
        .exec(&["--set", "steps.learner.learning_rate=1e30", "--set", "steps.learner.max_steps=9"], 1);
    ran.says(&[
        "error[E0608]",
        "p.yaml:7:3",
        "training diverged at step ",
        "; lower `learning_rate` (it peaks at 1e30)",
    ]);
}

#[test]
fn a_training_that_cuts_most_of_its_examples_warns() {
    let bench = taught();
    let cut = bench.exec(&["--set", "steps.learner.max_length=32"], 0);
    cut.says(&["warning: learner: of 12 examples ", " taught nothing and ", "raise `max_length`"]);
    let whole = bench.exec(&[], 0);
    assert!(!whole.stderr.contains("taught nothing"), "{}", whole.stderr);
}
