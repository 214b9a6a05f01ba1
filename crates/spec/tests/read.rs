//! Text to spec: what does not change it, what overlays and variables do, and where things stand.

use flow_spec::{Node, Options, Reading, Severity, Spec, Value, read, render, to_json};
use proptest::prelude::*;
use serde_json::json;

const PIPELINE: &str = r"
version: 1
name: think
seed: 3
models:
  policy: {path: models/a}
steps:
  questions: {op: read, path: q.jsonl, fields: {prompt: question}}
  attempts: {op: sample, from: questions, model: policy, n: 10, stop: [end]}
  graded: {op: verify, from: [attempts, questions.rejected]}
rounds: {count: 3, feed: {policy: learner}, gate: graded}
tests:
  - step: graded
    given: [{completion: '4'}]
    expect: {equal: 1, different: [{score: 2}]}
profiles:
  laptop: {steps.attempts.n: 2, steps.attempts.temperature: 0.5, seed: 9}
";

fn clean(text: &str, options: &Options) -> Spec {
    let Reading { sources, diagnostics, spec } = read("p.yaml", text, options);
    let told: Vec<String> = diagnostics.iter().map(|diagnostic| render(diagnostic, &sources)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    spec.expect("a pipeline without mistakes")
}

fn codes(text: &str, options: &Options) -> Vec<&'static str> {
    read("p.yaml", text, options).diagnostics.iter().map(|diagnostic| diagnostic.code).collect()
}

fn step<'a>(spec: &'a Spec, name: &str) -> &'a Node {
    &spec.steps.iter().find(|step| step.name == name).unwrap().node
}

#[test]
fn a_pipeline_is_read_whole() {
    let spec = clean(PIPELINE, &Options::default());
    assert!(spec.is_complete());
    assert_eq!((spec.name.as_str(), spec.seed, spec.out.as_str()), ("think", 3, "out/think"));
    assert_eq!(spec.models["policy"].folder(), Some("models/a"));
    let names: Vec<&str> = spec.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["questions", "attempts", "graded"]);
    let from: Vec<String> = spec.steps[2].from.iter().map(|(reference, _)| reference.to_string()).collect();
    assert_eq!(from, ["attempts", "questions.rejected"]);
    let rounds = spec.rounds.as_ref().unwrap();
    assert_eq!((rounds.count.get(), rounds.feed["policy"].as_str()), (3, "learner"));
    assert_eq!(spec.tests[0].1.given[0]["completion"], json!("4"));
}

#[test]
fn comments_key_order_style_and_anchors_do_not_matter() {
    let other = r#"
# A comment.
steps:
  questions:
    path: "q.jsonl"   # Quoted.
    op: read
    fields: &fields {prompt: question}
  attempts: &attempts
    from: [questions]
    stop:
      - end
    op: sample
    n: 0xa
    model: policy
  graded: {from: [attempts, questions.rejected], op: verify}
name: think
seed: +3
version: 1
models: {policy: {path: models/a}}
"#;
    let (one, other) = (clean(PIPELINE, &Options::default()), clean(other, &Options::default()));
    for (step, name) in [(&one.steps[0], "questions"), (&one.steps[1], "attempts"), (&one.steps[2], "graded")]
    {
        let mut jsons =
            [step.node.to_json(), other.steps.iter().find(|step| step.name == name).unwrap().node.to_json()];
        for json in &mut jsons {
            json["from"] = json!(null);
            json.sort_all_objects();
        }
        assert_eq!(jsons[0], jsons[1], "{name}");
    }
    assert_eq!((one.seed, one.models), (other.seed, other.models));
}

#[test]
fn aliases_copy_and_merges_add_what_is_not_written() {
    let text = r"
version: 1
name: a
steps:
  one: &one {op: sample, n: 1, stop: &stop [x, y]}
  two: {<<: *one, n: 2, other: *stop}
  three: {n: 3, <<: [{n: 4, m: 5}, *one]}
";
    let spec = clean(text, &Options::default());
    assert_eq!(
        step(&spec, "two").to_json(),
        json!({"n": 2, "other": ["x", "y"], "op": "sample", "stop": ["x", "y"]})
    );
    assert_eq!(step(&spec, "three").to_json(), json!({"n": 3, "m": 5, "op": "sample", "stop": ["x", "y"]}));
}

