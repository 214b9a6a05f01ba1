//! What a checkpoint is: config, tokenizer, weights, Hugging Face folders.
//!
//! Plain data, no device and no autograd: the sampler and the trainer both start from a [`Checkpoint`] and agree on
//! the [`names`] of its tensors. One architecture is known: the Llama decoder (RMSNorm before each block, rotary
//! positions in the rotate-half convention, grouped-query attention, gated feed-forward blocks), dense or with experts,
//! and what the families of `transformers` do beyond it as the switches of a [`Block`].

mod block;
mod chat;
mod checkpoint;
mod config;
mod config_json;
mod error;
mod family;
mod init;
mod keys;
pub mod names;
mod rng;
mod rope;
mod rope_json;
mod tensor;
pub mod ternary;
mod tokenizer;
mod weights;

pub use block::{Activation, AttentionExperts, Block, Dense, QkNorm, Sliding, Ternary};
pub use chat::{Chat, ChatTemplate};
pub use checkpoint::Checkpoint;
pub use config::{Config, Moe};
pub use error::Error;
pub use family::Family;
pub use rng::Rng;
pub use rope::{Rope, RopeScaling};
pub use tensor::Tensor;
pub use tokenizer::Tokenizer;
pub use weights::{file_digest, load_weights, save_tensors, save_weights, weight_files};
