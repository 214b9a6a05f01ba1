//! Drawing on a GPU beside the CPU: `cargo run --release -p flow-sampler --features cuda --example gpu [probe | bench]`.
//!
//! `probe` names the GPU, or says why there is none and fails. `bench` draws 64 tokens for each of 64, 256 and 1,024 sequences (prompts of
//! 48 tokens, four draws each, temperature 0.8) from random models of 3.5 M to 0.5 B parameters, compares those of 64 sequences with the
//! CPU's, bit by bit, and prints a table for BENCHMARKS.md.
#![allow(clippy::print_stdout, reason = "an example reports to people")]

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use flow_model::{Block, Checkpoint, Config, Tokenizer};
use flow_sampler::{Completion, Engine, Params, Precision, Prompt, Request, open_gpu};

const MAX_TOKENS: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = open_gpu().map_err(|error| error.to_string())?;
    println!("{}", gpu.name());
    match std::env::args().nth(1).as_deref() {
        Some("bench") => bench(),
        _ => Ok(()),
    }
}

fn bench() -> Result<(), Box<dyn Error>> {
    println!("| model | weights | sequences | tokens/s |\n| --- | --- | --- | --- |");
    let shapes = [
        ("3.5 M: d 256, 4 layers", config(256, 4, 64, 704, 1_000)),
        ("60 M: d 640, 12 layers", config(640, 12, 64, 1_728, 8_000)),
        ("0.5 B: d 896, 24 layers", config(896, 24, 64, 4_864, 151_936)),
    ];
    for (name, config) in shapes {
        let tokenizer = Tokenizer::train_byte_bpe(&["no merges"], 260, &[])?;
        let model = Checkpoint::init(config, tokenizer, 1)?;
        for precision in [Precision::F32, Precision::Bf16] {
            let cpu = Engine::with_precision(&model, precision)?;
            let threads = std::thread::available_parallelism()?.get();
            let expected = draw(&cpu, &requests(64), threads)?.0;
            let gpu = cpu.on(open_gpu()?)?;
            if draw(&gpu, &requests(64), 1)?.0 != expected {
                return Err(format!("{name}, {precision:?}: draws differ from the CPU's").into());
            }
            for sequences in [64, 256, 1_024] {
                let (completions, wall_s) = draw(&gpu, &requests(sequences), 1)?;
                let tokens: usize = completions.iter().map(|completion| completion.completion_tokens).sum();
                println!("| {name} | {precision:?} | {sequences} | {:.0} |", tokens as f64 / wall_s);
            }
        }
    }
    Ok(())
}

fn requests(count: u32) -> Vec<Request> {
    let request = |i: u32| Request {
        prompt: Prompt::Tokens((0..48).map(|t| (i / 4 * 31 + t * 7) % 500).collect()),
        params: Params { max_tokens: MAX_TOKENS, temperature: 0.8, ..Params::default() },
        stream: u128::from(i).to_le_bytes(),
    };
    (0..count).map(request).collect()
}

/// The completions of all requests, in order, and the seconds that they took.
fn draw(
    engine: &Engine,
    requests: &[Request],
    threads: usize,
) -> Result<(Vec<Completion>, f64), Box<dyn Error>> {
    let answers = Mutex::new(Vec::new());
    let start = Instant::now();
    engine.generate(requests, threads, &AtomicBool::new(false), &|i, answer| {
        answers.lock().expect("no thread panics with it").push((i, answer));
    });
    let wall_s = start.elapsed().as_secs_f64();
    let mut answers = answers.into_inner()?;
    answers.sort_by_key(|(i, _)| *i);
    let completions = answers.into_iter().map(|(_, answer)| answer);
    Ok((completions.collect::<Result<_, _>>()?, wall_s))
}

/// A Llama with grouped key heads, two queries to a key, and no end of text: all draws have the same length.
fn config(
    hidden_size: usize,
    num_hidden_layers: usize,
    head_dim: usize,
    intermediate_size: usize,
    vocab_size: usize,
) -> Config {
    let num_attention_heads = hidden_size / head_dim;
    Config {
        vocab_size,
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads: num_attention_heads / 2,
        head_dim,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 512,
        tie_word_embeddings: true,
        eos_token_ids: Vec::new(),
        bos_token_id: None,
        moe: None,
        block: Block::default(),
    }
}
