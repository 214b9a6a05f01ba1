//! The examples of `flow explain`: the wrong one has the mistake, the right one has none. And codes are unique.

mod catalog;

use std::collections::BTreeSet;

use flow_plan::plan;
use flow_spec::{Code, Diagnostic, Options, read};

/// The mistakes of an example: a piece of YAML, completed by what every pipeline has, or a command line.
fn mistakes(example: &str) -> Vec<Diagnostic> {
    let mut options = Options::default();
    let mut text = String::new();
    match example.strip_prefix("flow ") {
        Some(command) => {
            let words: Vec<&str> = command.split(' ').collect();
            for pair in words.windows(2) {
                match pair[0] {
                    "--set" => options.set.push(pair[1].to_owned()),
                    "--profile" => options.profile = Some(pair[1].to_owned()),
                    _ => {}
                }
            }
        }
        None => text.push_str(example),
    }
    if example.contains("profiles: {laptop") {
        options.profile = Some("laptop".to_owned());
    }
    let parts = [
        ("version", "version: 1"),
        ("name", "name: example"),
        ("steps", "steps: {q: {op: read, path: q.jsonl}, s: {op: write, from: q, path: out}}"),
    ];
    for (key, line) in parts {
        if !example.lines().any(|written| written.starts_with(&format!("{key}:"))) {
            text = format!("{line}\n{text}");
        }
    }
    let reading = read("example.yaml", &text, &options);
    let planned = reading.spec.map(|spec| plan(&spec, catalog::CATALOG).1);
    reading.diagnostics.into_iter().chain(planned.into_iter().flatten()).collect()
}

#[test]
fn wrong_examples_have_the_mistake_and_right_ones_do_not() {
    for Code { id, wrong, right, .. } in flow_spec::codes::CODES.iter().chain(flow_plan::codes::CODES) {
        let found: Vec<&str> = mistakes(wrong).iter().map(|mistake| mistake.code).collect();
        assert!(found.contains(id), "{id}: the wrong example gives {found:?}");
        let planned = id.starts_with("E03") || id.starts_with('W');
        let left: Vec<Diagnostic> =
            mistakes(right).into_iter().filter(|mistake| planned || mistake.code == *id).collect();
        assert!(left.is_empty(), "{id}: the right example gives {left:#?}");
    }
}

#[test]
fn codes_are_unique_and_in_order() {
    let ids: Vec<&str> =
        flow_spec::codes::CODES.iter().chain(flow_plan::codes::CODES).map(|code| code.id).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
}
