//! Weights of fewer bits: drawn otherwise, kept apart, told by `plan` and `doctor`.

use serde_json::json;

use super::bench::{Bench, tiny};

const DRAWS: &str = "version: 1
name: draws
models: {policy: {path: policy}}
steps:
  questions: {op: read, path: questions.jsonl}
  attempts: {op: sample, from: questions, model: policy, n: 2, max_tokens: 6}
  likely: {op: perplexity, from: attempts, model: policy}
  shards: {op: write, from: attempts, path: out/shards}
  measured: {op: write, from: likely, path: out/measured}
  learner: {op: train, from: shards, start: policy, max_steps: 1}
  scores: {op: evaluate, from: questions, model: learner, n: 1, max_tokens: 6}
  kept: {op: write, from: scores, path: out/kept}
";

#[test]
fn other_weights_draw_again_and_train_on_what_is_drawn() {
    let bench = Bench::with(DRAWS);
    bench.model("policy");
    bench.exec(&["-q"], 0);
    let first = bench.published("out/shards");
    for weights in ["bf16", "int8"] {
        let set = format!("models.policy.weights={weights}");
        let ran = bench.flow(&["plan", "p.yaml", "--format", "json", "--set", &set]);
        let plan = ran.json();
        let step =
            |name: &str| plan["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap();
        assert_eq!(step("attempts")["calls"], 6, "{weights}: {plan}");
        let reason = format!("model `policy` from plain to {weights} weights");
        assert!(step("attempts")["because"].to_string().contains(&reason), "{plan}");
        assert!(
            step("scores")["because"].to_string().contains(&reason),
            "a trained model is drawn from alike: {plan}"
        );
        assert_eq!(plan["memory"][0]["weights"], weights);
    }
    bench.exec(&["-q", "--set", "models.policy.weights=int8"], 0);
    assert_ne!(bench.published("out/shards"), first);
    bench.exec(&["-q"], 0);
    assert_eq!(bench.published("out/shards"), first, "what was drawn before is kept");
}

#[test]
fn doctor_tells_what_each_takes_and_how_far_off_it_is() {
    let bench = Bench::new();
    bench.model("policy");
    let engine = flow_sampler::Engine::new(&tiny()).unwrap();
    let last = engine.logits(&[5, 6, 7]).unwrap().split_off(2 * tiny().config.vocab_size);
    bench.put("reference.json", json!({"input_ids": [[5, 6, 7]], "last_logits": [last]}).to_string());
    let doctor = |weights: &str| {
        let more =
            ["--reference", "reference.json", "--tolerance", "0.5", "--format", "json", "--weights", weights];
        bench.flow(&[&["doctor", "--model", "policy"][..], &more].concat())
    };
    let off =
        |weights: &str| doctor(weights).json()["reference"]["largest_logit_difference"].as_f64().unwrap();
    assert!(off("f32") < 1e-6 && off("bf16") > 1e-6 && off("int8") > 1e-6);
    let bytes = &doctor("f32").json()["weight_bytes"];
    let bytes = ["f32", "bf16", "int8"].map(|name| bytes[name].as_u64().unwrap());
    assert!(bytes[1] * 2 == bytes[0] && bytes[2] < bytes[1], "{bytes:?}");
    let wrong = doctor("int4");
    assert_eq!(wrong.code, 2);
    wrong.says(&["expected `f32`, `bf16` or `int8`"]);
}
