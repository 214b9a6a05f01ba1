//! How a model learns: packing, losses, optimiser, upcycling.
//!
//! [`train`] continues a [`flow_model::Checkpoint`] on prompts with completions; [`upcycle`] turns dense checkpoints
//! into a mixture of experts, [`merge`] into one dense checkpoint. All of it runs on the CPU in f32; [`train_on`] learns on a GPU. The
//! result depends, to the bit, on the arguments and the [`instruction_set`] of the machine, or the GPU: not on the number of threads or cores.

mod adamw;
mod batch;
mod config;
mod device;
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
mod tensor;
mod train;
mod upcycle;
mod validate;
mod workers;

pub use batch::Example;
pub use config::{Part, Schedule, TrainConfig, Validation};
pub use device::Device;
pub use error::Error;
pub use flow_kernels::gpu::Rounding;
pub use lora::{Adapter, Lora, Target};
pub use loss::{Loss, Preference};
pub use merge::{Merge, merge};
pub use model::logits;
pub use report::{GroupLoad, LayerLoad, StepReport, TrainReport, Trained};
pub use simd::instruction_set;
pub use state::Saved;
pub use train::{train, train_on};
pub use upcycle::{From, Gate, MoeUpcycle, Prompts, unstorable, upcycle};
