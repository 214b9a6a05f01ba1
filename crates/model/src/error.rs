//! What can go wrong between a folder and a checkpoint.

use std::path::PathBuf;

/// A failure of this crate; each variant names the attempt and, where there is one, the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file or folder could not be written.
    #[error("cannot write {path}")]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A JSON file does not parse.
    #[error("{path} is not valid JSON")]
    Json {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: serde_json::Error,
    },
    /// `config.json` lacks a key that has no default.
    #[error("config key `{key}` is missing")]
    ConfigMissing {
        /// The key.
        key: String,
    },
    /// A value of `config.json` has the wrong type or cannot be.
    #[error("config key `{key}` has the value {found}, expected {expected}")]
    ConfigValue {
        /// The key.
        key: String,
        /// The value as it stands there.
        found: String,
        /// What would do.
        expected: String,
    },
    /// An architecture this crate does not know.
    #[error("unsupported architecture `{found}`, supported are {supported}")]
    Architecture {
        /// `model_type` as found.
        found: String,
        /// The supported ones, comma separated.
        supported: String,
    },
    /// A safetensors file is damaged.
    #[error("{path} is not a valid safetensors file")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The reader's reason.
        source: safetensors::SafeTensorError,
    },
    /// A tensor the config calls for is not there.
    #[error("tensor `{name}` is missing{help}")]
    TensorMissing {
        /// Its Hugging Face name.
        name: String,
        /// What else could be meant, from the comma on; often empty.
        help: String,
    },
    /// A tensor that nothing would read.
    #[error("tensor `{name}` is not part of this architecture{help}")]
    TensorUnexpected {
        /// Its Hugging Face name.
        name: String,
        /// What else could be meant, from the comma on; often empty.
        help: String,
    },
    /// A tensor has another shape than the config calls for.
    #[error("tensor `{name}` has the shape {found:?}, expected {expected:?}")]
    TensorShape {
        /// Its Hugging Face name.
        name: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape that follows from the config.
        expected: Vec<usize>,
    },
    /// A tensor is stored in another number format than it can be.
    #[error("tensor `{name}` is stored as {dtype}, supported: {supported}")]
    TensorDtype {
        /// Its Hugging Face name.
        name: String,
        /// The format as safetensors names it.
        dtype: String,
        /// Those that would do.
        supported: &'static str,
    },
    /// A tensor of few bits a weight holds something else.
    #[error("tensor `{name}` holds {found}, expected {expected}")]
    TensorValue {
        /// Its Hugging Face name.
        name: String,
        /// What it holds.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// The tokenizers library failed.
    #[error("cannot {attempt}")]
    Tokenizer {
        /// What was tried.
        attempt: String,
        /// The library's reason.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Two tokens of a vocabulary have one id.
    #[error("tokenizer: `{}` and `{}` have the same id, {id}", tokens[0], tokens[1])]
    TokenizerIdTwice {
        /// The id.
        id: u32,
        /// The two tokens.
        tokens: [String; 2],
    },
    /// A chat template is not valid, or raised an exception.
    #[error("cannot use the chat template of {path}")]
    ChatTemplate {
        /// The file it stands in.
        path: PathBuf,
        /// Jinja's reason, or the template's own.
        source: minijinja::Error,
    },
    /// The tokenizer produces ids the model has no embedding for.
    #[error(
        "tokenizer does not fit the model: token `{token}` has the id {id}, the vocabulary has {vocab_size}"
    )]
    TokenizerTooLarge {
        /// The offending token.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the embedding.
        vocab_size: usize,
    },
}
