//! What will happen: a [`flow_spec::Spec`] and the operators' signatures become a typed graph with digests.
//!
//! Planning reads no file and runs nothing. [`plan`] finds every mistake that can be seen without data: unknown
//! operators, steps, ports, columns and models, circles, keys that an operator does not have. What is left is a
//! [`Plan`]: steps in order, each with its typed ports, its inputs, its models and its identity.

mod advice;
mod audit;
mod build;
pub mod codes;
mod digest;
mod draft;
pub mod graph;
mod keys;
mod models;
mod order;
mod plan;
mod resolve;
mod schema;
mod shape;
mod signature;
mod slice;
mod tests_section;

pub use audit::audit;
pub use build::plan;
pub use plan::{Edge, Feed, Gate, Inlet, ModelRef, ModelUse, Outlet, Plan, Rounds, Step, Test};
pub use schema::pipeline_schema;
pub use signature::{Arity, Input, Port, Problem, Shape, Signature, config_of, schema_of};
