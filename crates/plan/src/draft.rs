//! A plan in the making: each step with what is known of it so far.

use std::collections::BTreeMap;

use flow_spec::{Diagnostic, Node, Span, Spec};
use serde_json::Value as Json;

use crate::{Inlet, ModelUse, Shape, Signature};

/// Steps in the order of the text, and the mistakes found on the way.
pub(crate) struct Draft<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) steps: Vec<StepDraft<'a>>,
    /// Positions in `steps` by name.
    pub(crate) by_name: BTreeMap<&'a str, usize>,
    pub(crate) found: Vec<Diagnostic>,
}

/// One step. What could not be found out is `None` or empty, and checks that need it are skipped.
pub(crate) struct StepDraft<'a> {
    pub(crate) spec: &'a flow_spec::Step,
    pub(crate) signature: Option<&'a dyn Signature>,
    /// The references of `from` that name a step.
    pub(crate) sources: Vec<Source<'a>>,
    /// Whether these are all references: none leads nowhere or has another form.
    pub(crate) sources_are_whole: bool,
    /// The operator's own keys, as far as they have passed its schema.
    pub(crate) config: Option<Config>,
    /// What arrives; empty when that is not known.
    pub(crate) inlets: Vec<Inlet>,
    pub(crate) shape: Option<Shape>,
    /// Whether the columns of the shape are right; else only its ports and models are.
    pub(crate) has_columns: bool,
    pub(crate) models: Vec<ModelUse>,
}

/// A reference to rows of another step.
pub(crate) struct Source<'a> {
    pub(crate) step: usize,
    pub(crate) port: Option<&'a str>,
    pub(crate) span: Span,
}

/// A step's own keys with their defaults.
pub(crate) struct Config {
    /// What the operator reads.
    pub(crate) real: Json,
    /// The same with secrets as they are written: what the digest covers.
    pub(crate) public: Json,
    /// Where keys are broken, the same with large values in their place: what an operator says to both does not follow from
    /// the stand-ins.
    pub(crate) other: Option<Json>,
    /// The step's map with all keys that are right, for their places.
    pub(crate) node: Node,
    /// Keys with a mistake that has been told. Their values here are defaults or placeholders.
    pub(crate) broken: Vec<String>,
    /// Whether no broken key decides what columns there are.
    pub(crate) is_sure: bool,
}

impl Config {
    /// Whether the first part of the dotted `path` is a key whose mistake has been told; of the step as a whole, whether
    /// any has.
    pub(crate) fn is_broken(&self, path: &str) -> bool {
        let key = first_key(path);
        if key.is_empty() { !self.broken.is_empty() } else { self.broken.iter().any(|broken| broken == key) }
    }
}

/// The first key of a dotted path.
pub(crate) fn first_key(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

impl<'a> Draft<'a> {
    pub(crate) fn new(spec: &'a Spec) -> Self {
        let steps = spec.steps.iter().map(|step| StepDraft {
            spec: step,
            signature: None,
            sources: Vec::new(),
            sources_are_whole: false,
            config: None,
            inlets: Vec::new(),
            shape: None,
            has_columns: false,
            models: Vec::new(),
        });
        let by_name = spec.steps.iter().enumerate().map(|(at, step)| (step.name.as_str(), at)).collect();
        Self { spec, steps: steps.collect(), by_name, found: Vec::new() }
    }

    pub(crate) fn report(&mut self, mut diagnostic: Diagnostic) {
        self.spec.redact(&mut diagnostic);
        self.found.push(diagnostic);
    }

    /// The names of all steps.
    pub(crate) fn names(&self) -> Vec<&'a str> {
        self.steps.iter().map(|step| step.spec.name.as_str()).collect()
    }
}
