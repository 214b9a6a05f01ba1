//! The judge against labels that others have published: GSM8K's recorded solutions.

use std::path::Path;

use flow_data::Value;

use super::bench::Bench;

#[test]
fn every_published_label_of_gsm8k_is_found_again() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let solutions = root.join("../shared/data/gsm8k/example_model_solutions.jsonl");
    if !solutions.exists() {
        eprintln!("skipped: {} is not there", solutions.display());
        return;
    }
    let bench = Bench::new();
    let pipeline = root.join("pipelines/gsm8k-replay.yaml").display().to_string();
    let path = format!("steps.attempts.path={}", solutions.display());
    let ran = bench.flow(&["exec", &pipeline, "-q", "--set", &path]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);

    let rows = bench.rows("out/gsm8k-replay/verdicts");
    assert_eq!(rows.len(), 5_276, "all solutions are judged");
    let equal = rows.iter().filter(|row| row["verdict"] == "equal".into());
    assert_eq!(equal.count(), 2_001);
    for row in &rows {
        let agrees = row["is_correct"] == Value::Bool(row["verdict"] == "equal".into());
        assert!(agrees, "{row:?}");
    }
}
