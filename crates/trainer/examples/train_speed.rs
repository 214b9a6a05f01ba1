//! One side of a comparison with other programs: tokens per second of training.
//!
//! `train_speed WIDTH LAYERS VOCAB EXPERTS STEPS [DOCUMENTS [RECOMPUTE]]` trains a random Llama with as many experts (two a token; 0 for a dense
//! one) on two threads, 64 documents (or so many) of 64 tokens a step, all learned but the first, and prints three numbers: learned
//! tokens per second without the first two steps, the most MiB that the process held, and the loss of the last step. With a 1 as RECOMPUTE
//! activations are computed again on the way back.
//! `bench/train.py` does the same with PyTorch.
#![allow(clippy::print_stdout, reason = "an example reports to programs")]

use std::error::Error;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use flow_model::{Block, Checkpoint, Config, Rng, Tokenizer};
use flow_trainer::{Example, MoeUpcycle, TrainConfig, train, upcycle};

/// The program's own.
#[global_allocator]
static ALLOCATOR: flow_memory::Allocator = flow_memory::Allocator;

const DOCUMENTS: usize = 64;
const TOKENS: usize = 64;
/// Steps that are not timed.
const WARMING: usize = 2;

fn main() -> Result<(), Box<dyn Error>> {
    flow_memory::keep_freed(Duration::from_secs(10)); // as the program does
    let numbers: Result<Vec<usize>, _> = std::env::args().skip(1).map(|word| word.parse()).collect();
    let numbers = numbers?;
    let [width, layers, vocab, experts, steps, ref rest @ ..] = numbers[..] else {
        return Err("usage: train_speed WIDTH LAYERS VOCAB EXPERTS STEPS [DOCUMENTS [RECOMPUTE]]".into());
    };
    let documents = rest.first().copied().unwrap_or(DOCUMENTS);
    let dense = Checkpoint::init(
        config(width, layers, vocab),
        Tokenizer::train_byte_bpe(&["no merges"], 260, &[])?,
        1,
    )?;
    let start = match experts {
        0 => dense,
        experts => upcycle(&[&dense], &MoeUpcycle { experts, ..MoeUpcycle::default() }, 1)?,
    };
    let examples: Vec<Example> = (0..documents).map(document).collect();
    let settings = TrainConfig {
        max_steps: Some(steps + WARMING),
        batch_size: documents,
        max_length: TOKENS,
        recompute: rest.get(1) == Some(&1),
        threads: Some(2),
        ..TrainConfig::default()
    };
    let (mut began, mut ended, mut learned) = (Instant::now(), Instant::now(), 0);
    let report = train(&start, &examples, &settings, &mut |step| {
        ended = Instant::now();
        match step.step <= WARMING {
            true => began = ended,
            false => learned += step.scored_tokens,
        }
        ControlFlow::Continue(())
    })?
    .report;
    let per_second = learned as f64 / (ended - began).as_secs_f64();
    let loss = report.steps.last().map_or(f64::NAN, |step| step.loss);
    println!("{per_second:.0} {:.0} {loss:.4}", peak_mib().unwrap_or(f64::NAN));
    Ok(())
}

fn config(width: usize, num_hidden_layers: usize, vocab_size: usize) -> Config {
    Config {
        vocab_size,
        hidden_size: width,
        intermediate_size: width * 11 / 4,
        num_hidden_layers,
        num_attention_heads: width / 64,
        num_key_value_heads: width / 64,
        head_dim: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: TOKENS,
        tie_word_embeddings: true,
        eos_token_ids: Vec::new(),
        bos_token_id: None,
        moe: None,
        block: Block::default(),
    }
}

/// Letters by chance, each a token.
fn document(i: usize) -> Example {
    let mut rng = Rng::new(i as u64, "letters");
    let mut letters = |n: usize| (0..n).map(|_| char::from(b'a' + rng.below(26) as u8)).collect::<String>();
    Example::new(letters(1), letters(TOKENS - 1))
}

/// The most memory that this process ever held; none where the system does not say.
fn peak_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
}
