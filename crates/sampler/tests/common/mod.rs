//! Small random models, and a forward pass in plain f64 loops to compare the engine with.
#![allow(dead_code, reason = "each test file uses its part")]
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use flow_model::names::{self, FeedForward, Swiglu};
use flow_model::{
    Activation, AttentionExperts, Block, Checkpoint, Config, Dense, Moe, QkNorm, Rope, RopeScaling, Sliding,
    Tensor, Ternary, Tokenizer, ternary,
};
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
        eos_token_ids: Vec::new(),
        bos_token_id: None,
        moe: None,
        block: Block::default(),
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

/// Models that have each switch on, in the combinations in which families have them.
pub(crate) fn switched() -> Vec<Config> {
    let plain = Block::default;
    let sliding = |layers: [bool; 2]| Some(Sliding { window: 21, layers: layers.into(), rope: None });
    let gemma = Block {
        activation: Activation::GeluTanh,
        gemma_norms: true,
        query_pre_attn_scalar: Some(11.0),
        sliding: sliding([true, false]),
        ..plain()
    };
    let (llama3, yarn) = (
        RopeScaling::Llama3 { factor: 4.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 16 },
        RopeScaling::Yarn {
            factor: 3.0,
            original: 32,
            attention_factor: 1.2,
            beta_fast: 4.0,
            beta_slow: 1.0,
            truncate: true,
        },
    );
    let local = Sliding {
        window: 17,
        layers: vec![true, false],
        rope: Some(Rope { theta: 500.0, scaling: RopeScaling::Linear { factor: 2.0 } }),
    };
    let first_dense = Dense { layers: vec![true, false], intermediate_size: 44 };
    let blocks = [
        Block { qkv_bias: true, output_bias: true, mlp_bias: true, rope_scaling: llama3, ..plain() },
        Block { activation: Activation::Gelu, rope_scaling: RopeScaling::Linear { factor: 2.5 }, ..plain() },
        Block { rope_scaling: yarn, sliding: sliding([true, true]), ..plain() },
        Block { qkv_bias: true, sliding: sliding([false, true]), ..plain() },
        Block { qk_norm: Some(QkNorm::Head), qkv_bias: true, output_bias: true, ..plain() },
        Block { attn_logit_softcapping: Some(3.0), final_logit_softcapping: Some(5.0), ..gemma.clone() },
        Block { qk_norm: Some(QkNorm::Head), sliding: Some(local), ..gemma },
    ];
    let attentions = |shared_key_value, experts_per_token| {
        Some(AttentionExperts { count: 3, shared_key_value, experts_per_token })
    };
    let mote = |ternary| Block { plain_shared_expert: true, ternary_experts: Some(ternary), ..plain() };
    let mixtures = [
        (dense(), Block { parallel: true, ..plain() }),
        (moe(None), Block { parallel: true, attention_experts: attentions(false, None), ..plain() }),
        (moe(None), Block { parallel: true, attention_experts: attentions(false, Some(2)), ..plain() }),
        (moe(None), Block { attention_experts: attentions(true, None), ..plain() }),
        (moe(Some(36)), mote(Ternary::Latent)),
        (moe(Some(36)), mote(Ternary::Packed)),
        (moe(Some(36)), Block { int4_shared_expert: true, ..mote(Ternary::Packed) }),
        (moe(None), Block { router_bias_update_rate: Some(0.001), ..plain() }),
        (moe(Some(36)), Block { null_experts: 2, ..plain() }),
        (moe(None), Block { sliding: sliding([true, true]), ..plain() }),
        (moe(Some(36)), Block { qkv_bias: true, dense: Some(first_dense.clone()), ..plain() }),
        (moe(None), Block { qk_norm: Some(QkNorm::Head), dense: Some(first_dense), ..plain() }),
        (moe(None), Block { qk_norm: Some(QkNorm::Whole), clip_qkv: Some(1.5), ..plain() }),
    ];
    let dense = blocks.into_iter().map(|block| Config { block, ..dense() });
    dense.chain(mixtures.into_iter().map(|(config, block)| Config { block, ..config })).collect()
}

