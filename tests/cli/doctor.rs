//! `flow doctor`: what it says of checkpoints, and that values of `transformers` are met.
#![allow(clippy::print_stdout, reason = "a test says when its data is absent")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::bench::{Bench, tiny};

/// Small models of ten families with the values that `transformers` computes, where they are installed.
fn reference_models() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/reference_models");
    let Ok(entries) = fs::read_dir(&folder) else {
        println!("skipped: {} is absent", folder.display());
        return Vec::new();
    };
    let mut models: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    models.sort();
    assert!(!models.is_empty());
    models
}

#[test]
fn the_values_of_transformers_are_met_in_every_family() {
    let bench = Bench::new();
    for model in reference_models() {
        let reference = model.join("reference.json");
        let [model, reference] = [&model, &reference].map(|path| path.to_str().unwrap());
        let ran = bench.flow(&["doctor", "--model", model, "--reference", reference, "--format", "json"]);
        assert_eq!(ran.code, 0, "{model}: {}{}", ran.stdout, ran.stderr);
        let found = ran.json();
        let agreement = &found["reference"];
        assert_eq!(
            (&agreement["greedy_ids_agree"], &agreement["holds"]),
            (&json!(true), &json!(true)),
            "{model}"
        );
        for key in ["largest_logit_difference", "largest_logprob_difference"] {
            assert!(agreement[key].as_f64().unwrap() < 1e-4, "{model}: {agreement}");
        }
        assert!(model.ends_with(found["family"].as_str().unwrap()), "{model}: {}", found["family"]);
        assert_eq!(found["tokenizer"], Json::Null);
    }
}

/// A reference that the tiny model of the bench meets, but for what `change` does to it.
fn compared(change: impl Fn(&mut Json)) -> (Bench, super::bench::Ran) {
    let bench = Bench::new();
    bench.model("policy");
    let engine = flow_sampler::Engine::new(&tiny()).unwrap();
    let prompt = [5, 6, 7];
    let last: Vec<f32> = engine.logits(&prompt).unwrap().split_off(2 * tiny().config.vocab_size);
    let greedy = (0..last.len()).max_by(|a, b| last[*a].total_cmp(&last[*b])).unwrap();
    let mut reference = json!({"input_ids": [prompt], "last_logits": [last], "greedy_ids": [[greedy]]});
    change(&mut reference);
    bench.put("reference.json", reference.to_string());
    let ran = bench.flow(&["doctor", "--model", "policy", "--reference", "reference.json"]);
    (bench, ran)
}

#[test]
fn a_reference_that_is_not_met_fails() {
    let (_, ran) = compared(|_| ());
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stdout.contains("greedy ids agree") && ran.stdout.contains(", within 1e-3"),
        "{}",
        ran.stdout
    );

    let (_, ran) = compared(|reference| {
        let score = &mut reference["last_logits"][0][9];
        *score = (score.as_f64().unwrap() + 0.002).into();
    });
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("logits 2.0e-3, BEYOND 1e-3"), "{}", ran.stdout);

    let (_, ran) = compared(|reference| reference["greedy_ids"] = json!([[3]]));
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("greedy ids DIFFER first at prompt 0, token 0: 3 there, "), "{}", ran.stdout);
}

#[test]
fn a_reference_that_cannot_be_compared_says_why() {
    let cases: [(&str, Json, &str); 4] = [
        ("greedy_ids", json!([[3], [4]]), "has 1 prompts in `input_ids` and 2 rows in `greedy_ids`"),
        ("last_logits", json!([[0.5]]), "has 1 scores for a vocabulary of 259"),
        ("input_ids", json!([]), "has nothing to compare"),
        (
            "input_ids",
            json!([[5000]]),
            "cannot be compared at prompt 0: token 5000 is outside the vocabulary",
        ),
    ];
    for (key, value, message) in cases {
        let (_, ran) = compared(|reference| reference[key] = value.clone());
        assert_eq!(ran.code, 1, "{key}");
        ran.says(&["error[E0604]", "reference.json", message]);
    }
}

#[test]
fn a_model_is_told_in_words() {
    let bench = Bench::new();
    bench.model("policy");
    bench.put("policy/generation_config.json", r#"{"eos_token_id": [0, 9]}"#);
    let template = r#"{"chat_template": "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"}"#;
    bench.put("policy/tokenizer_config.json", template);
    let ran = bench.flow(&["doctor", "--model", "policy"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for words in [
        "family      llama",
        "1 layers of width 16, 2 query heads and 2 key heads of 8, 259 tokens, context 64",
        "parameters  ",
        "of keys and values for each token",
        "model.safetensors, ",
        "a text ends with 0, 9",
        "a question becomes \"<user>1+1=?\"",
    ] {
        assert!(ran.stdout.contains(words), "`{words}` is not in:\n{}", ran.stdout);
    }
}

#[test]
fn what_is_wrong_with_a_checkpoint_is_named() {
    let bench = Bench::new();
    bench.model("policy");
    let path = bench.path("policy/config.json");
    let config: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let cases = [
        ("model_type", json!("gpt2"), "unsupported architecture `gpt2`, supported are llama, "),
        (
            "attention_bias",
            json!(true),
            "tensor `model.layers.0.self_attn.k_proj.bias` is missing, although `attention_bias`",
        ),
        (
            "tie_word_embeddings",
            json!(false),
            "tensor `lm_head.weight` is missing, is `tie_word_embeddings` of config.json true?",
        ),
        ("hidden_size", json!(24), "has the shape [259, 16], expected [259, 24]"),
    ];
    for (key, value, message) in cases {
        let mut config = config.clone();
        config[key] = value;
        bench.put("policy/config.json", config.to_string());
        let ran = bench.flow(&["doctor", "--model", "policy"]);
        assert_eq!(ran.code, 1, "{key}");
        ran.says(&["error[E0604]: cannot use the model in policy: ", message]);
    }
    let ran = bench.flow(&["doctor", "--model", "nowhere"]);
    ran.says(&["nowhere/config.json"]);
}
