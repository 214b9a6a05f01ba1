//! What is trained is what is drawn from: the trainer's logits and the sampler's agree.

use std::ops::ControlFlow;
use std::path::Path;

use flow_model::{Block, Checkpoint, Config, Moe, QkNorm, RopeScaling, Sliding, Tensor};
use flow_sampler::Engine;
use flow_trainer::{Example, From, MoeUpcycle, TrainConfig, logits, train, upcycle};

/// Largest difference, relative to the largest logit.
const TOLERANCE: f32 = 1e-4;

fn dense() -> Checkpoint {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/arith-tiny");
    Checkpoint::load(&path).expect("the checkpoint is part of the repository")
}

/// The upcycled model with experts that differ, as after training: each one's last matrix is scaled by its own factor.
fn mixture() -> Checkpoint {
    let mut mixture = upcycle(&[&dense()], &MoeUpcycle::default(), 5).expect("upcycles");
    for (name, tensor) in &mut mixture.tensors {
        let expert = name.strip_suffix(".w2.weight").and_then(|name| name.rsplit('.').next());
        if let Some(expert) = expert.and_then(|expert| expert.parse::<f32>().ok()) {
            let scaled: Vec<f32> = tensor.data.iter().map(|x| x * (0.7 + 0.2 * expert)).collect();
            *tensor = Tensor::new(tensor.shape.clone(), scaled);
        }
    }
    mixture
}

/// Tokens from all over the vocabulary that fill what layers see of the context, where the angles of positions are largest.
fn tokens(checkpoint: &Checkpoint) -> Vec<u32> {
    let config = &checkpoint.config;
    let seen = config.block.window(0).unwrap_or(config.max_position_embeddings);
    (0..seen as u32).map(|i| i * 7919 % config.vocab_size as u32).collect()
}

fn assert_agreement(checkpoint: &Checkpoint) -> Vec<f32> {
    let tokens = tokens(checkpoint);
    let trained = logits(checkpoint, std::slice::from_ref(&tokens)).expect("logits").concat();
    let drawn = Engine::new(checkpoint).expect("an engine").logits(&tokens).expect("logits");
    assert_eq!((trained.len(), drawn.len()), (tokens.len() * checkpoint.config.vocab_size, trained.len()));
    let size = trained.iter().fold(0f32, |size, x| size.max(x.abs()));
    let difference = trained.iter().zip(&drawn).fold(0f32, |most, (a, b)| most.max((a - b).abs()));
    assert!(difference <= TOLERANCE * size, "logits up to {size} differ by {difference}");
    trained
}

#[test]
fn trainer_and_sampler_agree_on_a_dense_model() {
    assert_agreement(&dense());
}

#[test]
fn trainer_and_sampler_agree_on_a_mixture_of_experts() {
    assert_ne!(assert_agreement(&mixture()), assert_agreement(&dense()), "the experts matter");
}

