//! Logits against values recorded with another implementation, and against themselves in other batches.
#![allow(clippy::print_stdout, reason = "a test says when its data is absent")]

use std::path::{Path, PathBuf};

use flow_model::{Checkpoint, Config, Tokenizer, load_weights};
use flow_trainer::logits;
use serde_json::Value;

use crate::common;

fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(path);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
    }
    path.exists().then_some(path)
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("reads")).expect("parses")
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    numbers(value).into_iter().map(|x| x as u32).collect()
}

fn close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*found) - expected).abs() < tolerance, "{what}, number {i}: {found} {expected}");
    }
}

/// The recorded models have no tokenizer; any that fits will do.
fn without_tokenizer(dir: &Path) -> Checkpoint {
    let config = Config::load(&dir.join("config.json")).expect("the config loads");
    let tensors = load_weights(dir, &config).expect("the weights load");
    let shared = dir.join("../../models/babyllama105/hf/tokenizer.json");
    let tokenizer = Tokenizer::load(&shared).expect("the tokenizer loads");
    Checkpoint::new(config, tensors, tokenizer).expect("the parts fit")
}

#[test]
fn logits_and_log_probabilities_equal_transformers() {
    for model in [
        "llama",
        "mistral",
        "mixtral",
        "qwen2",
        "qwen3",
        "qwen2_moe",
        "qwen3_moe",
        "olmoe",
        "gemma2",
        "gemma3_text",
    ] {
        let Some(dir) = shared(&format!("reference_models/{model}")) else { return };
        let (start, reference) = (without_tokenizer(&dir), json(&dir.join("reference.json")));
        let rows = |key: &str| reference[key].as_array().expect("a list").clone();
        let inputs: Vec<Vec<u32>> = rows("input_ids").iter().map(ids).collect();
        let greedy: Vec<Vec<u32>> = rows("greedy_ids").iter().map(ids).collect();
        let texts: Vec<Vec<u32>> =
            inputs.iter().zip(&greedy).map(|(a, b)| [a.as_slice(), b].concat()).collect();
        let vocab = start.config.vocab_size;
        let all = logits(&start, &texts).expect("logits");
        for (i, (text, all)) in texts.iter().zip(&all).enumerate() {
            let last = inputs[i].len() - 1;
            close(&all[last * vocab..][..vocab], &numbers(&rows("last_logits")[i]), 1e-3, model);
            let log_probabilities: Vec<f32> =
                text[1..].iter().zip(all.chunks(vocab)).map(|(id, row)| log_probability(row, *id)).collect();
            close(&log_probabilities, &numbers(&rows("logprobs_of_input_and_greedy")[i]), 1e-3, model);
        }
    }
}

fn log_probability(row: &[f32], id: u32) -> f32 {
    let top = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let total: f32 = row.iter().map(|x| (x - top).exp()).sum();
    row[id as usize] - top - total.ln()
}

#[test]
fn logits_of_a_trained_model_equal_llama2_c() {
    let Some(dir) = shared("models/stories260k") else { return };
    let start = Checkpoint::load(&dir.join("hf")).expect("loads");
    let cases = json(&dir.join("golden/greedy_steps.json"));
    for case in cases.as_array().expect("a list") {
        let steps = case["steps"].as_array().expect("a list");
        let tokens: Vec<u32> =
            steps.iter().map(|step| step["token"].as_u64().expect("an id") as u32).collect();
        let all = &logits(&start, &[tokens]).expect("logits")[0];
        for (step, row) in steps.iter().zip(all.chunks(start.config.vocab_size)) {
            close(
                &[-log_probability(row, 0) + row[0]],
                &[step["logsumexp"].as_f64().expect("a number")],
                2e-3,
                "sum",
            );
            if step.get("logits").is_some() {
                close(row, &numbers(&step["logits"]), 2e-3, "logits");
            }
        }
    }
}

#[test]
fn a_document_has_the_same_logits_alone_and_among_others() {
    let documents: Vec<Vec<u32>> =
        [5, 1, 33, 16, 2].iter().map(|n| (0..*n).map(|i| (i * 37 + n) % 280).collect()).collect();
    for config in common::kinds() {
        let start = common::checkpoint(config, 3);
        let together = logits(&start, &documents).expect("logits");
        for (document, together) in documents.iter().zip(&together) {
            let alone = &logits(&start, std::slice::from_ref(document)).expect("logits")[0];
            let alone: Vec<f64> = alone.iter().map(|x| f64::from(*x)).collect();
            close(together, &alone, 1e-4, "together and alone");
        }
    }
}

#[test]
fn later_tokens_do_not_change_earlier_logits() {
    let start = common::checkpoint(common::dense(), 4);
    let [a, b] = [[1, 2, 3, 4, 5], [1, 2, 3, 9, 9]].map(|tokens| {
        let all = logits(&start, &[tokens.to_vec()]).expect("logits");
        all[0][..3 * 280].to_vec()
    });
    assert_eq!(a, b);
}

#[test]
fn what_the_model_cannot_see_is_refused() {
    let start = common::checkpoint(common::dense(), 4);
    let refused = |tokens: Vec<u32>| logits(&start, &[tokens]).expect_err("refused").to_string();
    assert!(refused(vec![280]).contains("an id below 280"));
    assert!(refused(vec![1; 65]).contains("1 to 64 tokens"));
    assert!(refused(vec![]).contains("1 to 64 tokens"));
}
