//! One side of a comparison with other programs: makes a model and saves it, or loads it and measures drawn tokens per second.
//!
//! `paired make DIR WIDTH LAYERS VOCAB [EXPERTS]` saves a random Llama, or a MoTE with so many ternary experts.
//! `paired run DIR SEQUENCES TOKENS SHARED` draws TOKENS tokens at temperature 0.8 for each of SEQUENCES prompts on two threads and
//! prints four numbers: tokens per second, the part of the places of a step that were taken, and the MiB of keys and values that
//! were held and that were planned. The prompts are those of `bench/sample.py`: eight tokens each, or, where SHARED is more than 1,
//! as many draws of each prompt of 200 tokens. With a last word `alone` draws of a prompt are not neighbours, so that each reads
//! the prompt for itself; with `mixed` they are 8 to TOKENS tokens long, evenly.
#![allow(clippy::print_stdout, reason = "an example reports to programs")]

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use flow_model::{Block, Checkpoint, Config, Moe, Ternary, Tokenizer};
use flow_sampler::{Engine, Params, Plan, Precision, Prompt, Request};

const THREADS: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["make", dir, width, layers, vocab] => {
            make(dir.as_ref(), width.parse()?, layers.parse()?, vocab.parse()?, None)
        }
        ["make", dir, width, layers, vocab, experts] => {
            make(dir.as_ref(), width.parse()?, layers.parse()?, vocab.parse()?, Some(experts.parse()?))
        }
        ["run", dir, sequences, tokens, shared, ref rest @ ..] => {
            let order = rest.first().copied().unwrap_or_default();
            run(dir.as_ref(), sequences.parse()?, tokens.parse()?, shared.parse()?, order)
        }
        _ => Err("expected `make DIR WIDTH LAYERS VOCAB [EXPERTS]` or `run DIR SEQUENCES TOKENS SHARED [alone|mixed]`"
            .into()),
    }
}

fn make(
    dir: &Path,
    width: usize,
    num_hidden_layers: usize,
    vocab_size: usize,
    experts: Option<usize>,
) -> Result<(), Box<dyn Error>> {
    let moe = experts.map(|num_experts| Moe {
        num_experts,
        experts_per_token: 1,
        norm_topk_prob: false,
        shared_expert_intermediate_size: Some(width * 11 / 4),
        router_aux_loss_coef: 0.0,
        router_z_loss_coef: 0.0,
    });
    let block = match moe {
        Some(_) => {
            Block { plain_shared_expert: true, ternary_experts: Some(Ternary::Latent), ..Block::default() }
        }
        None => Block::default(),
    };
    let tokenizer = Tokenizer::train_byte_bpe(&["no merges"], 260, &[])?;
    let config = Config {
        vocab_size,
        hidden_size: width,
        intermediate_size: width * 11 / 4,
        num_hidden_layers,
        num_attention_heads: width / 64,
        num_key_value_heads: width / 64,
        head_dim: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 1024,
        tie_word_embeddings: true,
        eos_token_ids: Vec::new(),
        bos_token_id: None,
        moe,
        block,
    };
    Ok(Checkpoint::init(config, tokenizer, 1)?.packed().save(dir)?)
}

fn run(dir: &Path, sequences: u32, tokens: usize, shared: u32, order: &str) -> Result<(), Box<dyn Error>> {
    let checkpoint = Checkpoint::load(dir)?;
    let plan = Plan::new(&checkpoint.config, Precision::F32, THREADS);
    let engine = Engine::new(&checkpoint)?;
    let length = if shared > 1 { 200 } else { 8 };
    let prompt = |i: u32| (0..length).map(|t| (i / shared * 31 + t * 7) % 1000).collect();
    let max_tokens = |i: u32| match order {
        "mixed" => 8 + i as usize * 101 % (tokens - 7),
        _ => tokens,
    };
    let request = |i: u32| Request {
        prompt: Prompt::Tokens(prompt(i)),
        params: Params { temperature: 0.8, max_tokens: max_tokens(i), ..Params::default() },
        stream: u128::from(i).to_le_bytes(),
    };
    let mut requests: Vec<Request> = (0..sequences).map(request).collect();
    if order == "alone" {
        // A stable sort by the place within the group puts draws of different prompts side by side.
        requests.sort_by_key(|request| u128::from_le_bytes(request.stream) % u128::from(shared));
    }
    let measure = |requests: &[Request]| {
        let (drawn, start) = (AtomicUsize::new(0), Instant::now());
        let usage = engine.generate(requests, THREADS, &AtomicBool::new(false), &|_, answer| {
            drawn.fetch_add(answer.map_or(0, |completion| completion.completion_tokens), Ordering::Relaxed);
        });
        (drawn.into_inner() as f64 / start.elapsed().as_secs_f64(), usage)
    };
    measure(&requests[..requests.len().min(16)]);
    let (rate, usage) = measure(&requests);
    let (held, planned) = (usage.cache_bytes >> 20, plan.cache_bytes >> 20);
    println!("{rate:.0} {:.3} {held} {planned}", usage.occupancy());
    Ok(())
}