/// Random weights large enough that each position matters.
pub(crate) fn random(mut config: Config, seed: u64) -> Checkpoint {
    let packed = config.block.ternary_experts == Some(Ternary::Packed);
    config.block.ternary_experts = config.block.ternary_experts.map(|_| Ternary::Latent);
    let int4 = std::mem::take(&mut config.block.int4_shared_expert);
    let tokenizer = Tokenizer::train_byte_bpe(&["the cat sat on the mat"; 3], 270, &["<eos>"]).unwrap();
    let mut checkpoint = Checkpoint::init(config, tokenizer, seed).unwrap();
    let plain = checkpoint.config.block == Block::default();
    for (name, tensor) in &mut checkpoint.tensors {
        let noise = Tensor::normal(seed, &format!("noise of {name}"), tensor.shape.clone(), 0.4);
        let changed = |(w, noise): (&f32, &f32)| match tensor.shape.len() {
            1 if plain => *w,
            1 => w + noise,
            _ => w * 12.0,
        };
        let data: Vec<f32> = tensor.data.iter().zip(&*noise.data).map(changed).collect();
        *tensor = Tensor::new(tensor.shape.clone(), data);
    }
    let checkpoint = if int4 { checkpoint.with_int4_shared_expert() } else { checkpoint };
    if packed { checkpoint.packed() } else { checkpoint }
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
    let scale = if config.block.gemma_norms { (config.hidden_size as f64).sqrt() } else { 1.0 };
    let embed = |&t: &u32| embedding[t as usize].iter().map(|x| x * scale).collect();
    let mut stream: Vec<Vec<f64>> = tokens.iter().map(embed).collect();
    let post_norm = |name: &Option<String>, x: Vec<f64>| match name {
        Some(name) => norm(model, name, &x),
        None => x,
    };
    for i in 0..config.num_hidden_layers {
        let layer = names::layer(config, i);
        let normed: Vec<_> = stream.iter().map(|x| norm(model, &layer.attention_norm, x)).collect();
        for (x, y) in stream.iter_mut().zip(mixed_attention(model, i, &layer, &normed)) {
            add(x, &post_norm(&layer.attention_post_norm, y), 1.0);
        }
        for (x, before) in stream.iter_mut().zip(normed) {
            let normed = layer.feed_forward_norm.as_ref().map_or(before, |name| norm(model, name, x));
            let y = feed_forward(model, &layer.feed_forward, &normed);
            add(x, &post_norm(&layer.feed_forward_post_norm, y), 1.0);
        }
    }
    let head = matrix(model, if config.tie_word_embeddings { names::EMBEDDING } else { names::HEAD });
    let cap = config.block.final_logit_softcapping;
    let score = |x: &Vec<f64>| times(&head, &norm(model, names::FINAL_NORM, x)).into_iter();
    stream.iter().map(|x| score(x).map(|score| bend(score, cap)).collect()).collect()
}

fn bend(x: f64, cap: Option<f64>) -> f64 {
    cap.map_or(x, |cap| cap * (x / cap).tanh())
}

fn mixed_attention(model: &Checkpoint, i: usize, layer: &names::Layer, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let Some(router) = &layer.attention_router else { return attention(model, i, layer, 0, x) };
    let router = matrix(model, router);
    let kept = model.config.block.attention_experts.and_then(|experts| experts.experts_per_token);
    let weight = |x: &[f64], j: usize| {
        let weights = softmax(times(&router, x));
        let larger = weights.iter().filter(|weight| **weight > weights[j]).count();
        if larger < kept.unwrap_or(weights.len()) { weights[j] } else { 0.0 }
    };
    let mut mixed = vec![vec![0.0; model.config.hidden_size]; x.len()];
    for j in 0..layer.queries.len() {
        for (p, y) in attention(model, i, layer, j, x).into_iter().enumerate() {
            add(&mut mixed[p], &y, weight(&x[p], j));
        }
    }
    mixed
}

