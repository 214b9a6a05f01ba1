//! Second stage: what flows. Ports of references, unions, and each operator's own word on its inputs.

use flow_data::{Column, Columns, kind};
use flow_spec::codes::REPEATED;
use flow_spec::{Diagnostic, Span, help_with_names};
use serde_json::Value as Json;

use crate::draft::{Draft, Source, first_key};
use crate::schema::with_defaults;
use crate::{Arity, Edge, Inlet, Input, Outlet, Problem, Shape, codes};

/// Asks each operator for its shape, in the order of work and then those in circles or behind them. Where mistakes hide
/// what arrives, ports and models are found nevertheless.
pub(crate) fn shapes(draft: &mut Draft<'_>, order: &[usize]) {
    let rest: Vec<usize> = (0..draft.steps.len()).filter(|at| !order.contains(at)).collect();
    for at in order.iter().copied().chain(rest) {
        let inlets = inlets(draft, at);
        draft.steps[at].has_columns = inlets.is_some();
        draft.steps[at].inlets = inlets.unwrap_or_default();
        shape(draft, at);
    }
}

/// The columns of `.rejected`: those that arrive, followed by the record `reject`.
pub(crate) fn rejected(inlets: &[Inlet]) -> Columns {
    let reject = kind("reject").columns();
    inlets.first().map_or_else(|| reject.clone(), |inlet| inlet.columns.extended(reject))
}

/// The streams that arrive, or `None` when something on the way is wrong.
fn inlets(draft: &mut Draft<'_>, at: usize) -> Option<Vec<Inlet>> {
    if draft.steps[at].signature?.arity() == Arity::None {
        return Some(Vec::new());
    }
    let sources = std::mem::take(&mut draft.steps[at].sources);
    let parts: Vec<Option<Inlet>> = sources.iter().map(|source| inlet(draft, source)).collect();
    let parts: Option<Vec<Inlet>> = parts.into_iter().collect();
    let parts = parts.filter(|parts| draft.steps[at].sources_are_whole && !parts.is_empty());
    let inlets = parts.and_then(|parts| {
        refuse_repeated(draft, &sources, &parts);
        Some(vec![union(draft, &sources, parts)?])
    });
    draft.steps[at].sources = sources;
    inlets
}

/// The stream of one reference; `None` when its port does not exist or its columns are not known.
fn inlet(draft: &mut Draft<'_>, source: &Source<'_>) -> Option<Inlet> {
    let producer = &draft.steps[source.step];
    let shape = producer.shape.as_ref()?;
    let outlet = source.port.map_or(Some(Outlet::Port(0)), |name| outlet(shape, name));
    let columns = match outlet {
        Some(Outlet::Port(port)) => shape.ports.get(port)?.columns.clone(),
        Some(Outlet::Rejected) => rejected(&producer.inlets),
        None => {
            unknown_port(draft, source.step, source.port.unwrap_or_default(), source.span);
            return None;
        }
    };
    let edges = vec![Edge { step: source.step, outlet: outlet? }];
    producer.has_columns.then_some(Inlet { edges, columns })
}

/// The outlet that `name` means.
pub(crate) fn outlet(shape: &Shape, name: &str) -> Option<Outlet> {
    match shape.ports.iter().position(|port| port.name == name) {
        Some(port) => Some(Outlet::Port(port)),
        None => (name == "rejected").then_some(Outlet::Rejected),
    }
}

/// Reports a port that the step does not have.
pub(crate) fn unknown_port(draft: &mut Draft<'_>, step: usize, port: &str, span: Span) {
    let producer = &draft.steps[step];
    let ports = producer.shape.iter().flat_map(|shape| shape.ports.iter().map(|port| port.name.as_str()));
    let help = help_with_names(port, "ports", &ports.chain(["rejected"]).collect::<Vec<_>>());
    let words = format!("step `{}` has no port `{port}`", producer.spec.name);
    let diagnostic = Diagnostic::new(&codes::UNKNOWN_PORT, span, words)
        .related(producer.spec.name_span, "the step")
        .help(help);
    draft.report(diagnostic);
}

/// Reports parts that are the same rows under two names: `graded` and `graded.equal`. One name twice is a mistake of form.
fn refuse_repeated(draft: &mut Draft<'_>, sources: &[Source<'_>], parts: &[Inlet]) {
    for (at, part) in parts.iter().enumerate() {
        let same = |first: usize| parts[first].edges == part.edges && sources[first].port != sources[at].port;
        if let Some(first) = (0..at).find(|first| same(*first)) {
            let words = format!("rows of step `{}` are named twice", draft.steps[sources[at].step].spec.name);
            let diagnostic = Diagnostic::new(&REPEATED, sources[at].span, words)
                .label("these are")
                .related(sources[first].span, "the same rows");
            draft.report(diagnostic);
        }
    }
}

/// All parts as one stream; `None` when a column has several types.
fn union(draft: &mut Draft<'_>, sources: &[Source<'_>], parts: Vec<Inlet>) -> Option<Inlet> {
    let first = &parts[0].columns;
    let edges = parts.iter().flat_map(|part| part.edges.clone()).collect();
    if parts.iter().all(|part| part.columns == *first) {
        return Some(Inlet { edges, columns: first.clone() });
    }
    let (mut shared, mut clashes) = (Vec::new(), Vec::new());
    for (_, column) in first.visible() {
        let others: Vec<Option<&Column>> =
            parts[1..].iter().map(|part| part.columns.get(&column.name)).collect();
        let clash = others.iter().position(|other| other.is_some_and(|other| other.kind != column.kind));
        match (clash, others.iter().copied().collect::<Option<Vec<_>>>()) {
            (Some(other), _) => clashes.push((column, other + 1)),
            (None, Some(others)) => {
                let nullable = column.nullable || others.iter().any(|other| other.nullable);
                shared.push(Column { nullable, ..column.clone() });
            }
            (None, None) => {}
        }
    }
    clashes.iter().for_each(|(column, other)| {
        report_clash(draft, column, &sources[0], &sources[*other], &parts[*other])
    });
    clashes.is_empty().then(|| Inlet { edges, columns: Columns::new(shared) })
}

