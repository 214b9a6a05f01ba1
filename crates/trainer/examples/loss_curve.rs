//! A short training for another program to repeat: `loss_curve FOLDER dense|moe|gemma2|gemma3 STEPS`.
//!
//! Saves the model it starts from in FOLDER and prints, as JSON, the documents of every step (all of them, so that their order
//! does not matter), the learning rates and the losses. `tests/interop/loss_curve.py` repeats it with PyTorch.
#![allow(clippy::print_stdout, reason = "an example that is run by hand")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::PathBuf;

use flow_model::{Activation, Block, Checkpoint, Config, QkNorm, Rope, Sliding, Tokenizer};
use flow_trainer::{Example, MoeUpcycle, TrainConfig, train, upcycle};
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [folder, kind, steps] = &words[..] else {
        return Err("usage: loss_curve FOLDER dense|moe|gemma2|gemma3 STEPS".into());
    };
    let dense = Checkpoint::init(config(kind), tokenizer()?, 3)?;
    // No router losses: `transformers` weighs them differently.
    let mixture = MoeUpcycle { router_aux_loss_coef: 0.0, router_z_loss_coef: 0.0, ..MoeUpcycle::default() };
    let start = if kind == "moe" { upcycle(&[&dense], &mixture, 1)? } else { dense };
    start.save(&PathBuf::from(folder))?;
    let examples: Vec<Example> = (0..24).map(example).collect();
    let settings = TrainConfig {
        max_steps: Some(steps.parse()?),
        batch_size: examples.len(),
        max_length: 64,
        learning_rate: 2e-3,
        ..TrainConfig::default()
    };
    let report = train(&start, &examples, &settings, &mut |_| ControlFlow::Continue(()))?.report;
    let documents = examples.iter().map(|example| {
        let mut tokens = start.tokenizer.encode(&example.prompt)?;
        let scored_from = tokens.len();
        tokens.extend(start.tokenizer.encode_continuation(&example.completion)?);
        tokens.extend(start.config.eos_token_ids.first());
        Ok(json!({"tokens": tokens, "scored_from": scored_from}))
    });
    let documents = documents.collect::<Result<Vec<_>, flow_model::Error>>()?;
    let all = |of: fn(&flow_trainer::StepReport) -> f64| report.steps.iter().map(of).collect::<Vec<f64>>();
    let told = json!({
        "documents": documents,
        "learning_rates": all(|step| step.learning_rate),
        "losses": all(|step| step.loss),
        "weight_decay": settings.weight_decay,
        "betas": [settings.betas.0, settings.betas.1],
        "eps": settings.eps,
        "max_grad_norm": settings.max_grad_norm,
    });
    println!("{told}");
    Ok(())
}

fn example(i: usize) -> Example {
    let (a, b) = (i * 7 % 23, i * 5 % 17);
    Example::new(format!("{a} plus {b} is"), format!(" {} and times is {}", a + b, a * b))
}

fn tokenizer() -> Result<Tokenizer, flow_model::Error> {
    let texts: Vec<String> =
        (0..24).map(example).map(|example| example.prompt + &example.completion).collect();
    Tokenizer::train_byte_bpe(&texts.iter().map(String::as_str).collect::<Vec<_>>(), 300, &["<|end|>"])
}

fn config(kind: &str) -> Config {
    let block = block(kind);
    Config {
        vocab_size: 300,
        hidden_size: 64,
        intermediate_size: 176,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 16,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 64,
        tie_word_embeddings: block.gemma_norms,
        eos_token_ids: vec![0],
        bos_token_id: None,
        moe: None,
        block,
    }
}

/// Gemma's layers with windows shorter than the documents, and low caps, so that both matter.
fn block(kind: &str) -> Block {
    let sliding = |rope| Some(Sliding { window: 5, layers: vec![true, false, true], rope });
    let gemma = Block {
        gemma_norms: true,
        activation: Activation::GeluTanh,
        query_pre_attn_scalar: Some(24.0),
        ..Block::default()
    };
    match kind {
        "gemma2" => Block {
            attn_logit_softcapping: Some(2.0),
            final_logit_softcapping: Some(6.0),
            sliding: sliding(None),
            ..gemma
        },
        "gemma3" => {
            Block { qk_norm: Some(QkNorm::Head), sliding: sliding(Some(Rope::plain(500.0))), ..gemma }
        }
        _ => Block::default(),
    }
}