#[test]
fn aliases_of_aliases_are_bounded() {
    let mut text = "version: 1\nname: a\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 9].join(", ");
        text += &format!("a{level}: &a{level} [{items}]\n");
    }
    assert_eq!(codes(&text, &Options::default()), ["E0006"]);
    let deep = format!(
        "version: 1\na: &a {}x{}\nb: {}*a{}",
        "[".repeat(40),
        "]".repeat(40),
        "[".repeat(40),
        "]".repeat(40)
    );
    assert_eq!(codes(&deep, &Options::default()), ["E0005"]);
}

#[test]
fn profiles_and_sets_change_the_tree_in_order() {
    let options = Options {
        profile: Some("laptop".to_owned()),
        set: [
            "steps.attempts.n=3",
            "steps.attempts.stop=[a, 'b c']",
            "steps.attempts.stop.0=z",
            "seed=0x10",
            "name=x=y",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Options::default()
    };
    let Reading { diagnostics, spec, .. } = read("p.yaml", PIPELINE, &options);
    assert_eq!(
        diagnostics.iter().map(|one| one.message.as_str()).collect::<Vec<_>>(),
        [
            "expected a name of letters, digits, `_`, `-` and `.` that begins with a letter or digit for `name`, found text `x=y`"
        ]
    );
    let spec = spec.unwrap();
    let attempts = step(&spec, "attempts").to_json();
    assert_eq!((&attempts["n"], &attempts["temperature"]), (&json!(3), &json!(0.5)));
    assert_eq!(attempts["stop"], json!(["z", "b c"]));
    assert_eq!(spec.seed, 16);
}

#[test]
fn what_a_profile_writes_stands_whatever_it_merges_in() {
    let text = "version: 1\nname: a\nmodels: {critic: {path: a}}\nsteps: {q: {op: read, path: b}}\nprofiles:\n  \
                gpu: &real {models: {actor: {path: c}, critic: {path: d}}, steps.q.path: e}\n  \
                server: {<<: *real, models.critic: {path: f}}\n";
    let options = Options { profile: Some("server".to_owned()), ..Options::default() };
    let Reading { diagnostics, spec, .. } = read("p.yaml", text, &options);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let spec = spec.unwrap();
    let folder = |name: &str| spec.models[name].folder().map(str::to_owned);
    assert_eq!([folder("actor"), folder("critic")], [Some("c".to_owned()), Some("f".to_owned())]);
    assert_eq!(step(&spec, "q").to_json()["path"], json!("e"));
}

#[test]
fn paths_of_odd_dots_lead_nowhere() {
    for set in [".🣀=a", "seed.=1", ".=1", "steps..n=1", "tests.9=1", "tests.x.step=a"] {
        let options = Options { set: vec![set.to_owned()], ..Options::default() };
        assert_eq!(codes(PIPELINE, &options), ["E0207"], "{set}");
    }
}

#[test]
fn variables_are_replaced_in_texts_only_and_never_read_again() {
    let text = r#"
version: 1
name: a
env: {DIR: {default: out}, N: {}, KEY: {secret: true}}
out: ${DIR}/${N}
steps:
  ${DIR}: {op: read}
  a: {op: write, path: "${MISSING:-x}", key: "k-${KEY}", n: "${N}", tex: "$x$ costs $$5$$ and ${2}$, $${DIR}"}
"#;
    let environment = [("N", "7"), ("KEY", "hush"), ("DIR", "a: {b: c}")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let options = Options { environment, ..Options::default() };
    assert_eq!(
        codes(text, &options),
        ["E0201", "E0203"],
        "a key is not replaced; a default does not declare"
    );
    let spec = read("p.yaml", text, &options).spec.unwrap();
    assert_eq!(spec.out, "a: {b: c}/7");
    let node = step(&spec, "a");
    assert_eq!(
        node.to_json(),
        json!({"op": "write", "path": "", "key": "k-hush", "n": "7", "tex": "$x$ costs $$5$$ and ${2}$, ${DIR}"})
    );
    assert_eq!(node.to_public_json()["key"], "k-${KEY}");
    assert_eq!(node.get("key").unwrap().describe(), "text `k-${KEY}`");
}

#[test]
fn spans_cover_what_is_written_in_any_encoding_of_lines() {
    let text = "\u{feff}version: 1\r\nname: \"größe\"\r\n# é\r\nout:\t'√2'\r\nsteps:\r\n  a: {op: read, list: [1, zwei],  last: 三}\r\n  b:\r\n    op: x\r\n    from: a\r\n\r\n";
    let Reading { sources, spec, .. } = read("p.yaml", text, &Options::default());
    let spec = spec.unwrap();
    for (path, written) in [
        ("name", "\"größe\""),
        ("out", "'√2'"),
        ("steps.a", "{op: read, list: [1, zwei],  last: 三}"),
        ("steps.a.list", "[1, zwei]"),
        ("steps.a.list.1", "zwei"),
        ("steps.a.last", "三"),
        ("steps.b", "op: x\r\n    from: a"),
    ] {
        assert_eq!(sources.text(spec.span(path)), written, "{path}");
    }
    assert_eq!(sources.text(spec.key_span("steps.a.last")), "last");
    assert_eq!(sources.text(spec.key_span("steps.b")), "b");
}

#[test]
fn json_twins_tell_the_same() {
    let Reading { sources, diagnostics, .. } =
        read("p.yaml", "version: 1\nname: é\nname: b\nsteps: {}", &Options::default());
    let told: Vec<_> = diagnostics.iter().map(|diagnostic| to_json(diagnostic, &sources)).collect();
    assert_eq!(diagnostics[0].severity, Severity::Error);
    assert_eq!(told[1]["code"], "E0002");
    assert_eq!(
        told[1],
        json!({
            "severity": "error", "code": "E0002", "message": "key `name` is written twice", "file": "p.yaml",
            "line": 3, "column": 1, "end_line": 3, "end_column": 5, "start": 20, "end": 24,
            "label": "second", "help": null,
            "related": [{
                "file": "p.yaml", "line": 2, "column": 1, "end_line": 2, "end_column": 5, "start": 11, "end": 15,
                "message": "first",
            }],
        })
    );
}

#[test]
fn an_equal_value_is_equal_wherever_it_stands() {
    let node = |text: &str| {
        clean(&format!("version: 1\nname: a\nsteps: {{a: {{op: x, v: {text}}}}}"), &Options::default())
    };
    let value = |text: &str| step(&node(text), "a").get("v").unwrap().value.clone();
    assert_eq!(value("[1, {a: b}]"), value("[ 1, {a:   b}]"));
    assert_ne!(value("1"), Value::Float(1.0));
}

proptest! {
    /// Pieces of the pipeline replaced by others of it, or by signs that mean something to YAML.
    #[test]
    fn no_edit_of_a_pipeline_panics(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..6, "[\\PC]{0,3}|[-:,&*!|>{}\\[\\]\"'#%@`\\t\\r\\n ]{0,3}"), 1..6)
    ) {
        let mut text: Vec<char> = PIPELINE.chars().collect();
        for (at, length, new) in edits {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, new.chars());
        }
        let options = Options { profile: Some("laptop".to_owned()), ..Options::default() };
        let Reading { sources, diagnostics, spec } = read("p.yaml", &text.iter().collect::<String>(), &options);
        diagnostics.iter().for_each(|diagnostic| drop(render(diagnostic, &sources)));
        prop_assert_eq!(spec.is_some_and(|spec| spec.is_complete()), diagnostics.is_empty());
    }
}
