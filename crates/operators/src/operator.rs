//! What one operator's file implements, and how the catalog holds it.

use std::marker::PhantomData;
use std::path::PathBuf;

use flow_data::Columns;
use flow_dataflow::Body;
use flow_plan::{Arity, Input, Plan, Problem, Shape, Signature, Step, config_of, schema_of};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::{BuildError, Env};

/// An operator as its author writes it.
pub trait Definition: Sync + 'static {
    /// The YAML `op`: snake_case, also the name of the file.
    const NAME: &'static str;
    /// The file's own text (`include_str!`), which opens with the header.
    const SOURCE: &'static str;
    /// Raised when the same config and rows would give other results.
    const VERSION: u32 = 1;
    /// How many inputs it has.
    const ARITY: Arity = Arity::One;
    /// Its keys.
    type Config: DeserializeOwned + JsonSchema;

    /// Its ports for these inputs.
    fn shape(config: &Self::Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>>;

    /// The files that it reads, beside models: who keeps a pipeline up reads them again when they change.
    fn files(_config: &Self::Config) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Mistakes that only the whole plan shows: what the steps before this one publish, how rounds go.
    fn fits(_config: &Self::Config, _step: &StepContext<'_>) -> Vec<Problem> {
        Vec::new()
    }

    /// What runs. The config and the inputs have passed [`Definition::shape`], the step [`Definition::fits`].
    fn body(config: Self::Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError>;
}

/// An operator as the catalog holds it.
pub trait Operator: Signature {
    /// The files that `step` reads, beside models; relative ones to the folder in which the program runs.
    fn files(&self, step: &StepContext<'_>) -> Vec<PathBuf>;

    /// Mistakes of `step` that only its plan shows.
    fn fits(&self, step: &StepContext<'_>) -> Vec<Problem>;

    /// What runs for `step`.
    fn body(&self, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError>;
}

/// A step in its plan.
#[derive(Clone, Copy)]
pub struct StepContext<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The step.
    pub step: &'a Step,
}

impl StepContext<'_> {
    /// The columns of the rows that arrive; none for a source.
    pub fn columns(&self) -> Columns {
        self.step.inputs.first().map(|inlet| inlet.columns.clone()).unwrap_or_default()
    }

    /// The position of an input column that the operator's shape has asked for.
    pub fn column(&self, name: &str) -> usize {
        self.columns().index(name).expect("the step's shape has checked that the column is there")
    }
}

/// The catalog's entry for a definition.
pub struct Op<D>(PhantomData<fn() -> D>);

impl<D> Op<D> {
    /// The entry.
    pub const NEW: Self = Self(PhantomData);
}

impl<D: Definition> Signature for Op<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn header(&self) -> &'static str {
        let end =
            D::SOURCE.split_inclusive('\n').take_while(|line| line.starts_with("//!")).map(str::len).sum();
        &D::SOURCE[..end]
    }

    fn version(&self) -> u32 {
        D::VERSION
    }

    fn arity(&self) -> Arity {
        D::ARITY
    }

    fn config_schema(&self) -> Json {
        schema_of::<D::Config>()
    }

    fn shape(&self, config: &Json, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        D::shape(&config_of(config)?, inputs)
    }
}

impl<D: Definition> Operator for Op<D> {
    fn files(&self, step: &StepContext<'_>) -> Vec<PathBuf> {
        config_of(&step.step.config).map(|config| D::files(&config)).unwrap_or_default()
    }

    fn fits(&self, step: &StepContext<'_>) -> Vec<Problem> {
        config_of(&step.step.config).map(|config| D::fits(&config, step)).unwrap_or_default()
    }

    fn body(&self, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let config = config_of(&step.step.config)
            .map_err(|problems| BuildError::step(&step.step.name, &problems[0].message))?;
        D::body(config, step, env)
    }
}
