//! Measures drawn tokens per second: `cargo run --release -p flow-sampler --example speed [threads] [part of a line]`.
//!
//! Each line is one model shape with random weights: 256 prompts of 48 tokens, 4 draws of 64 tokens each at
//! temperature 0.8. Reading the prompts is part of the time, only drawn tokens are counted.
#![allow(clippy::print_stdout, reason = "an example reports to people")]

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use flow_model::{Block, Checkpoint, Config, Moe, Tokenizer};
use flow_sampler::{Engine, Params, Prompt, Request};

const PROMPTS: u32 = 256;
const DRAWS: u32 = 4;
const PROMPT_TOKENS: u32 = 48;
const MAX_TOKENS: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let threads = std::env::args().nth(1).map_or(Ok(2), |n| n.parse())?;
    let wanted = std::env::args().nth(2).unwrap_or_default();
    let moe = Moe {
        num_experts: 4,
        experts_per_token: 2,
        norm_topk_prob: true,
        shared_expert_intermediate_size: None,
        router_aux_loss_coef: 0.0,
        router_z_loss_coef: 0.0,
    };
    let shapes = [
        ("dense, 0.87 M: d 128, ff 352, vocab 512", config(128, 352, 512, None)),
        ("4 experts, top 2: d 128, ff 352, vocab 512", config(128, 352, 512, Some(moe))),
        ("dense, 3.5 M: d 256, ff 704, vocab 1000", config(256, 704, 1000, None)),
    ];
    for (name, config) in shapes {
        let tokenizer = Tokenizer::train_byte_bpe(&["no merges"], 260, &[])?;
        let engine = Engine::new(&Checkpoint::init(config, tokenizer, 1)?)?;
        let requests = requests();
        measure(&engine, &requests[..64], threads);
        let settings = [Params { temperature: 0.8, ..draws() }, Params { top_p: 0.95, ..draws() }];
        for params in settings {
            let label = format!("{name}; temperature {}, top_p {}", params.temperature, params.top_p);
            if !label.contains(&wanted) {
                continue;
            }
            let requests: Vec<Request> =
                requests.iter().map(|r| Request { params: params.clone(), ..r.clone() }).collect();
            println!("{label}: {:.0} tokens/s on {threads} threads", measure(&engine, &requests, threads));
        }
    }
    Ok(())
}

fn draws() -> Params {
    Params { max_tokens: MAX_TOKENS, ..Params::default() }
}

fn requests() -> Vec<Request> {
    let request = |i: u32| Request {
        prompt: Prompt::Tokens((0..PROMPT_TOKENS).map(|t| (i / DRAWS * 31 + t * 7) % 500).collect()),
        params: draws(),
        stream: u128::from(i).to_le_bytes(),
    };
    (0..PROMPTS * DRAWS).map(request).collect()
}

fn measure(engine: &Engine, requests: &[Request], threads: usize) -> f64 {
    let drawn = AtomicUsize::new(0);
    let start = Instant::now();
    engine.generate(requests, threads, &AtomicBool::new(false), &|_, answer| {
        drawn.fetch_add(answer.map_or(0, |completion| completion.completion_tokens), Ordering::Relaxed);
    });
    drawn.into_inner() as f64 / start.elapsed().as_secs_f64()
}

/// Four layers, heads 32 wide for d 128 and 64 for d 256, no end of text: all draws have the same length.
fn config(hidden_size: usize, intermediate_size: usize, vocab_size: usize, moe: Option<Moe>) -> Config {
    Config {
        vocab_size,
        hidden_size,
        intermediate_size,
        num_hidden_layers: 4,
        num_attention_heads: 4,
        num_key_value_heads: 4,
        head_dim: hidden_size / 4,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 512,
        tie_word_embeddings: true,
        eos_token_ids: Vec::new(),
        bos_token_id: None,
        moe,
        block: Block::default(),
    }
}
