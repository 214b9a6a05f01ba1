//! A plan in the making: each step with what is known of it so far.

use std::collections::BTreeMap;

use flow_spec::{Diagnostic, Span, Spec};
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

/// One step. What is `None` could not be found out, so checks that need it are skipped.
pub(crate) struct StepDraft<'a> {
    pub(crate) spec: &'a flow_spec::Step,
    pub(crate) signature: Option<&'a dyn Signature>,
    /// The references of `from`, resolved; `None` when one of them leads nowhere.
    pub(crate) sources: Option<Vec<Source<'a>>>,
    /// The operator's own keys with defaults, once they have passed its schema.
    pub(crate) config: Option<Config>,
    pub(crate) inlets: Vec<Inlet>,
    pub(crate) shape: Option<Shape>,
    pub(crate) models: Vec<ModelUse>,
}

/// A reference to rows of another step.
pub(crate) struct Source<'a> {
    pub(crate) step: usize,
    pub(crate) port: Option<&'a str>,
    pub(crate) span: Span,
}

/// A step's own keys.
pub(crate) struct Config {
    /// What the operator reads.
    pub(crate) real: Json,
    /// The same with secrets as they are written: what the digest covers.
    pub(crate) public: Json,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(spec: &'a Spec) -> Self {
        let steps = spec.steps.iter().map(|step| StepDraft {
            spec: step,
            signature: None,
            sources: None,
            config: None,
            inlets: Vec::new(),
            shape: None,
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
