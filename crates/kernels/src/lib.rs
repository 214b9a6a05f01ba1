//! The hot loops of drawing: products of packed weights, norms, gates, paged attention, routing and the choice of a token.
//!
//! Each is a function over slices whose sums run in an order that does not know what else is in the batch, sixteen lanes at a
//! time with fused multiply-adds, so that a row's result has the same bits alone, among any others, and on every instruction
//! set. [`plain`] says what each computes, one number at a time; tests hold the loops to it.
//!
//! Rows are padded with zeros to whole panels of 32 numbers ([`padded`]); what a function says of a row's length includes them.

mod attend;
pub mod gpu;
mod layers;
mod matmul;
mod numbers;
mod paged;
mod panels;
pub mod plain;
mod random;
mod route;
mod select;
#[cfg(test)]
mod sets;
mod shape;
mod simd;
mod wide;

pub use attend::{Paged, Place, attend};
pub use layers::{Activation, Norm, add, add_scaled, gate, rms_norm, rms_norm_parts, soft_cap, softmax};
pub use matmul::{Packed, padded};
pub use numbers::{Bf16, Precision, Table};
pub use paged::{BLOCK, Heads, write};
pub use panels::{Code, PANEL};
pub use random::{Stream, uniform};
pub use route::{Chooser, Routing, Visit, choose, group};
pub use select::{Choice, Pick, Rules, Selector};
pub use shape::Shape;
pub use simd::LANES;
pub use wide::sigmoid;
