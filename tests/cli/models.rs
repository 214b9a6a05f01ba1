//! Models that cannot be used: told at their place in the pipeline, all at once, before anything runs.

use std::fs;

use flow_model::Tokenizer;

use super::bench::{Bench, tiny};

const DRAWS: &str = "version: 1
name: draws
models: {policy: {path: policy}, other: {path: nowhere}}
steps:
  questions: {op: read, path: questions.jsonl}
  attempts: {op: sample, from: questions, model: policy, n: 2, max_tokens: 4}
  more: {op: sample, from: questions, model: other, n: 2, max_tokens: 4}
  shards: {op: write, from: [attempts, more], path: out/shards}
";

#[test]
fn all_models_that_cannot_be_loaded_are_told_at_once() {
    let bench = Bench::with(DRAWS);
    let ran = bench.exec(&[], 1);
    ran.says(&["p.yaml:3:25", "p.yaml:3:48", "cannot load model `policy`", "nowhere/config.json"]);
    assert!(!bench.path("out").exists());
}

/// Runs with a model that `spoil` has damaged.
fn with_spoilt_model(spoil: impl Fn(&Bench), words: &[&str]) {
    let bench = Bench::with(DRAWS);
    bench.model("policy");
    spoil(&bench);
    let ran = bench.exec(&["--set", "models.other.path=policy"], 1);
    ran.says(&["error[E0604]", "cannot load model `policy`"]);
    ran.says(words);
    assert!(!bench.path("out").exists(), "nothing ran");
}

#[test]
fn where_a_model_is_missing_the_help_names_the_folder_that_paths_begin_in() {
    let bench = Bench::with(DRAWS);
    let here = bench.path(".").canonicalize().unwrap();
    bench
        .exec(&[], 1)
        .says(&[&format!("help: there is no such folder in `{}`, where `flow` runs", here.display())]);
    bench
        .exec(&["--set", "models.other.path=/nowhere"], 1)
        .says(&["help: there is no such folder; a model is "]);
}

#[test]
fn corrupt_weights_are_refused() {
    let weights = "policy/model.safetensors";
    let cut = |bench: &Bench| {
        let bytes = fs::read(bench.path(weights)).unwrap();
        bench.put(weights, &bytes[..bytes.len() / 2]);
    };
    with_spoilt_model(cut, &["model.safetensors"]);
    with_spoilt_model(|bench| bench.put(weights, b"not weights"), &["model.safetensors"]);
    with_spoilt_model(|bench| fs::remove_file(bench.path(weights)).unwrap(), &["safetensors"]);
}

#[test]
fn a_tokenizer_that_does_not_fit_is_refused() {
    let larger = |bench: &Bench| {
        let text = "the quick brown fox jumps over the lazy dog, and over all other dogs that it meets";
        let tokenizer = Tokenizer::train_byte_bpe(&[text], 300, &["<|endoftext|>"]).unwrap();
        assert!(tokenizer.vocab_size() > tiny().config.vocab_size);
        bench.put("policy/tokenizer.json", tokenizer.json());
    };
    with_spoilt_model(larger, &["tokenizer does not fit"]);
    with_spoilt_model(|bench| bench.put("policy/tokenizer.json", "{}"), &["tokenizer"]);
}

#[test]
fn a_config_that_is_not_supported_is_refused() {
    with_spoilt_model(|bench| bench.put("policy/config.json", "{"), &["config.json", "not valid JSON"]);
    let other = r#"{"model_type": "mamba", "architectures": ["MambaForCausalLM"]}"#;
    let words = ["unsupported architecture", "help: `docs/models.md` says which families"];
    with_spoilt_model(|bench| bench.put("policy/config.json", other), &words);
}
