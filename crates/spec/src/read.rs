//! Text to [`Spec`]: parse, overlay, interpolate, check, in that order.

use crate::validate::{Place, validate};
use crate::{Diagnostic, Environment, Sources, Spec, document_schema};
use crate::{diagnostic, env, overlay, parse};

/// What the caller adds to the text.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The profile to apply.
    pub profile: Option<String>,
    /// `path=value` arguments, applied in order after the profile.
    pub set: Vec<String>,
    /// The environment; only declared variables are used.
    pub environment: Environment,
}

/// What was read: the sources that diagnostics point into, the diagnostics in the order of the text, and the spec,
/// unless the text is no YAML map.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The file and the `--set` arguments.
    pub sources: Sources,
    /// All mistakes.
    pub diagnostics: Vec<Diagnostic>,
    /// The pipeline, as far as it could be read.
    pub spec: Option<Spec>,
}

/// Reads a pipeline. `name` stands before the line number in messages.
pub fn read(name: &str, text: &str, options: &Options) -> Reading {
    let mut sources = Sources::default();
    let id = sources.add(name, text);
    let (tree, mut diagnostics) = parse::parse(&sources, id, 0..text.len());
    let Some(mut tree) = tree else { return Reading { sources, diagnostics, spec: None } };
    if let Some(profile) = &options.profile {
        overlay::apply_profile(&mut tree, &mut sources, profile, &mut diagnostics);
    }
    for argument in &options.set {
        overlay::apply_set(&mut tree, &mut sources, argument, &mut diagnostics);
    }
    let secrets = env::interpolate(&mut tree, &options.environment, &mut diagnostics);
    let start = crate::Span { end: tree.span.start, ..tree.span };
    diagnostics.extend(validate(&tree, &document_schema(), Place { what: None, span: start }));
    diagnostic::settle(&mut diagnostics);
    let complete = !diagnostics.iter().any(Diagnostic::is_error);
    let is_map = matches!(tree.value, crate::Value::Map(_));
    let spec = is_map.then(|| Spec::new(tree, secrets, complete));
    Reading { sources, diagnostics, spec }
}
