//! Small random models, and a forward pass in plain f64 loops to compare the engine with.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use flow_model::names::{self, FeedForward, Swiglu};
use flow_model::{Checkpoint, Config, Moe, Tensor, Tokenizer};
use flow_sampler::{Completion, Engine, Error, Request};

pub(crate) const VOCAB: usize = 300;

/// A dense model of two layers; heads of 6 leave every kind of remainder.
pub(crate) fn dense() -> Config {
    Config {
        vocab_size: VOCAB,
        hidden_size: 40,
        intermediate_size: 52,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 96,
        tie_word_embeddings: true,
        eos_token_id: None,
        bos_token_id: None,
        moe: None,
    }
}

/// The same with five experts, two a token, and a shared one of width `shared`; heads of 20.
pub(crate) fn moe(shared: Option<usize>) -> Config {
    let moe = Moe {
        num_experts: 5,
        experts_per_token: 2,
        norm_topk_prob: shared.is_none(),
        shared_expert_intermediate_size: shared,
        router_aux_loss_coef: 0.0,
        router_z_loss_coef: 0.0,
    };
    Config { head_dim: 20, tie_word_embeddings: false, moe: Some(moe), ..dense() }
}

/// Random weights large enough that each position matters.
pub(crate) fn random(config: Config, seed: u64) -> Checkpoint {
    let tokenizer = Tokenizer::train_byte_bpe(&["the cat sat on the mat"; 3], 270, &["<eos>"]).unwrap();
    let mut checkpoint = Checkpoint::init(config, tokenizer, seed).unwrap();
    for tensor in checkpoint.tensors.values_mut() {
        let data: Vec<f32> =
            tensor.data.iter().map(|w| if tensor.shape.len() == 1 { *w } else { w * 12.0 }).collect();
        *tensor = Tensor::new(tensor.shape.clone(), data);
    }
    checkpoint
}

/// A folder of real data, or `None` after saying that the test is skipped.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(path);
    if !dir.is_dir() {
        println!("skipped: no {}", dir.display());
        return None;
    }
    Some(dir)
}

/// All answers, in the order of the requests.
pub(crate) fn generate(
    engine: &Engine,
    requests: &[Request],
    threads: usize,
) -> Vec<Result<Completion, Error>> {
    let answers = Mutex::new((0..requests.len()).map(|_| None).collect::<Vec<_>>());
    engine.generate(requests, threads, &AtomicBool::new(false), &|i, answer| {
        let before = answers.lock().unwrap()[i].replace(answer);
        assert!(before.is_none(), "request {i} was answered twice");
    });
    answers
        .into_inner()
        .unwrap()
        .into_iter()
        .map(|answer| answer.expect("every request is answered"))
        .collect()
}

/// Logits after each token: the definition of the model, one number at a time.
pub(crate) fn reference(model: &Checkpoint, tokens: &[u32]) -> Vec<Vec<f64>> {
    let config = &model.config;
    let embedding = matrix(model, names::EMBEDDING);
    let mut stream: Vec<Vec<f64>> = tokens.iter().map(|&t| embedding[t as usize].clone()).collect();
    for i in 0..config.num_hidden_layers {
        let layer = names::layer(config, i);
        let normed: Vec<_> = stream.iter().map(|x| norm(model, &layer.attention_norm, x)).collect();
        for (x, y) in stream.iter_mut().zip(attention(model, &layer, &normed)) {
            add(x, &y, 1.0);
        }
        for x in &mut stream {
            let normed = norm(model, &layer.feed_forward_norm, x);
            add(x, &feed_forward(model, &layer.feed_forward, &normed), 1.0);
        }
    }
    let head = matrix(model, if config.tie_word_embeddings { names::EMBEDDING } else { names::HEAD });
    stream.iter().map(|x| times(&head, &norm(model, names::FINAL_NORM, x))).collect()
}

