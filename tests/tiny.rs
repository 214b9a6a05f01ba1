//! The model of tests, here and in `crates/operators`.

use flow_model::{Block, Checkpoint, Config, Tokenizer};

/// A model of random weights that answers in a moment.
pub(crate) fn tiny() -> Checkpoint {
    let end = "<|endoftext|>";
    let tokenizer = Tokenizer::train_byte_bpe(&["1+1=2", "#### 2"], 280, &[end]).unwrap();
    let config = Config {
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        num_key_value_heads: 2,
        head_dim: 8,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        max_position_embeddings: 64,
        tie_word_embeddings: true,
        eos_token_ids: tokenizer.id(end).into_iter().collect(),
        bos_token_id: None,
        moe: None,
        block: Block::default(),
    };
    Checkpoint::init(config, tokenizer, 1).unwrap()
}
