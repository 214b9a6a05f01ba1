//! What training starts from: the key `start`.

use flow_model::{Block, Checkpoint, Config, Tokenizer};
use flow_plan::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::examples::Row;

/// The token that ends every text of a model begun from random weights.
const END_OF_TEXT: &str = "<|endoftext|>";

/// What training starts from.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Start {
    /// A declared model, or a step that trains one.
    Model(#[serde(skip_serializing)] String),
    /// Random weights of this shape, with a byte-level BPE tokenizer trained on the data.
    Init(Init),
}

/// The shape of a dense decoder begun from random weights.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Init {
    /// Width of the residual stream.
    #[schemars(range(min = 2))]
    hidden_size: u32,
    /// Width of the feed-forward block.
    #[schemars(range(min = 1))]
    intermediate_size: u32,
    /// Blocks.
    #[schemars(range(min = 1))]
    num_hidden_layers: u32,
    /// Attention heads; they divide `hidden_size` into even parts.
    #[schemars(range(min = 1))]
    num_attention_heads: u32,
    /// Entries of the tokenizer, at least 257: all bytes and the end of text.
    #[schemars(range(min = 257))]
    vocab_size: u32,
    /// Longest sequence in tokens.
    #[schemars(range(min = 2))]
    max_position_embeddings: u32,
    /// Whether attention and the feed-forward block read one norm and are added together, as in the models of BAM's paper.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    parallel_block: bool,
}

impl Init {
    /// Keys that do not go together.
    pub(super) fn mistake(&self) -> Option<Problem> {
        let even = self.hidden_size.is_multiple_of(2 * self.num_attention_heads);
        let (width, heads) = (self.hidden_size, self.num_attention_heads);
        let words = || format!("expected even parts of hidden_size {width}, found {heads} heads");
        (!even).then(|| Problem::new("start.num_attention_heads", words()))
    }

    fn config(&self) -> Config {
        let (hidden_size, heads) = (self.hidden_size as usize, self.num_attention_heads as usize);
        Config {
            vocab_size: self.vocab_size as usize,
            hidden_size,
            intermediate_size: self.intermediate_size as usize,
            num_hidden_layers: self.num_hidden_layers as usize,
            num_attention_heads: heads,
            num_key_value_heads: heads,
            head_dim: hidden_size / heads,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            max_position_embeddings: self.max_position_embeddings as usize,
            tie_word_embeddings: true,
            eos_token_ids: Vec::new(),
            bos_token_id: None,
            moe: None,
            block: Block { parallel: self.parallel_block, ..Default::default() },
        }
    }

    /// About how many parameters it has; any shape has a number.
    pub(crate) fn parameters(&self) -> f64 {
        let [width, inner, layers, vocab] =
            [self.hidden_size, self.intermediate_size, self.num_hidden_layers, self.vocab_size].map(f64::from);
        width * (vocab + layers * (4.0 * width + 3.0 * inner))
    }
}

/// A dense model of random weights, with a tokenizer trained on the examples.
pub(super) fn initial(init: &Init, rows: &[Row], seed: u64) -> Result<Checkpoint, String> {
    let texts: Vec<&str> =
        rows.iter().flat_map(|Row { example, .. }| [example.prompt.as_str(), example.completion.as_str()]).collect();
    let tokenizer = Tokenizer::train_byte_bpe(&texts, init.vocab_size as usize, &[END_OF_TEXT])
        .map_err(|error| crate::text::chain(&error))?;
    let eos_token_ids = tokenizer.id(END_OF_TEXT).into_iter().collect();
    let config = Config { vocab_size: tokenizer.vocab_size(), eos_token_ids, ..init.config() };
    Checkpoint::init(config, tokenizer, seed).map_err(|error| crate::text::chain(&error))
}
