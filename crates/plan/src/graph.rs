//! The graph as text for drawing programs.

use std::fmt::Write;

use crate::{ModelRef, Outlet, Plan};

/// Mermaid, as Markdown viewers draw it: steps as boxes, declared models rounded, models and rounds as dotted arrows.
pub fn mermaid(plan: &Plan) -> String {
    let style = Style {
        head: "flowchart LR",
        tail: "",
        step: |at, name, op| format!("  s{at}[\"{name}<br/>{op}\"]"),
        model: |at, name| format!("  m{at}([\"{name}\"])"),
        rows: |from, to, port| match port {
            "" => format!("  {from} --> {to}"),
            port => format!("  {from} -->|{port}| {to}"),
        },
        other: |from, to, words| format!("  {from} -.->|{words}| {to}"),
    };
    draw(plan, &style)
}

/// Graphviz DOT, with the same parts.
pub fn dot(plan: &Plan) -> String {
    let style = Style {
        head: "digraph flow {\n  rankdir=LR;\n  node [shape=box];",
        tail: "}\n",
        step: |at, name, op| format!("  s{at} [label=\"{name}\\n{op}\"];"),
        model: |at, name| format!("  m{at} [label=\"{name}\", shape=oval];"),
        rows: |from, to, port| match port {
            "" => format!("  {from} -> {to};"),
            port => format!("  {from} -> {to} [label=\"{port}\"];"),
        },
        other: |from, to, words| format!("  {from} -> {to} [label=\"{words}\", style=dashed];"),
    };
    draw(plan, &style)
}

/// How a language writes the parts of a graph. Names need no escape: they are identifiers.
struct Style {
    head: &'static str,
    tail: &'static str,
    step: fn(usize, &str, &str) -> String,
    model: fn(usize, &str) -> String,
    rows: fn(&str, &str, &str) -> String,
    other: fn(&str, &str, &str) -> String,
}

fn draw(plan: &Plan, style: &Style) -> String {
    let mut lines = vec![style.head.to_owned()];
    lines.extend(plan.models.keys().enumerate().map(|(at, name)| (style.model)(at, name)));
    lines.extend(plan.steps.iter().enumerate().map(|(at, step)| (style.step)(at, &step.name, step.op)));
    for (at, step) in plan.steps.iter().enumerate() {
        let to = format!("s{at}");
        for edge in step.inputs.iter().flat_map(|inlet| &inlet.edges) {
            let port = match edge.outlet {
                Outlet::Port(0) => "",
                Outlet::Port(port) => plan.steps[edge.step].ports[port].name.as_str(),
                Outlet::Rejected => "rejected",
            };
            lines.push((style.rows)(&format!("s{}", edge.step), &to, port));
        }
        lines.extend(
            step.models.iter().map(|used| (style.other)(&model_node(plan, &used.model), &to, &used.key)),
        );
    }
    for feed in plan.rounds.iter().flat_map(|rounds| &rounds.feed) {
        let to = model_node(plan, &ModelRef::Declared(feed.model.clone()));
        lines.push((style.other)(&format!("s{}", feed.step), &to, "next round"));
    }
    let mut text = String::new();
    for line in lines {
        writeln!(text, "{line}").expect("writing to a string cannot fail");
    }
    text + style.tail
}

fn model_node(plan: &Plan, model: &ModelRef) -> String {
    match model {
        ModelRef::Step(maker) => format!("s{maker}"),
        ModelRef::Declared(name) => {
            format!("m{}", plan.models.keys().position(|declared| declared == name).unwrap_or_default())
        }
    }
}
