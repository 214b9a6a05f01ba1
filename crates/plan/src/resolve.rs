//! First stage: each step by itself. Its operator, its keys, and which steps its references name.

use flow_spec::{Diagnostic, Place, Reference, Span, Step, Value, help_with_names, validate};

use crate::draft::{Draft, Source};
use crate::keys::{mended, whole};
use crate::schema::step_schema;
use crate::{Arity, Signature, codes};

/// Finds the operator of each step and checks its keys by the operator's schema.
pub(crate) fn operators<'a>(draft: &mut Draft<'a>, catalog: &[&'a dyn Signature]) {
    for at in 0..draft.steps.len() {
        let step = draft.steps[at].spec;
        let Some(op) = &step.op else { continue };
        match catalog.iter().find(|signature| signature.name() == op) {
            Some(signature) => {
                draft.steps[at].signature = Some(*signature);
                check_keys(draft, at, *signature);
            }
            None => unknown_operator(draft, step, op, catalog),
        }
    }
}

fn unknown_operator(draft: &mut Draft<'_>, step: &Step, op: &str, catalog: &[&dyn Signature]) {
    let names: Vec<&str> = catalog.iter().map(|signature| signature.name()).collect();
    let span = step.node.get("op").map_or(step.name_span, |node| node.span);
    let words = format!("unknown operator `{op}` of step `{}`", step.name);
    draft.report(Diagnostic::new(&codes::UNKNOWN_OPERATOR, span, words).help(help_with_names(
        op,
        "operators",
        &names,
    )));
}

fn check_keys(draft: &mut Draft<'_>, at: usize, signature: &dyn Signature) {
    let step = draft.steps[at].spec;
    let own = signature.config_schema();
    let takes_from = signature.arity() != Arity::None || step.node.entry("from").is_some();
    let schema = step_schema(&own, takes_from);
    let what = format!("step `{}` (`{}`)", step.name, signature.name());
    let mistakes = validate(&step.node, &schema, Place { what: Some(&what), span: step.name_span });
    let config = if mistakes.is_empty() { whole(&step.node, &own) } else { mended(&step.node, &own) };
    draft.steps[at].config = Some(config);
    mistakes.into_iter().for_each(|mistake| draft.report(mistake));
}

/// Finds the steps that each `from` names.
pub(crate) fn references(draft: &mut Draft<'_>) {
    for at in 0..draft.steps.len() {
        let step = draft.steps[at].spec;
        check_arity(draft, at);
        let sources: Vec<Source<'_>> =
            step.from.iter().filter_map(|(reference, span)| find_source(draft, reference, *span)).collect();
        draft.steps[at].sources_are_whole = step.from_is_whole && sources.len() == step.from.len();
        draft.steps[at].sources = sources;
    }
}

fn find_source<'a>(draft: &mut Draft<'a>, reference: &'a Reference, span: Span) -> Option<Source<'a>> {
    let step = draft.by_name.get(reference.step.as_str()).copied();
    if step.is_none() {
        unknown_step(draft, &reference.step, span);
    }
    Some(Source { step: step?, port: reference.port.as_deref(), span })
}

/// Reports a name that is no step's.
pub(crate) fn unknown_step(draft: &mut Draft<'_>, name: &str, span: Span) {
    let help = help_with_names(name, "steps", &draft.names());
    draft
        .report(Diagnostic::new(&codes::UNKNOWN_STEP, span, format!("there is no step `{name}`")).help(help));
}

fn check_arity(draft: &mut Draft<'_>, at: usize) {
    let step = draft.steps[at].spec;
    let Some(signature) = draft.steps[at].signature else { return };
    let from = step.node.entry("from").filter(|from| from.value.value != Value::Null);
    match (signature.arity(), from) {
        (Arity::None, Some(from)) => {
            let words = format!("step `{}` has `from`, but `{}` takes no rows", step.name, signature.name());
            draft.report(Diagnostic::new(&codes::UNWANTED_INPUT, from.key_span, words).help("remove `from`"));
        }
        (Arity::One, None) => {
            let words = format!("step `{}` has no `from`, but `{}` needs rows", step.name, signature.name());
            let help = "add `from: STEP`, naming the step whose rows it takes";
            draft.report(Diagnostic::new(&codes::NO_INPUT, step.name_span, words).help(help));
        }
        _ => {}
    }
}
