//! What will happen: a checked [`flow_spec::Spec`] and the operators' signatures become a typed graph with digests.
//!
//! Planning reads no file and runs nothing. It finds every mistake that can be seen without data: unknown operators,
//! steps, ports, columns and models, cycles, keys that an operator does not have. What is left is a [`Plan`].

pub mod codes;
mod plan;
mod signature;

pub use plan::{Edge, Feed, Inlet, ModelRef, ModelUse, Outlet, Plan, Rounds, Step, Test};
pub use signature::{Arity, Input, Port, Problem, Shape, Signature, config_of, schema_of};