#[test]
fn trainer_and_sampler_agree_on_every_method_of_upcycling() {
    let dense = dense();
    // A second model of the same shape: as if training had moved every weight by a tenth.
    let mut other = dense.clone();
    for tensor in other.tensors.values_mut() {
        let moved = tensor.data.iter().enumerate().map(|(i, x)| x * if i % 3 == 0 { 0.9 } else { 1.1 });
        *tensor = Tensor::new(tensor.shape.clone(), moved.collect::<Vec<f32>>());
    }
    let of = |from, experts| MoeUpcycle { from, experts, ..MoeUpcycle::default() };
    let top_1 = |settings| MoeUpcycle { experts_per_token: 1, ..settings };
    let fine =
        MoeUpcycle { experts_per_token: 3, shared_expert: true, ..of(From::FineGrained { slices: 4 }, 6) };
    // Undecided routers, and bounds between what so many experts reach: no choice hangs on the last bit.
    let routed = |top_p, null_experts, normed| MoeUpcycle {
        top_p,
        null_experts,
        norm_topk_prob: Some(normed),
        ..of(From::Copy, 4)
    };
    let routed = [routed(Some(0.6), 0, false), routed(None, 3, true), routed(Some(0.75), 2, false)];
    let biased = MoeUpcycle { bias_update_rate: Some(0.001), ..of(From::Copy, 4) };
    let mote = |int4_shared_expert| top_1(of(From::Mote { int4_shared_expert }, 4));
    let alone = [fine, biased, mote(false), mote(true)]
        .into_iter()
        .chain(routed)
        .map(|settings| upcycle(&[&dense], &settings, 5));
    let bam = |shared_key_value, attention_experts_per_token| {
        top_1(of(From::Bam { shared_key_value, attention_experts_per_token }, 2))
    };
    let together = [of(From::Btx, 2), bam(false, None), bam(true, None), bam(true, Some(1))]
        .map(|settings| upcycle(&[&dense, &other], &settings, 5));
    for mixture in alone.into_iter().chain(together) {
        let mixture = mixture.expect("upcycles");
        assert_agreement(&mixture);
        assert_agreement(&mixture.packed());
    }
}

/// The shapes of families that people bring, of the size and with the tokenizer of `dense`.
fn families(dense: &Config) -> Vec<Config> {
    let positions = dense.max_position_embeddings;
    let llama3 = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original: positions / 4,
    };
    let yarn = RopeScaling::Yarn {
        factor: 4.0,
        original: positions / 4,
        attention_factor: 1.2,
        beta_fast: 8.0,
        beta_slow: 0.5,
        truncate: true,
    };
    let layers = vec![true; dense.num_hidden_layers];
    let window = Sliding { window: positions - 1, layers, rope: None };
    let moe = |norm_topk_prob, shared_expert_intermediate_size| Moe {
        num_experts: 4,
        experts_per_token: 2,
        norm_topk_prob,
        shared_expert_intermediate_size,
        router_aux_loss_coef: 0.01,
        router_z_loss_coef: 0.0,
    };
    let of = |moe, block| Config { moe, block, ..dense.clone() };
    let (plain, biased) = (Block::default(), Block { qkv_bias: true, ..Block::default() });
    let normed = |qk_norm| Block { qk_norm: Some(qk_norm), ..Block::default() };
    vec![
        of(None, Block { output_bias: true, mlp_bias: true, ..biased.clone() }),
        of(None, Block { rope_scaling: llama3, ..plain.clone() }),
        of(None, Block { sliding: Some(window), rope_scaling: RopeScaling::Linear { factor: 2.0 }, ..plain }),
        of(None, Block { rope_scaling: yarn, ..biased.clone() }),
        of(None, normed(QkNorm::Head)),
        of(Some(moe(false, Some(48))), biased.clone()),
        of(Some(moe(true, None)), normed(QkNorm::Head)),
        of(Some(moe(false, None)), normed(QkNorm::Whole)),
        of(Some(moe(true, Some(48))), Block { null_experts: 2, qk_norm: Some(QkNorm::Head), ..biased }),
    ]
}

#[test]
fn trainer_and_sampler_agree_on_every_family_after_it_has_learned() {
    let tiny = dense();
    let steps =
        TrainConfig { learning_rate: 1e-2, max_steps: Some(3), max_length: 32, ..TrainConfig::default() };
    let examples: Vec<Example> =
        (0..30).map(|i| Example::new(format!("{i}+{i}="), format!("{}", 2 * i))).collect();
    for config in families(&tiny.config) {
        let start = Checkpoint::init(config, tiny.tokenizer.clone(), 5).expect("a family has these switches");
        let trained = train(&start, &examples, &steps, &mut |_| ControlFlow::Continue(())).expect("trains");
        let moved = |(name, before): (&String, &Tensor)| before != &trained.checkpoint.tensors[name];
        assert!(start.tensors.iter().all(moved), "every tensor learns");
        assert_agreement(&trained.checkpoint);
    }
}
