//! The forward pass against plain f64 loops, against `transformers`, and against the C program llama2.c.

mod common;

use common::{data, dense, generate, moe, random, reference, switched};
use flow_model::{Checkpoint, Config, Tokenizer, load_weights};
use flow_sampler::{Completion, Engine, Params, Prompt, Request};
use serde_json::Value;

fn greedy(engine: &Engine, prompt: Prompt, max_tokens: usize) -> Completion {
    let params = Params { temperature: 0.0, max_tokens, ..Params::default() };
    let request = Request { prompt, params, stream: [0; 16] };
    generate(engine, &[request], 1).remove(0).unwrap()
}

#[test]
fn logits_equal_a_forward_pass_in_plain_loops() {
    let wide = Config { head_dim: 64, num_attention_heads: 2, num_key_value_heads: 1, ..dense() };
    let plain = [dense(), wide, moe(None), moe(Some(36))];
    for (i, config) in plain.into_iter().chain(switched()).enumerate() {
        let model = random(config, i as u64);
        let vocab = model.config.vocab_size;
        let tokens: Vec<u32> = (0..80).map(|t| (t * t * 7 + 3) % vocab as u32).collect();
        let found = Engine::new(&model).unwrap().logits(&tokens).unwrap();
        let expected = reference(&model, &tokens);
        assert_eq!(found.len(), tokens.len() * vocab);
        let spread = expected.iter().flatten().fold(0.0f64, |most, x| most.max(x.abs()));
        assert!(spread > 1.0, "the logits must not be trivial: {spread}");
        for (p, (found, expected)) in found.chunks(vocab).zip(&expected).enumerate() {
            for (f, e) in found.iter().zip(expected) {
                assert!((f64::from(*f) - e).abs() < 1e-4 * spread, "model {i}, position {p}: {f} {e}");
            }
        }
    }
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|x| x.as_u64().unwrap() as u32).collect()
}

fn json(path: &std::path::Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn assert_close(found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (f, e)) in found.iter().zip(expected).enumerate() {
        assert!((f64::from(*f) - e).abs() < 1e-3, "{what} {i}: {f} {e}");
    }
}

#[test]
fn logits_greedy_tokens_and_logprobs_equal_those_of_transformers() {
    let Some(folders) = data("reference_models") else { return };
    let mut folders: Vec<_> =
        std::fs::read_dir(folders).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    assert!(!folders.is_empty());
    for dir in folders {
        let name = &dir.file_name().unwrap().to_string_lossy();
        // The folders have no tokenizer: prompts are token ids, and any tokenizer decodes.
        let mut config = Config::of_folder(&dir).unwrap();
        config.eos_token_ids.clear();
        let tensors = load_weights(&dir, &config).unwrap();
        let tokenizer = Tokenizer::train_byte_bpe(&[""], 256, &[]).unwrap();
        let engine = Engine::new(&Checkpoint { config, tensors, tokenizer }).unwrap();
        let golden = json(&dir.join("reference.json"));
        for i in 0..3 {
            let (prompt, drawn) = (ids(&golden["input_ids"][i]), ids(&golden["greedy_ids"][i]));
            let logits = engine.logits(&prompt).unwrap();
            let last = logits.rchunks(192).next().unwrap();
            assert_close(last, &floats(&golden["last_logits"][i]), name);
            let completion = greedy(&engine, Prompt::Tokens(prompt.clone()), drawn.len());
            assert_eq!(completion.tokens, drawn, "{name} {i}");
            let expected = floats(&golden["logprobs_of_input_and_greedy"][i]);
            assert_close(&completion.logprobs, &expected[prompt.len() - 1..], name);
        }
    }
}

#[test]
fn biases_of_routers_that_are_no_numbers_are_named() {
    let block = flow_model::Block { router_bias_update_rate: Some(0.001), ..moe(None).block };
    let mut model = random(Config { block, ..moe(None) }, 1);
    let name = model.tensors.keys().find(|name| name.ends_with("e_score_correction_bias")).unwrap().clone();
    for damage in [f32::NAN, f32::INFINITY] {
        let shape = model.tensors[&name].shape.clone();
        let damaged = flow_model::Tensor::new(shape.clone(), vec![damage; shape[0]]);
        model.tensors.insert(name.clone(), damaged);
        let error = Engine::new(&model).map(drop).unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, format!("tensor `{name}` holds {damage}, expected finite numbers"));
    }
}

#[test]
fn real_models_tell_the_stories_llama2_c_tells() {
    for name in ["stories260k", "babyllama105"] {
        let Some(dir) = data(&format!("models/{name}")) else { return };
        let mut model = Checkpoint::load(&dir.join("hf")).unwrap();
        let text = std::fs::read_to_string(dir.join("golden/greedy_run_c.txt")).unwrap();
        let engine = Engine::new(&model).unwrap();
        let completion = greedy(&engine, Prompt::Text(String::new()), 256);
        assert!(completion.completion_tokens >= 255, "{completion:?}");
        assert!(text.starts_with(&completion.text), "{name}: {completion:?}");

        model.config.eos_token_ids.clear();
        let engine = Engine::new(&model).unwrap();
        for case in json(&dir.join("golden/greedy_steps.json")).as_array().unwrap() {
            let prompt = ids(&case["prompt_tokens"]);
            let steps = case["steps"].as_array().unwrap();
            let drawn: Vec<u32> =
                steps[prompt.len() - 1..].iter().map(|s| s["next"].as_u64().unwrap() as u32).collect();
            let text = case["prompt"].as_str().unwrap().to_owned();
            let completion = greedy(&engine, Prompt::Text(text), drawn.len());
            assert_eq!(completion.prompt_tokens, prompt.len());
            assert_eq!(completion.tokens, drawn, "{name}: {}", case["prompt"]);
            let read: Vec<u32> = prompt.iter().chain(&drawn).copied().take(steps.len()).collect();
            let logits = engine.logits(&read).unwrap();
            for (step, row) in steps.iter().zip(logits.chunks(model.config.vocab_size)) {
                if let Some(expected) = step.get("logits") {
                    assert_close(row, &floats(expected), name);
                }
            }
        }
    }
}