/// What attention `j` of the layer gives.
fn attention(model: &Checkpoint, i: usize, layer: &names::Layer, j: usize, x: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let (config, block, d) = (&model.config, &model.config.block, model.config.head_dim);
    let window = block.window(i).unwrap_or(usize::MAX);
    let local = block.sliding.as_ref().and_then(|sliding| sliding.rope.clone());
    let rope = local.filter(|_| window < usize::MAX).unwrap_or(config.rope());
    let heads = |name: &str, normed: Option<&String>, rotated: bool| -> Vec<Vec<Vec<f64>>> {
        let split = |(p, x): (usize, &Vec<f64>)| {
            let turn = |head: &[f64]| if rotated { rotate(&rope, p, head) } else { head.to_vec() };
            let mut all = linear(model, name, block.qkv_bias, x);
            if let Some(norms) = normed {
                let width = model.tensor(norms).unwrap().data.len();
                all = all.chunks(width).flat_map(|part| norm(model, norms, part)).collect();
            }
            let clip = block.clip_qkv.unwrap_or(f64::MAX);
            all.iter_mut().for_each(|x| *x = x.clamp(-clip, clip));
            all.chunks(d).map(turn).collect()
        };
        x.iter().enumerate().map(split).collect()
    };
    let [query_norm, key_norm] = [0, 1].map(|at| layer.qk_norms.as_ref().map(|norms| &norms[at]));
    let query = heads(&layer.queries[j], query_norm, true);
    let key = heads(&layer.keys[j % layer.keys.len()], key_norm, true);
    let value = heads(&layer.values[j % layer.values.len()], None, false);
    let group = config.num_attention_heads / config.num_key_value_heads;
    let scale = block.query_pre_attn_scalar.unwrap_or(d as f64).sqrt();
    let attend = |p: usize| {
        let mut joined = Vec::new();
        let first = (p + 1).saturating_sub(window);
        for h in 0..config.num_attention_heads {
            let score =
                |j: usize| bend(dot(&query[p][h], &key[j][h / group]) / scale, block.attn_logit_softcapping);
            let mut head = vec![0.0; d];
            for (j, weight) in softmax((first..=p).map(score).collect()).into_iter().enumerate() {
                add(&mut head, &value[first + j][h / group], weight);
            }
            joined.extend(head);
        }
        linear(model, &layer.outputs[j], block.output_bias, &joined)
    };
    (0..x.len()).map(attend).collect()
}

fn rotate(rope: &Rope, position: usize, head: &[f64]) -> Vec<f64> {
    let half = head.len() / 2;
    let frequencies = rope.frequencies(head.len(), 0);
    let turned = |i: usize| {
        let angle = position as f64 * frequencies[i % half];
        let other = if i < half { -head[i + half] } else { head[i - half] };
        rope.amplitude() * (head[i] * angle.cos() + other * angle.sin())
    };
    (0..head.len()).map(turned).collect()
}

