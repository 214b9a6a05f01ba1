//! What a checkpoint is: config, tokenizer, weights, Hugging Face folders.
//!
//! Plain data, no device and no autograd: the sampler and the trainer both start from a [`Checkpoint`] and agree on
//! the [`names`] of its tensors. One architecture is known: the Llama decoder (RMSNorm before each block, rotary
//! positions in the rotate-half convention, grouped-query attention, SwiGLU), dense or with experts.

mod checkpoint;
mod config;
mod config_json;
mod error;
mod init;
pub mod names;
mod rng;
mod tensor;
mod tokenizer;
mod weights;

pub use checkpoint::Checkpoint;
pub use config::{Config, Family, Moe};
pub use error::Error;
pub use rng::Rng;
pub use tensor::Tensor;
pub use tokenizer::Tokenizer;
pub use weights::{load_weights, save_weights};
