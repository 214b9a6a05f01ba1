//! How text is drawn: continuous batching over an engine whose draws do not depend on the batch, nor on CPU or GPU.
//!
//! [`Engine`] packs a checkpoint (Llama, or a mixture of experts) and answers [`Request`]s with [`Completion`]s. A
//! completion depends on the model and on its own request alone, to the bit: random numbers are a function of
//! (stream, position), and every sum of the forward pass runs in an order that does not know what else is in the
//! batch. The arithmetic is f32 with fused multiply-adds in a fixed order, the same on AVX-512, AVX2 and scalar code.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use flow_sampler::{Engine, Params, Precision, Prompt, Request};
//!
//! let model = flow_model::Folder::open("models/arith-tiny".as_ref())?;
//! let engine = Engine::of_folder(&model, Precision::F32)?;
//! let prompt = Prompt::Text("Ann has 12 pens. Gets 7.".into());
//! let draw = |n: u128| Request { prompt: prompt.clone(), params: Params::default(), stream: n.to_le_bytes() };
//! let requests: Vec<Request> = (0..10).map(draw).collect();
//! engine.generate(&requests, 2, &AtomicBool::new(false), &|i, answer| match answer {
//!     Ok(completion) => println!("{i}: {}", completion.text),
//!     Err(error) => println!("{i} failed: {error}"),
//! });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! From the inside out: `rotary`, `attention`, `pages` and `cache` (keys and values), `feed_forward`, `moe` and `forward` (one pass), `text` and
//! `draw` (one completion), `gpu` (the pass on a device), `pass` and `worker` (many), `score` (given texts), `engine`. The loops themselves are those of `flow_kernels`.

mod attention;
mod cache;
mod draw;
mod engine;
mod error;
mod feed_forward;
mod forward;
mod gpu;
mod moe;
mod pages;
mod pass;
mod plan;
mod request;
mod rotary;
mod score;
mod text;
mod weights;
mod worker;

pub use flow_kernels::gpu::{DeviceError, Found as FoundGpu, Gpu, find as find_gpu, open as open_gpu};
pub use flow_kernels::{Precision, Routing, Stream, uniform};

pub use engine::{Engine, Sink};
pub use error::Error;
pub use plan::{Plan, Usage};
pub use request::{Completion, FinishReason, Params, Prompt, Request};
pub use score::{Given, Score, ScoreSink};
