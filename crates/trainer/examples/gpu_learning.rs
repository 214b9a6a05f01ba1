//! Learning on a GPU: `cargo run --release -p flow-trainer --features cuda --example gpu_learning`, prints tables for BENCHMARKS.md.
//!
//! First the routed experts of one layer, forward and back, in the two shapes of SonicMoE (arXiv 2512.14080): what the products take of the
//! GPU, gather and weighted sum included. Then whole steps of a dense model with the shape of Qwen2.5-0.5B on 8,176 tokens.
#![allow(clippy::print_stdout, reason = "an example reports to people")]

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use flow_kernels::Activation;
use flow_kernels::gpu::{Buffer, DeviceError, Gpu, Groups, Indices, Mixed, Rounding, Scatter, Stored, open};
use flow_model::{Block, Checkpoint, Config, Tokenizer};
use flow_trainer::{Device, Example, TrainConfig, train_on};

/// Runs that count, after one that does not.
const REPEATS: usize = 5;

fn main() -> Result<(), Box<dyn Error>> {
    let gpu = open().map_err(|error| error.to_string())?;
    let products = gpu.library().unwrap_or_else(|| "our own kernels".into());
    println!("{}, products by {products}", gpu.name());
    drop(gpu);
    println!(
        "\n| layer of experts | products in | forward ms | back ms | TFLOP/s |\n| --- | --- | --- | --- | --- |"
    );
    for (hidden, intermediate) in [(768, 256), (1_536, 256)] {
        for rounding in [Rounding::None, Rounding::Bf16] {
            experts(hidden, intermediate, rounding)?;
        }
    }
    println!("\n| model | products in | ms a step | tokens/s | TFLOP/s |\n| --- | --- | --- | --- | --- |");
    [Rounding::None, Rounding::Bf16].into_iter().try_for_each(steps)
}

fn name_of(rounding: Rounding) -> &'static str {
    if rounding == Rounding::None { "f32" } else { "bf16" }
}

/// The routed experts of a layer: T tokens, each visiting K of E experts.
struct Layer {
    hidden: usize,
    intermediate: usize,
    rounding: Rounding,
    groups: Groups,
    /// Token of each visit, sorted by expert.
    tokens: Indices,
    back: Scatter,
    mixed: Mixed,
    x: Buffer<f32>,
    weights: Buffer<f32>,
    gate_up: Buffer<f32>,
    down: Buffer<f32>,
    d_out: Buffer<f32>,
}

/// What the way back needs of the way forward.
struct Kept {
    rows: Buffer<f32>,
    inner: Buffer<f32>,
    activated: Buffer<f32>,
    outs: Buffer<f32>,
}

const TOKENS: usize = 40_960;
const EXPERTS: usize = 128;
const PER_TOKEN: usize = 8;
const VISITS: usize = TOKENS * PER_TOKEN;

impl Layer {
    fn new(
        gpu: &mut Gpu,
        hidden: usize,
        intermediate: usize,
        rounding: Rounding,
    ) -> Result<Self, DeviceError> {
        // Expert e is visited by tokens that are 1 mod 16 apart, so that all have as many.
        let expert = |token: usize, k: usize| (token * 37 + k * (EXPERTS / PER_TOKEN)) % EXPERTS;
        let mut visits: Vec<(usize, u32, usize)> = (0..TOKENS)
            .flat_map(|token| {
                (0..PER_TOKEN).map(move |k| (expert(token, k), token as u32, token * PER_TOKEN + k))
            })
            .collect();
        visits.sort_unstable();
        let mut row_of = vec![0; VISITS];
        visits.iter().enumerate().for_each(|(row, (_, _, visit))| row_of[*visit] = row as u32);
        let token_of: Vec<u32> = visits.iter().map(|(_, token, _)| *token).collect();
        let ends: Vec<u32> = (1..=TOKENS).map(|token| (token * PER_TOKEN) as u32).collect();
        let starts: Vec<usize> =
            (0..=EXPERTS).map(|e| visits.partition_point(|(expert, _, _)| *expert < e)).collect();
        let mut tokens = gpu.indices()?;
        gpu.index(&mut tokens, &token_of)?;
        let numbers =
            |count: usize| (0..count).map(|i| (i * 7_919 % 1_009) as f32 / 5_045.0 - 0.1).collect::<Vec<_>>();
        Ok(Self {
            hidden,
            intermediate,
            rounding,
            groups: gpu.groups(&starts)?,
            tokens,
            back: gpu.scatter_places(&token_of, TOKENS)?,
            mixed: gpu.mixed(&ends, &row_of)?,
            x: gpu.upload(&numbers(TOKENS * hidden))?,
            weights: gpu.upload(&vec![1.0 / PER_TOKEN as f32; VISITS])?,
            gate_up: gpu.upload(&numbers(EXPERTS * 2 * intermediate * hidden))?,
            down: gpu.upload(&numbers(EXPERTS * hidden * intermediate))?,
            d_out: gpu.upload(&numbers(TOKENS * hidden))?,
        })
    }