fn feed_forward(model: &Checkpoint, names: &FeedForward, x: &[f64]) -> Vec<f64> {
    let (router, router_bias, experts, shared) = match names {
        FeedForward::Dense(block) => return gated(model, block, model.config.block.mlp_bias, x),
        FeedForward::Moe { router, router_bias, experts, shared } => (router, router_bias, experts, shared),
    };
    let moe = model.config.moe.as_ref().unwrap();
    let probabilities = softmax(times(&matrix(model, router), x));
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    let bias = router_bias.as_ref().map(|name| &model.tensor(name).unwrap().data);
    let score = |e: usize| probabilities[e] + bias.map_or(0.0, |bias| f64::from(bias[e]));
    order.sort_by(|&a, &b| score(b).total_cmp(&score(a)));
    let computing = |e: &usize| *e < experts.len();
    let chosen: Vec<usize> = order[..moe.experts_per_token].iter().copied().filter(computing).collect();
    let sum = if moe.norm_topk_prob { chosen.iter().map(|&e| probabilities[e]).sum() } else { 1.0 };
    let mut out = vec![0.0; x.len()];
    for e in chosen {
        let answer = match model.config.block.ternary_experts {
            Some(_) => ternary_gated(model, &experts[e], x),
            None => gated(model, &experts[e], false, x),
        };
        add(&mut out, &answer, probabilities[e] / sum);
    }
    if let Some((block, gate)) = shared {
        let sigmoid = |name: &String| 1.0 / (1.0 + (-times(&matrix(model, name), x)[0]).exp());
        let gate = gate.as_ref().map_or(1.0, sigmoid);
        add(&mut out, &gated(model, block, false, x), gate);
    }
    out
}

fn gated(model: &Checkpoint, names: &Swiglu, biased: bool, x: &[f64]) -> Vec<f64> {
    let (gate, up) = (linear(model, &names.gate, biased, x), linear(model, &names.up, biased, x));
    let tanh = |x: f64, cubic: f64| 0.5 * x * (1.0 + (0.797_884_560_8 * (x + cubic * x.powi(3))).tanh());
    let active = |x: f64| match model.config.block.activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => tanh(x, 0.044_715),
        Activation::Gelu => x * flow_kernels::plain::normal(x),
    };
    let inner: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| active(*g) * u).collect();
    linear(model, &names.down, biased, &inner)
}

/// A gated block of three-valued weights, whose products read activations of 8 bits.
fn ternary_gated(model: &Checkpoint, names: &Swiglu, x: &[f64]) -> Vec<f64> {
    let linear = |name: &str, x: &[f64]| -> Vec<f64> {
        let tensor = model.tensor(name).unwrap();
        let values = ternary::quantised(&tensor.data);
        let values = if names::packed(&model.config).contains_key(name) { &*tensor.data } else { &values };
        let top = x.iter().fold(0.0f64, |top, x| top.max(x.abs()));
        let x: Vec<f64> = x.iter().map(|x| (x * 127.0 / top).round_ties_even() * top / 127.0).collect();
        let row = |row: &[f32]| row.iter().zip(&x).map(|(w, x)| f64::from(*w) * x).sum();
        values.chunks(tensor.shape[1]).map(row).collect()
    };
    let (gate, up) = (linear(&names.gate, x), linear(&names.up, x));
    let inner: Vec<f64> = gate.iter().zip(&up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect();
    linear(&names.down, &inner)
}

fn linear(model: &Checkpoint, name: &str, biased: bool, x: &[f64]) -> Vec<f64> {
    let mut y = times(&matrix(model, name), x);
    if biased {
        let bias = &model.tensor(&names::bias(name)).unwrap().data;
        y.iter_mut().zip(&**bias).for_each(|(y, b)| *y += f64::from(*b));
    }
    y
}

fn matrix(model: &Checkpoint, name: &str) -> Vec<Vec<f64>> {
    let tensor = model.tensor(name).unwrap();
    tensor.data.chunks(tensor.shape[1]).map(|row| row.iter().map(|&w| f64::from(w)).collect()).collect()
}

fn norm(model: &Checkpoint, name: &str, x: &[f64]) -> Vec<f64> {
    let factor = (dot(x, x) / x.len() as f64 + model.config.rms_norm_eps).sqrt().recip();
    let offset = if model.config.block.gemma_norms { 1.0 } else { 0.0 };
    let scale = model.tensor(name).unwrap().data.iter().map(|w| offset + f64::from(*w));
    x.iter().zip(scale).map(|(x, scale)| x * factor * scale).collect()
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
