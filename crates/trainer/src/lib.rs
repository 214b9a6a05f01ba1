//! How a model learns: packing, losses, optimiser, upcycling.
//!
//! [`train`] continues a [`flow_model::Checkpoint`] on prompts with completions; [`upcycle`] turns dense checkpoints
//! into a mixture of experts, [`merge`] into one dense checkpoint. Everything runs on the CPU in f32. The result depends, to the bit, on
//! the arguments and the [`instruction_set`] of the machine: not on the number of threads or cores.

mod adamw;
mod batch;
mod config;
mod error;
mod gradient;
mod lessons;
mod lora;
mod loss;
mod matmul;
mod merge;
mod model;
mod ops;
mod product;
mod report;
mod rope;
mod schedule;
mod simd;
mod state;
mod steps;
mod tape;
mod train;
mod upcycle;
mod validate;
mod workers;

pub use batch::Example;
pub use config::{Part, Schedule, TrainConfig, Validation, is_trainable};
pub use error::Error;
pub use lora::{Adapter, Lora, Target};
pub use loss::{Loss, Preference};
pub use merge::{Merge, merge};
pub use model::logits;
pub use report::{GroupLoad, LayerLoad, StepReport, TrainReport, Trained};
pub use simd::instruction_set;
pub use state::Saved;
pub use train::train;
pub use upcycle::{From, Gate, MoeUpcycle, upcycle};
