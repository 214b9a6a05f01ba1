//! The trainer from outside: checkpoints and examples in, checkpoints and reports out.

mod adapters;
mod common;
mod device;
mod differences;
#[path = "../../../kernels/tests/emulated/mod.rs"]
mod emulated;
mod losses;
mod plain;
mod reference;
mod training;
mod upcycling;
mod validation;
