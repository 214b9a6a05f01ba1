//! Tokens per second of training: `cargo run --release -p flow-trainer --example train_speed -- [dense|moe|wide] [steps]`.
//!
//! `dense` has 0.87 M parameters, `moe` four experts of which each token visits two, `wide` 3.6 M parameters.
#![allow(clippy::print_stdout, reason = "an example shows its figures")]

use std::ops::ControlFlow;
use std::time::Instant;

use flow_model::{Block, Checkpoint, Config, Rng, Tokenizer};
use flow_trainer::{Example, MoeUpcycle, TrainConfig, train, upcycle};

fn main() -> Result<(), flow_trainer::Error> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().unwrap_or_else(|| "dense".to_owned());
    let max_steps = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(60);
    let examples: Vec<Example> = (0..2_000).map(story).collect();
    let dense = base(&examples, if kind == "wide" { 2 } else { 1 })?;
    let start = if kind == "moe" { upcycle(&[&dense], &MoeUpcycle::default(), 1)? } else { dense };
    let config = TrainConfig {
        max_steps: Some(max_steps),
        learning_rate: 2e-3,
        batch_size: 32,
        ..TrainConfig::default()
    };
    let began = Instant::now();
    let trained = train(&start, &examples, &config, &mut |_| ControlFlow::Continue(()))?;
    let seconds = began.elapsed().as_secs_f64();
    let (first, last) = (&trained.report.steps[0], &trained.report.steps[max_steps - 1]);
    println!("{kind}: {} parameters, {} tokens a step", start.config.num_parameters(), first.tokens);
    println!("loss {:.3} to {:.3}", first.loss, last.loss);
    let digest: String = trained.checkpoint.digest().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("digest {digest}, the same on every run");
    println!("{:.0} tokens/s ({:.1} s)", trained.report.tokens as f64 / seconds, seconds);
    Ok(())
}

/// A word problem with its worked answer, about 80 tokens.
fn story(i: usize) -> Example {
    let mut rng = Rng::new(i as u64, "story");
    let name = ["Ann", "Bob", "Cem", "Dia"][rng.below(4)];
    let mut have = 2 + rng.below(28);
    let mut prompt = format!("{name} has {have} pens.");
    let mut completion = String::new();
    for _ in 0..2 + rng.below(3) {
        let more = 2 + rng.below(28);
        prompt += &format!(" Gets {more}.");
        completion += &format!("{have}+{more}={}\n", have + more);
        have += more;
    }
    Example { prompt: prompt + " How many pens?\n", completion: completion + &format!("#### {have}") }
}

/// A dense model, `scale` times as wide as the small one.
fn base(examples: &[Example], scale: usize) -> Result<Checkpoint, flow_trainer::Error> {
    let texts: Vec<&str> = examples.iter().flat_map(|e| [e.prompt.as_str(), &e.completion]).collect();
    let tokenizer = Tokenizer::train_byte_bpe(&texts, 512, &["<|end|>"])?;
    let config = Config {
        vocab_size: 512,
        hidden_size: 128 * scale,
        intermediate_size: 352 * scale,
        num_hidden_layers: 4,
        num_attention_heads: 4 * scale,
        num_key_value_heads: 4 * scale,
        head_dim: 32,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 512,
        tie_word_embeddings: true,
        eos_token_ids: tokenizer.id("<|end|>").into_iter().collect(),
        bos_token_id: None,
        moe: None,
        block: Block::default(),
    };
    Ok(Checkpoint::init(config, tokenizer, 7)?)
}
