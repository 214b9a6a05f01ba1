//! Second stage: what flows. Ports of references, unions, and each operator's own word on its inputs.

use flow_data::{Column, Columns, kind};
use flow_spec::codes::REPEATED;
use flow_spec::{Diagnostic, Span, help_with_names};

use crate::draft::{Draft, Source};
use crate::{Arity, Edge, Inlet, Input, Outlet, Problem, Shape, codes};

/// Asks each operator for its shape, in the order of work. A step whose producer has none is passed over.
pub(crate) fn shapes(draft: &mut Draft<'_>, order: &[usize]) {
    for at in order.iter().copied() {
        if let Some(inlets) = inlets(draft, at) {
            draft.steps[at].inlets = inlets;
            draft.steps[at].shape = shape(draft, at);
        }
    }
}

/// The columns of `.rejected`.
pub(crate) fn rejected(shape: &Shape, inlets: &[Inlet]) -> Columns {
    let reject = kind("reject").columns();
    match (&shape.rejected, inlets) {
        (Some(columns), _) => columns.clone(),
        (None, [only]) => only.columns.extended(reject),
        (None, _) => reject.clone(),
    }
}

/// The streams that arrive, or `None` when something on the way is wrong.
fn inlets(draft: &mut Draft<'_>, at: usize) -> Option<Vec<Inlet>> {
    let arity = draft.steps[at].signature?.arity();
    let sources = draft.steps[at].sources.take()?;
    let mut known: Option<Vec<Inlet>> = Some(Vec::new());
    for source in &sources {
        let inlet = inlet(draft, source);
        known = known.and_then(|mut known| {
            known.push(inlet?);
            Some(known)
        });
    }
    let known = known.filter(|known| known.is_empty() == (arity == Arity::None));
    let inlets = match arity {
        Arity::One => known.and_then(|parts| {
            refuse_repeated(draft, &sources, &parts);
            Some(vec![union(draft, &sources, parts)?])
        }),
        Arity::None | Arity::Many => known,
    };
    draft.steps[at].sources = Some(sources);
    inlets
}

/// The stream of one reference.
fn inlet(draft: &mut Draft<'_>, source: &Source<'_>) -> Option<Inlet> {
    let producer = &draft.steps[source.step];
    let shape = producer.shape.as_ref()?;
    let (outlet, columns) = match source.port {
        None => (Outlet::Port(0), shape.ports.first()?.columns.clone()),
        Some(name) => match outlet(shape, name) {
            Some(outlet @ Outlet::Port(port)) => (outlet, shape.ports[port].columns.clone()),
            Some(Outlet::Rejected) => (Outlet::Rejected, rejected(shape, &producer.inlets)),
            None => {
                unknown_port(draft, source.step, name, source.span);
                return None;
            }
        },
    };
    Some(Inlet { edges: vec![Edge { step: source.step, outlet }], columns })
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

/// The operator's word.
fn shape(draft: &mut Draft<'_>, at: usize) -> Option<Shape> {
    let step = &draft.steps[at];
    let signature = step.signature?;
    let config = step.config.as_ref()?;
    let names: Vec<String> = step.inlets.iter().map(|inlet| written(draft, inlet)).collect();
    let inputs: Vec<Input<'_>> = std::iter::zip(&names, &step.inlets)
        .map(|(reference, inlet)| Input { reference, columns: &inlet.columns })
        .collect();
    match signature.shape(&config.real, &inputs) {
        Ok(shape) => Some(shape),
        Err(problems) => {
            problems.into_iter().for_each(|problem| report(draft, at, problem));
            None
        }
    }
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
    let span = match problem.path.as_str() {
        "" => step.spec.name_span,
        path => step.spec.node.at(path).map_or(step.spec.name_span, |node| node.span),
    };
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