    fn forward(&self, gpu: &mut Gpu) -> Result<Kept, DeviceError> {
        let Self { hidden, intermediate, rounding, groups, .. } = self;
        let (hidden, intermediate) = (*hidden, *intermediate);
        let (mut rows, mut inner) =
            (gpu.allocate(VISITS * hidden)?, gpu.allocate(VISITS * 2 * intermediate)?);
        let (mut activated, mut outs) =
            (gpu.allocate(VISITS * intermediate)?, gpu.allocate(VISITS * hidden)?);
        let mut y = gpu.allocate(TOKENS * hidden)?;
        gpu.gather(VISITS, (&self.x, TOKENS), &self.tokens, hidden, &mut rows)?;
        let gate_up = (&self.gate_up, Stored::Transposed);
        gpu.product_by_group(groups, [hidden, 2 * intermediate], &rows, gate_up, *rounding, &mut inner)?;
        gpu.gate(Activation::Silu, VISITS, intermediate, &inner, &mut activated)?;
        let down = (&self.down, Stored::Transposed);
        gpu.product_by_group(groups, [intermediate, hidden], &activated, down, *rounding, &mut outs)?;
        gpu.mix(hidden, &self.mixed, &outs, &self.weights, &mut y)?;
        Ok(Kept { rows, inner, activated, outs })
    }

    /// The gradients of rows, weights and matrices; returns a number of them.
    fn backward(&self, gpu: &mut Gpu, kept: &Kept) -> Result<f32, DeviceError> {
        let Self { hidden, intermediate, rounding, groups, .. } = self;
        let (hidden, intermediate) = (*hidden, *intermediate);
        let (mut d_outs, mut d_weights) = (gpu.allocate(VISITS * hidden)?, gpu.allocate(VISITS)?);
        gpu.mix_back(
            hidden,
            &self.mixed,
            &kept.outs,
            &self.weights,
            &self.d_out,
            &mut d_outs,
            &mut d_weights,
        )?;
        let mut d_activated = gpu.allocate(VISITS * intermediate)?;
        let down = (&self.down, Stored::Plain);
        gpu.product_by_group(groups, [hidden, intermediate], &d_outs, down, *rounding, &mut d_activated)?;
        let mut d_down = gpu.allocate(EXPERTS * hidden * intermediate)?;
        gpu.product_over_groups(
            groups,
            [hidden, intermediate],
            &d_outs,
            &kept.activated,
            *rounding,
            &mut d_down,
        )?;
        let mut d_inner = gpu.allocate(VISITS * 2 * intermediate)?;
        let extents = [VISITS, intermediate];
        gpu.gate_back(Activation::Silu, extents, &kept.inner, &d_activated, &mut d_inner)?;
        let (mut d_rows, mut dx) = (d_outs, gpu.allocate(TOKENS * hidden)?);
        let gate_up = (&self.gate_up, Stored::Plain);
        gpu.product_by_group(groups, [2 * intermediate, hidden], &d_inner, gate_up, *rounding, &mut d_rows)?;
        let mut d_gate_up = gpu.allocate(EXPERTS * 2 * intermediate * hidden)?;
        gpu.product_over_groups(
            groups,
            [2 * intermediate, hidden],
            &d_inner,
            &kept.rows,
            *rounding,
            &mut d_gate_up,
        )?;
        gpu.scatter(hidden, &self.back, &d_rows, &mut dx)?;
        Ok(gpu.read(&dx, 0, 1)?[0])
    }
}

