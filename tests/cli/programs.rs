//! Programs as completions: what the jail lets pass, what the rows say of the rest, and that nothing runs twice.

use std::path::Path;

use flow_data::Value;

use super::bench::Bench;

/// The example with programs, its data found from anywhere.
fn example() -> (String, String) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let data = format!("steps.programs.path={}", root.join("examples/data/programs.jsonl").display());
    (root.join("examples/06_code.yaml").display().to_string(), data)
}

#[test]
fn tests_judge_programs_and_every_failure_has_its_reason() {
    let bench = Bench::new();
    let (pipeline, data) = example();
    let ran = bench.flow(&["exec", &pipeline, "--set", &data]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);

    let kept = bench.rows("out/code/kept");
    assert_eq!(kept.len(), 5, "{kept:?}");
    assert!(kept.iter().all(|row| row["n_passed"] == Value::Int(3) && row["n_run"] == Value::Int(3)));
    let pruned = bench.rows("out/code/pruned");
    let mut methods: Vec<_> = pruned.iter().map(|row| format!("{:?}", row["method"])).collect();
    methods.sort();
    let expected =
        ["exception", "forbidden", "forbidden", "time", "wrong_output", "wrong_output", "wrong_output"];
    assert_eq!(methods, expected.map(|word| format!("{:?}", Value::from(word))), "{pruned:?}");

    let again = bench.flow(&["exec", &pipeline, "--set", &data, "--format", "json"]);
    assert_eq!(again.code, 0, "{}", again.stderr);
    let summary: serde_json::Value = serde_json::from_str(&again.stdout).unwrap();
    let tested = summary["steps"].as_array().unwrap().iter().find(|step| step["step"] == "tested");
    assert_eq!(tested.unwrap()["calls"], 0, "{summary}");
}

#[test]
fn the_example_passes_its_own_tests() {
    let ran = Bench::new().flow(&["test", &example().0]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn soft_pruning_asks_for_any_test_and_without_a_jail_programs_can_do_more() {
    let (pipeline, data) = example();
    // One program asks a tool of the machine, which may be there.
    for (change, kept) in [("steps.tested.code.prune=soft", 8..=8), ("steps.tested.code.sandbox=none", 5..=6)]
    {
        let bench = Bench::new();
        let ran = bench.flow(&["exec", &pipeline, "-q", "--set", &data, "--set", change]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let found = bench.rows("out/code/kept").len();
        assert!(kept.contains(&found), "{change}: {found}");
    }
}