/// Reports a column that has one type in `first` and another in `other`.
fn report_clash(
    draft: &mut Draft<'_>,
    column: &Column,
    first: &Source<'_>,
    other: &Source<'_>,
    part: &Inlet,
) {
    let Some(clashing) = part.columns.get(&column.name) else { return };
    let name = |source: &Source<'_>| draft.steps[source.step].spec.name.as_str();
    let words = format!(
        "column `{}` is {} in `{}` and {} in `{}`",
        column.name,
        column.kind,
        name(first),
        clashing.kind,
        name(other)
    );
    let diagnostic = Diagnostic::new(&codes::UNION, other.span, words)
        .label(format!("{} here", clashing.kind))
        .related(first.span, format!("{} here", column.kind));
    draft.report(diagnostic);
}

/// Finds the operator's shape and reports its problems.
fn shape(draft: &mut Draft<'_>, at: usize) {
    let Some(Word { shape, has_columns, problems }) = word(draft, at) else { return };
    draft.steps[at].shape = shape;
    draft.steps[at].has_columns = has_columns;
    problems.into_iter().for_each(|problem| report(draft, at, problem));
}

/// What the operator says to its keys and inputs.
struct Word {
    /// Despite problems: the shape without the keys that they are about, else the shape for any input.
    shape: Option<Shape>,
    has_columns: bool,
    /// Those that follow from no mistake told before.
    problems: Vec<Problem>,
}

fn word(draft: &Draft<'_>, at: usize) -> Option<Word> {
    let step = &draft.steps[at];
    let (signature, config) = (step.signature?, step.config.as_ref()?);
    let nothing = Columns::default();
    let blind = match signature.arity() {
        Arity::None => Vec::new(),
        Arity::One => vec![Input::unknown(&nothing)],
    };
    let names: Vec<String> = step.inlets.iter().map(|inlet| written(draft, inlet)).collect();
    let inputs = std::iter::zip(&names, &step.inlets).map(|(reference, inlet)| Input {
        reference,
        columns: &inlet.columns,
        is_known: true,
    });
    let mut inputs: Vec<Input<'_>> = inputs.collect();
    if !step.has_columns {
        inputs.clone_from(&blind);
    }
    let has_columns = step.has_columns && config.is_sure;
    let mut problems = match signature.shape(&config.real, &inputs) {
        Ok(shape) => return Some(Word { shape: Some(shape), has_columns, problems: Vec::new() }),
        Err(problems) => problems,
    };
    let (rest, dropped_plain) = without(&config.real, &problems, &signature.config_schema());
    let other = config.other.as_ref().map(|other| signature.shape(other, &inputs).err().unwrap_or_default());
    problems.retain(|problem| {
        let of_inputs = first_key(&problem.path) == "from" && !step.has_columns;
        let follows = other.as_ref().is_some_and(|other| !other.contains(problem));
        !of_inputs && !follows && !config.is_broken(&problem.path)
    });
    Some(match signature.shape(&rest, &inputs) {
        Ok(shape) => Word { shape: Some(shape), has_columns: has_columns && dropped_plain, problems },
        Err(_) => Word { shape: signature.shape(&rest, &blind).ok(), has_columns: false, problems },
    })
}

/// The config with defaults for the keys that `problems` name, and whether all those were numbers or texts.
fn without(config: &Json, problems: &[Problem], schema: &Json) -> (Json, bool) {
    let mut rest = config.clone();
    let mut all_plain = true;
    for problem in problems {
        let dropped = rest.as_object_mut().and_then(|keys| keys.shift_remove(first_key(&problem.path)));
        all_plain &= !dropped.is_some_and(|value| value.is_object() || value.is_array());
    }
    (with_defaults(rest, schema), all_plain)
}

/// The references of a stream as the user would write them.
fn written(draft: &Draft<'_>, inlet: &Inlet) -> String {
    let reference = |edge: &Edge| {
        let producer = &draft.steps[edge.step];
        let name = &producer.spec.name;
        match (edge.outlet, &producer.shape) {
            (Outlet::Rejected, _) => format!("{name}.rejected"),
            (Outlet::Port(port), Some(shape)) if port > 0 => format!("{name}.{}", shape.ports[port].name),
            _ => name.clone(),
        }
    };
    inlet.edges.iter().map(reference).collect::<Vec<_>>().join(" + ")
}

/// Reports an operator's problem at the key it names; for columns also where the rows come from.
fn report(draft: &mut Draft<'_>, at: usize, problem: Problem) {
    let step = &draft.steps[at];
    let node = step.config.as_ref().and_then(|config| config.node.at(&problem.path));
    let span = node.filter(|_| !problem.path.is_empty()).map_or(step.spec.name_span, |node| node.span);
    let mut diagnostic = Diagnostic::new(problem.code, span, problem.message);
    diagnostic.help = problem.help;
    if [codes::MISSING_COLUMN.id, codes::COLUMN_TYPE.id].contains(&problem.code.id) {
        let producers = step.inlets.iter().flat_map(|inlet| &inlet.edges);
        diagnostic.related = producers
            .map(|edge| {
                let producer = draft.steps[edge.step].spec;
                (producer.name_span, format!("`{}` makes the rows", producer.name))
            })
            .collect();
    }
    draft.report(diagnostic);
}
