//! What the user wrote: YAML text becomes a tree with places, the tree a [`Spec`], and every mistake a [`Diagnostic`].
//!
//! Nothing is read but the text handed in, and nothing is printed. [`read`] finds all mistakes of form in one pass;
//! what a step's own keys mean is its operator's business, checked by `flow-plan` with the same [`validate`].

mod code;
pub mod codes;
mod diagnostic;
mod document;
mod env;
mod model;
mod node;
mod overlay;
mod parse;
mod read;
mod render;
mod scalar;
mod source;
mod spec;
mod suggest;
mod validate;

pub use code::Code;
pub use diagnostic::{Diagnostic, Severity, settle};
pub use document::{Budget, Expect, OnChange, Rounds, Test, document_schema, from_schema};
pub use env::Environment;
pub use model::{Addresses, Api, Dialect, Folder, Model, OnFailure, Served, Weights};
pub use node::{Entry, Node, Value};
pub use read::{Options, Reading, read};
pub use render::{render, to_json};
pub use source::{Source, SourceId, Sources, Span};
pub use spec::{Reference, Spec, Step};
pub use suggest::{help_with_names, suggest};
pub use validate::{PATH, Place, unsupported, validate};
