//! What can go wrong before or while drawing.

/// A failure to build an engine, or of one request; other requests go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The checkpoint lacks a tensor, or its tokenizer cannot encode or decode.
    #[error("cannot use the checkpoint's tensors or tokenizer")]
    Model(#[from] flow_model::Error),
    /// A tensor does not have the shape its config calls for.
    #[error("tensor `{name}` has the shape {found:?}, expected {expected:?}")]
    Shape {
        /// Hugging Face name.
        name: String,
        /// Shape in the checkpoint.
        found: Vec<usize>,
        /// Shape the config calls for.
        expected: Vec<usize>,
    },
    /// The device that the engine draws on cannot be used, or failed.
    #[error(transparent)]
    Device(#[from] flow_kernels::gpu::DeviceError),
    /// A text was given to an engine that reads only token ids.
    #[error("the model has no tokenizer: give its prompts as token ids")]
    NoTokenizer,
    /// The prompt has no tokens, so nothing can follow it.
    #[error("the prompt is empty")]
    PromptEmpty,
    /// A text to score has no token that others could predict.
    #[error("there is nothing to score")]
    NothingToScore,
    /// The prompt leaves no room for a token.
    #[error("the prompt has {tokens} tokens, the model's context ends at {context}")]
    PromptTooLong {
        /// Tokens in the prompt.
        tokens: usize,
        /// Positions the model has.
        context: usize,
    },
    /// A token id of the prompt is not in the vocabulary.
    #[error("token {token} is outside the vocabulary of {vocab_size}")]
    TokenUnknown {
        /// The id.
        token: u32,
        /// Ids are below this.
        vocab_size: usize,
    },
    /// A sampling parameter is out of its range.
    #[error("{name} is {value}, expected {expected}")]
    Params {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: f64,
        /// Its range.
        expected: &'static str,
    },
    /// The model's scores contain NaN or infinity: its weights are damaged.
    #[error("the scores at position {position} are not finite numbers")]
    NotFinite {
        /// Position in the sequence, counted from 0 at the first prompt token.
        position: usize,
    },
}