fn experts(hidden: usize, intermediate: usize, rounding: Rounding) -> Result<(), Box<dyn Error>> {
    let mut gpu = open()?;
    let layer = Layer::new(&mut gpu, hidden, intermediate, rounding)?;
    let (mut forward_s, mut back_s) = (0.0, 0.0);
    for repeat in 0..=REPEATS {
        let start = Instant::now();
        let kept = layer.forward(&mut gpu)?;
        gpu.read(&kept.outs, 0, 1)?;
        let halfway = Instant::now();
        layer.backward(&mut gpu, &kept)?;
        if repeat > 0 {
            forward_s += (halfway - start).as_secs_f64() / REPEATS as f64;
            back_s += halfway.elapsed().as_secs_f64() / REPEATS as f64;
        }
    }
    let flops = 3.0 * 6.0 * (VISITS * hidden * intermediate) as f64;
    println!(
        "| T {TOKENS}, d {hidden}, n {intermediate}, E {EXPERTS}, K {PER_TOKEN} | {} | {:.2} | {:.2} | {:.1} |",
        name_of(rounding),
        1e3 * forward_s,
        1e3 * back_s,
        flops / (forward_s + back_s) / 1e12
    );
    Ok(())
}

/// Documents of 512 tokens, 16 a step.
fn steps(rounding: Rounding) -> Result<(), Box<dyn Error>> {
    let config = qwen();
    let tokenizer = Tokenizer::train_byte_bpe(&["no merges"], 260, &[])?;
    let parameters = Checkpoint::init(config.clone(), tokenizer, 1)?;
    let document = |i: usize| Example::new("a", ((b'a' + (i % 26) as u8) as char).to_string().repeat(511));
    let examples: Vec<Example> = (0..16).map(document).collect();
    let settings = TrainConfig {
        batch_size: 16,
        max_length: 512,
        max_steps: Some(1 + REPEATS),
        ..TrainConfig::default()
    };
    let device = Device::new(open()?, rounding)?;
    let (mut times, mut tokens) = (Vec::new(), 0);
    train_on(Some(&device), &parameters, &examples, &settings, &mut |step| {
        times.push(Instant::now());
        tokens = step.tokens;
        ControlFlow::Continue(())
    })?;
    let step_s = (times[REPEATS] - times[0]).as_secs_f64() / REPEATS as f64;
    // Six products of every weight, and of the scores of attention, which causality halves.
    let weights = parameters.tensors.values().map(|tensor| tensor.data.len()).sum::<usize>();
    let scores = 2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * 512 / 2;
    let flops = 6.0 * (weights + scores) as f64 * tokens as f64;
    println!(
        "| Qwen2.5-0.5B's shape | {} | {:.1} | {:.0} | {:.1} |",
        name_of(rounding),
        1e3 * step_s,
        tokens as f64 / step_s,
        flops / step_s / 1e12
    );
    Ok(())
}

fn qwen() -> Config {
    Config {
        vocab_size: 151_936,
        hidden_size: 896,
        intermediate_size: 4_864,
        num_hidden_layers: 24,
        num_attention_heads: 14,
        num_key_value_heads: 2,
        head_dim: 64,
        rms_norm_eps: 1e-6,
        rope_theta: 1_000_000.0,
        max_position_embeddings: 4_096,
        tie_word_embeddings: true,
        eos_token_ids: vec![0],
        bos_token_id: None,
        moe: None,
        block: Block { qkv_bias: true, ..Block::default() },
    }
}