fn attention(model: &Checkpoint, layer: &names::Layer, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let (config, d) = (&model.config, model.config.head_dim);
    let heads = |name: &str, rotated: bool| -> Vec<Vec<Vec<f64>>> {
        let weights = matrix(model, name);
        let split = |(p, x): (usize, &Vec<f64>)| {
            let turn = |head: &[f64]| if rotated { rotate(config, p, head) } else { head.to_vec() };
            times(&weights, x).chunks(d).map(turn).collect()
        };
        x.iter().enumerate().map(split).collect()
    };
    let (query, key, value) =
        (heads(&layer.query, true), heads(&layer.key, true), heads(&layer.value, false));
    let group = config.num_attention_heads / config.num_key_value_heads;
    let output = matrix(model, &layer.output);
    let attend = |p: usize| {
        let mut joined = Vec::new();
        for h in 0..config.num_attention_heads {
            let score = |j: usize| dot(&query[p][h], &key[j][h / group]) / (d as f64).sqrt();
            let mut head = vec![0.0; d];
            for (j, weight) in softmax((0..=p).map(score).collect()).into_iter().enumerate() {
                add(&mut head, &value[j][h / group], weight);
            }
            joined.extend(head);
        }
        times(&output, &joined)
    };
    (0..x.len()).map(attend).collect()
}

fn rotate(config: &Config, position: usize, head: &[f64]) -> Vec<f64> {
    let half = head.len() / 2;
    let turned = |i: usize| {
        let angle = position as f64 / config.rope_theta.powf(2.0 * (i % half) as f64 / head.len() as f64);
        let other = if i < half { -head[i + half] } else { head[i - half] };
        head[i] * angle.cos() + other * angle.sin()
    };
    (0..head.len()).map(turned).collect()
}

fn feed_forward(model: &Checkpoint, names: &FeedForward, x: &[f64]) -> Vec<f64> {
    let (router, experts, shared) = match names {
        FeedForward::Dense(block) => return swiglu(model, block, x),
        FeedForward::Moe { router, experts, shared } => (router, experts, shared),
    };
    let moe = model.config.moe.as_ref().unwrap();
    let probabilities = softmax(times(&matrix(model, router), x));
    let mut order: Vec<usize> = (0..experts.len()).collect();
    order.sort_by(|&a, &b| probabilities[b].total_cmp(&probabilities[a]));
    let chosen = &order[..moe.experts_per_token];
    let sum = if moe.norm_topk_prob { chosen.iter().map(|&e| probabilities[e]).sum() } else { 1.0 };
    let mut out = vec![0.0; x.len()];
    for &e in chosen {
        add(&mut out, &swiglu(model, &experts[e], x), probabilities[e] / sum);
    }
    if let Some((block, gate)) = shared {
        let gate = 1.0 / (1.0 + (-times(&matrix(model, gate), x)[0]).exp());
        add(&mut out, &swiglu(model, block, x), gate);
    }
    out
}

fn swiglu(model: &Checkpoint, names: &Swiglu, x: &[f64]) -> Vec<f64> {
    let (gate, up) = (times(&matrix(model, &names.gate), x), times(&matrix(model, &names.up), x));
    let inner: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
    times(&matrix(model, &names.down), &inner)
}

fn matrix(model: &Checkpoint, name: &str) -> Vec<Vec<f64>> {
    let tensor = model.tensor(name).unwrap();
    tensor.data.chunks(tensor.shape[1]).map(|row| row.iter().map(|&w| f64::from(w)).collect()).collect()
}

fn norm(model: &Checkpoint, name: &str, x: &[f64]) -> Vec<f64> {
    let factor = (dot(x, x) / x.len() as f64 + model.config.rms_norm_eps).sqrt().recip();
    x.iter().zip(&*model.tensor(name).unwrap().data).map(|(x, &w)| x * factor * f64::from(w)).collect()
}

fn times(matrix: &[Vec<f64>], x: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| dot(row, x)).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(to: &mut [f64], x: &[f64], factor: f64) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += factor * x);
}

pub(crate) fn softmax(mut x: Vec<f64>) -> Vec<f64> {
    let top = x.iter().copied().fold(f64::MIN, f64::max);
    x.iter_mut().for_each(|x| *x = (*x - top).exp());
    let sum: f64 = x.iter().sum();
    x.iter().map(|x| x / sum).collect()
}
