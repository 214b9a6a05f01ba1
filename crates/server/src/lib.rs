//! Models on other machines: draws from OpenAI-compatible servers (vLLM, SGLang, llama.cpp), each asked until it is
//! answered or given up. Knows nothing of the dataflow.
//!
//! [`Client::submit`] takes draws and returns at once; a bounded pool of threads asks, and every draw is answered exactly
//! once, unless its batch is cancelled:
//!
//! - how many requests an endpoint gets at once is found out: more while it answers, half as many when it is
//!   overloaded (429, 503, time-outs);
//! - what failed is asked again by the class of its [`Fault`], after an exponential, jittered delay or the server's own
//!   `Retry-After`, another endpoint first; what a server refuses for the request's own fault is not;
//! - an endpoint that fails several times in a row is left alone for a while, then tried with one request;
//! - when no endpoint has answered anything for a time, all that waits is given up.

mod backoff;
mod client;
mod endpoint;
mod fault;
mod http;
mod limit;
mod probe;
mod queue;
mod secret;
mod settings;
mod wire;

pub use client::Client;
pub use fault::{Class, Error, Fault};
pub use probe::Probe;
pub use queue::Batch;
pub use secret::Secret;
pub use settings::{Api, Dialect, Settings};
pub use wire::{Completion, Draw, Params};
