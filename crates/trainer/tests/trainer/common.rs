//! Small models and examples for the tests.

use flow_model::{
    Activation, AttentionExperts, Block, Checkpoint, Config, Dense, Moe, QkNorm, Rope, RopeScaling, Sliding,
    Ternary, Tokenizer,
};
use flow_trainer::Example;

/// A dense decoder of a few thousand parameters with grouped heads.
pub(crate) fn dense() -> Config {
    Config {
        vocab_size: 280,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 6,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 64,
        tie_word_embeddings: false,
        eos_token_ids: vec![0],
        bos_token_id: None,
        moe: None,
        block: Block::default(),
    }
}

/// The same with four experts.
pub(crate) fn mixture(norm_topk_prob: bool, shared: Option<usize>) -> Config {
    let moe = Moe {
        num_experts: 4,
        experts_per_token: 2,
        norm_topk_prob,
        shared_expert_intermediate_size: shared,
        router_aux_loss_coef: 0.01,
        router_z_loss_coef: 0.001,
    };
    Config { moe: Some(moe), ..dense() }
}

/// Every kind of decoder the trainer knows.
pub(crate) fn kinds() -> Vec<Config> {
    let tied = Config { tie_word_embeddings: true, ..dense() };
    let with = |config: Config, block| Config { block, ..config };
    let parallel = Block { parallel: true, ..Block::default() };
    let bam = |shared_key_value, experts_per_token| {
        let attention_experts = Some(AttentionExperts { count: 4, shared_key_value, experts_per_token });
        let mut config = with(mixture(false, None), Block { attention_experts, ..parallel.clone() });
        config.moe.as_mut().expect("experts").experts_per_token = 1;
        config
    };
    let mote =
        Block { plain_shared_expert: true, ternary_experts: Some(Ternary::Latent), ..Block::default() };
    let routed = |experts_top_p, null_experts| Block { experts_top_p, null_experts, ..Block::default() };
    vec![
        dense(),
        tied,
        mixture(true, None),
        mixture(false, None),
        mixture(true, Some(16)),
        with(dense(), parallel.clone()),
        bam(false, None),
        bam(false, Some(2)),
        bam(true, None),
        with(mixture(false, Some(40)), mote),
        with(mixture(true, None), routed(Some(0.6), 0)),
        with(mixture(false, Some(16)), routed(None, 3)),
        with(mixture(true, Some(16)), routed(Some(0.8), 2)),
        with(mixture(true, Some(16)), Block { router_bias_update_rate: Some(0.01), ..Block::default() }),
    ]
    .into_iter()
    .chain(families())
    .chain(switched())
    .collect()
}

/// Decoders with the switches that few families have: those of Gemma 2 and 3, GELU as it is, OLMoE's held projections, and a dense layer beside
/// one with experts.
pub(crate) fn switched() -> Vec<Config> {
    let with = |config: Config, block| Config { block, ..config };
    let tied = || Config { tie_word_embeddings: true, ..dense() };
    let sliding = |window, rope| Some(Sliding { window, layers: vec![true, false], rope });
    let gemma = Block {
        gemma_norms: true,
        activation: Activation::GeluTanh,
        query_pre_attn_scalar: Some(10.0),
        ..Block::default()
    };
    let gemma2 = Block {
        attn_logit_softcapping: Some(2.0),
        final_logit_softcapping: Some(3.0),
        sliding: sliding(3, None),
        ..gemma.clone()
    };
    let gemma3 =
        Block { qk_norm: Some(QkNorm::Head), sliding: sliding(4, Some(Rope::plain(100.0))), ..gemma };
    let held = Block { clip_qkv: Some(0.5), qk_norm: Some(QkNorm::Whole), ..Block::default() };
    let beside = Dense { layers: vec![true, false], intermediate_size: 28 };
    vec![
        with(tied(), gemma2),
        with(tied(), gemma3),
        with(dense(), Block { activation: Activation::Gelu, ..Block::default() }),
        with(mixture(false, None), held),
        with(mixture(true, Some(16)), Block { dense: Some(beside), ..Block::default() }),
    ]
}

/// Decoders of the families that people bring: the switches of Llama with biases, Llama 3, Mistral, Qwen2, Qwen3 and their mixtures, OLMoE, and what
/// Qwen becomes in this project's own family.
pub(crate) fn families() -> Vec<Config> {
    let with = |config: Config, block| Config { block, ..config };
    let llama3 =
        RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 32 };
    let yarn = RopeScaling::Yarn {
        factor: 4.0,
        original: 16,
        attention_factor: 1.2,
        beta_fast: 2.0,
        beta_slow: 0.1,
        truncate: true,
    };
    let window = Sliding { window: 40, layers: vec![true; 2], rope: None };
    let normed = |qk_norm| Block { qk_norm: Some(qk_norm), ..Block::default() };
    let biased = Block { qkv_bias: true, ..Block::default() };
    vec![
        with(dense(), Block { output_bias: true, mlp_bias: true, ..biased.clone() }),
        with(dense(), Block { rope_scaling: llama3, ..Block::default() }),
        with(
            dense(),
            Block {
                rope_scaling: RopeScaling::Linear { factor: 2.0 },
                sliding: Some(window),
                ..Block::default()
            },
        ),
        with(dense(), Block { rope_scaling: yarn, ..biased.clone() }),
        with(dense(), normed(QkNorm::Head)),
        with(mixture(false, Some(16)), biased.clone()),
        with(mixture(true, None), normed(QkNorm::Head)),
        with(mixture(false, None), normed(QkNorm::Whole)),
        with(mixture(true, Some(16)), Block { null_experts: 2, qk_norm: Some(QkNorm::Head), ..biased }),
    ]
}

/// Random weights, larger than usual so that every part matters; norms of the residual stream stay as they begin.
pub(crate) fn checkpoint(config: Config, seed: u64) -> Checkpoint {
    let tokenizer = Tokenizer::train_byte_bpe(&["one two three four"], 270, &["<|end|>"]).expect("trains");
    let mut start = Checkpoint::init(config, tokenizer, seed).expect("the config is valid");
    for (name, tensor) in &mut start.tensors {
        if tensor.shape.len() > 1 || name.ends_with("e_score_correction_bias") {
            *tensor = flow_model::Tensor::normal(seed, name, tensor.shape.clone(), 0.3);
        } else if name.contains("self_attn") || name.ends_with(".bias") {
            let around = flow_model::Tensor::normal(seed, name, tensor.shape.clone(), 0.3);
            let moved: Vec<f32> = tensor.data.iter().zip(around.data.iter()).map(|(x, by)| x + by).collect();
            *tensor = flow_model::Tensor::new(tensor.shape.clone(), moved);
        }
    }
    start
}

/// Additions, written out.
pub(crate) fn sums(n: usize) -> Vec<Example> {
    let sum = |i: usize| {
        let (a, b) = (i % 7, i / 7 % 7);
        Example::new(format!("{a}+{b}="), format!("{}", a + b))
    };
    (0..n).map(sum).collect()
}
