//! What a checkpoint is: config, tokenizer, weights, Hugging Face folders.
//!
//! Plain data, no device and no autograd: the trainer starts from a [`Checkpoint`], the sampler from one or from its [`Folder`], and they agree on
//! the [`names`] of its tensors. One architecture is known: the Llama decoder (RMSNorm before each block, rotary
//! positions in the rotate-half convention, grouped-query attention, gated feed-forward blocks), dense or with experts,
//! and what the families of `transformers` do beyond it as the switches of a [`Block`].

mod block;
mod chat;
mod checkpoint;
mod config;
mod config_json;
mod digest;
mod error;
mod family;
mod files;
mod folder;
mod half;
mod init;
pub mod int4;
mod keys;
pub mod names;
mod rng;
mod rope;
mod rope_json;
mod tensor;
mod tensors;
pub mod ternary;
mod tokenizer;
mod weights;

pub use block::{Activation, AttentionExperts, Block, Dense, QkNorm, Sliding, Ternary};
pub use chat::{Chat, ChatTemplate};
pub use checkpoint::Checkpoint;
pub use config::{Config, Moe};
pub use digest::Digests;
pub use error::Error;
pub use family::Family;
pub use files::TensorFiles;
pub use folder::Folder;
pub use rng::Rng;
pub use rope::{Rope, RopeScaling};
pub use tensor::Tensor;
pub use tensors::{Tensors, expect_finite};
pub use tokenizer::Tokenizer;
pub use weights::{Coded, file_digest, is_whole, load_weights, save_tensors, save_weights, weight_files};
