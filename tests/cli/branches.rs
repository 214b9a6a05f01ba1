//! Experts by domain, joined to one model: from rows to branches to mixtures and averages.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use flow_data::Value;
use flow_model::Checkpoint;

use super::bench::Bench;
use super::edits::looped;

/// Branches of levels 1 and 2, joined by METHOD and trained on.
const BRANCHES: &str = "version: 1
name: branches
seed: 2
models: {policy: {path: policy}}
steps:
  problems: {op: generate, n: 24, levels: [1, 2, 3]}
  shards: {op: write, from: problems, path: out/shards}
  experts: {op: branch, from: shards, by: level, domains: [\"1\", \"2\"], start: policy, with_start: true, completion: solution, max_steps: 2}
  joined: {op: merge, from: experts, METHOD}
  learner: {op: train, from: shards, start: joined, completion: solution, max_steps: 2, save_steps: 1, path: out/learner}
";

fn bench(method: &str) -> Bench {
    let bench = Bench::with(&BRANCHES.replace("METHOD", method));
    bench.model("policy");
    bench
}

#[test]
fn a_domain_without_rows_is_told_with_those_that_there_are() {
    let bench = bench("method: uniform");
    let ran = bench.exec(&["--set", "steps.experts.domains=[\"1\", easy]"], 1);
    ran.says(&[
        "error[E0608]",
        "p.yaml:8:3",
        "there are `1`, `2`, `3`: name them in `steps.experts.domains`",
    ]);
}

/// The rows of the table of checkpoints that a step made.
fn made(bench: &Bench, step: &str) -> Vec<i64> {
    let rows = bench.table("out/branches/run/checkpoints.parquet").into_iter();
    let of_step = rows.filter(|row| row["step"] == step.into());
    of_step.map(|row| if let Value::Int(n) = row["n_experts"] { n } else { -1 }).collect()
}

#[test]
fn branches_become_mixtures_and_averages() {
    let methods = [
        ("method: uniform", 0, "llama"),
        ("method: weighted, weights: {\"1\": 1, \"2\": 2, start: 0}", 0, "llama"),
        ("method: task_vectors, base: policy, scale: 0.5", 0, "llama"),
        ("method: btx", 3, "mixtral"),
        ("method: btx, bias_update_rate: 0.01", 3, "flow_moe"),
        ("method: bam", 3, "flow_moe"),
        ("method: bam, shared_key_value: true", 3, "flow_moe"),
    ];
    for (method, experts, family) in methods {
        let bench = bench(method);
        bench.exec(&[], 0);
        assert_eq!(made(&bench, "experts"), [0, 0], "{method}");
        assert_eq!(made(&bench, "joined"), [experts], "{method}");
        let learner = Checkpoint::load(&bench.path("out/learner")).unwrap();
        assert_eq!(learner.config.family().model_type(), family, "{method}");
        let models = fs::read_dir(bench.path(".flow/models")).unwrap();
        assert!(models.flatten().all(|entry| !entry.file_name().to_string_lossy().contains("training")));
        let again = bench.exec(&["--format", "json"], 0).json();
        let calls = again["steps"].as_array().unwrap().iter().map(|step| step["calls"].as_u64().unwrap_or(0));
        assert_eq!(calls.sum::<u64>(), 0, "{method}: nothing is trained twice");
    }
}

#[test]
fn a_domain_without_rows_and_keys_of_other_methods_are_told() {
    let empty = bench("method: uniform");
    let ran = empty.exec(&["--set", "steps.experts.domains=[\"1\", \"7\"]"], 1);
    ran.says(&["the data set has no rows whose `level` is `7`; there are `1`, `2`"]);
    // A column may be named for two things.
    let ran = empty.exec(&["--set", "steps.experts.by=solution"], 1);
    ran.says(&["the data set has no rows whose `solution` is `1`"]);
    empty.exec(&["-q", "--set", "steps.learner.completion=prompt"], 0);
    let frozen = "steps.learner.freeze=[embeddings, attention, norms, feed_forward]";
    empty.exec(&["-q", "--set", frozen], 1).says(&["every part of the model is frozen"]);
    let wrong = bench("method: uniform, shared_key_value: true");
    wrong.exec(&[], 78).says(&["`shared_key_value` belongs to the method `bam`"]);
    let baseless = bench("method: task_vectors");
    let behind_a_server = BRANCHES
        .replace("METHOD", "method: uniform")
        .replace("{path: policy}", "{server: \"http://localhost:1/v1\", model: any}");
    Bench::with(&behind_a_server).exec(&[], 78).says(&["expected a model with weights, found `policy`"]);
    baseless.exec(&[], 78).says(&["needs the model that the others were trained from", "name it as `base`"]);
}

#[test]
fn ternary_and_fine_grained_experts_are_trained_and_drawn_from() {
    for (moe, family) in [
        ("{from: mote, experts: 3}", "flow_moe"),
        ("{from: mote, experts: 3, shared_expert_bits: 4}", "flow_moe"),
        ("{from: fine_grained, experts: 6, slices: 4, shared_expert: true}", "qwen2_moe"),
    ] {
        let text = BRANCHES
            .replace("  joined: {op: merge, from: experts, METHOD}\n", "")
            .replace("start: joined", &format!("start: policy, moe: {moe}"));
        let text = format!(
            "{text}  scores: {{op: evaluate, from: problems, model: learner, n: 1, max_tokens: 4}}\n"
        );
        let bench = Bench::with(&text);
        bench.model("policy");
        bench.exec(&[], 0);
        let learner = Checkpoint::load(&bench.path("out/learner")).unwrap();
        assert_eq!(learner.config.family().model_type(), family, "{moe}");
        if family == "flow_moe" {
            assert_eq!(learner.config.block.ternary_experts, Some(flow_model::Ternary::Packed));
            let block = 3 * learner.config.hidden_size * learner.config.intermediate_size;
            let size = fs::metadata(bench.path("out/learner/model.safetensors")).unwrap().len() as usize;
            let int4 = learner.config.block.int4_shared_expert;
            assert_eq!(int4, moe.contains("shared_expert_bits"));
            // Routed experts take a quarter of a byte a weight; the shared one four, or half of one and its scales.
            let full = 4 * (learner.config.num_parameters() - 3 * block - usize::from(int4) * block);
            let packed = 3 * block / 4 + usize::from(int4) * (block / 2 + 4096);
            assert!(size < full + packed + 8192, "{size}");
            let told = bench.flow(&["doctor", "--model", "out/learner"]);
            assert_eq!(told.stdout.contains(", four bits a weight"), int4, "{}", told.stdout);
        }
    }
}

#[test]
fn data_accumulates_over_rounds_when_told_to() {
    let bench = looped();
    let report = bench.exec(&["--format", "json", "--set", "steps.learner.retention=accumulate"], 0).json();
    let rows = bench.rows("out/shards");
    let up_to =
        |round: i64| rows.iter().filter(|row| matches!(row["round"], Value::Int(n) if n <= round)).count();
    let trained: Vec<u64> =
        report["trainings"].as_array().unwrap().iter().map(|t| t["n_examples"].as_u64().unwrap()).collect();
    assert_eq!(trained, [1, 2, 3].map(|round| up_to(round) as u64));
    assert!(trained[0] < trained[2]);
    let keep = ["--set", "steps.learner.retention=accumulate", "--set", "rounds.on_change=keep"];
    bench.exec(&keep, 78).says(&["does not go with `rounds.on_change: keep`"]);
}

#[test]
fn original_rows_written_beside_a_rounds_own_are_in_every_rounds_data() {
    let bench = looped();
    let text = fs::read_to_string(bench.path("p.yaml")).unwrap();
    let originals = "  originals: {op: render, from: questions, template: \"{{ answer }}\", to: completion}
  human: {op: write, from: originals, path: out/human}
";
    assert!(text.contains("from: shards") && text.contains("  learner:"), "{text}");
    let text = text.replace("from: shards", "from: [shards, human]");
    bench.put("p.yaml", text.replace("  learner:", &format!("{originals}  learner:")));
    let report = bench.exec(&["--format", "json"], 0).json();
    let rows = bench.rows("out/shards");
    let of = |round: i64| rows.iter().filter(|row| row["round"] == Value::Int(round)).count();
    let trained: Vec<u64> =
        report["trainings"].as_array().unwrap().iter().map(|t| t["n_examples"].as_u64().unwrap()).collect();
    let human = bench.rows("out/human").len();
    assert!(human > 0);
    assert_eq!(trained, [1, 2, 3].map(|round| (of(round) + human) as u64));
}

#[test]
fn experts_are_told_by_stretch_and_layer() {
    let bench = looped();
    bench.exec(&[], 0);
    let rows = bench.table("out/loop/run/experts.parquet");
    assert!(!rows.is_empty());
    for row in &rows {
        let Value::Floats(load) = &row["load"] else { panic!("a list: {row:?}") };
        assert_eq!(load.len(), 2);
        assert!((load.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let dead = load.iter().filter(|share| **share == 0.0).count() as i64;
        assert_eq!(row["n_dead"], Value::Int(dead));
        assert!(matches!(row["router_entropy"], Value::Float(e) if (0.0..=0.7).contains(&e)), "{row:?}");
    }
    let rounds: BTreeSet<String> = rows.iter().map(|row| format!("{:?}", row["round"])).collect();
    assert_eq!(rounds.len(), 3);
}

#[test]
fn a_training_that_is_killed_goes_on_to_the_same_model() {
    let slow = |bench: &Bench| {
        bench.model("policy");
        let text = BRANCHES.replace("  experts: {op: branch", "  experts: {op: branch, save_steps: 1");
        bench.put("p.yaml", text.replace("max_steps: 2", "max_steps: 40").replace("METHOD", "method: bam"));
    };
    let (whole, killed) = (Bench::with(""), Bench::with(""));
    slow(&whole);
    slow(&killed);
    whole.exec(&[], 0);
    let mut kills = 0;
    for wait_ms in [120, 200, 280, 360, 440] {
        let mut command = killed.command(&["exec", "p.yaml", "-q"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(wait_ms));
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        child.wait().unwrap();
    }
    killed.exec(&[], 0);
    let digest = |bench: &Bench| Checkpoint::load(&bench.path("out/learner")).unwrap().digest();
    assert_eq!(digest(&killed), digest(&whole), "after {kills} kills");
}
