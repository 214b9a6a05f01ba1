//! Right pipelines: order, edges, columns, models, rounds, digests, graphs, the schema for editors.

mod catalog;

use std::collections::BTreeSet;

use catalog::CATALOG;
use flow_plan::{Edge, ModelRef, Outlet, Plan, audit, graph, pipeline_schema, plan};
use flow_spec::{Options, read, render};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const PIPELINE: &str = r"
version: 1
name: think
seed: 17
models:
  policy: {path: models/tiny}
  judge: {path: models/judge}
steps:
  scores: {op: sample, from: questions, model: learner}
  measured: {op: write, from: scores, path: out/measured}
  questions: {op: read, path: q.jsonl}
  attempts: {op: sample, from: questions, model: policy, n: 4}
  checked: {op: sample, from: questions, model: judge}
  graded: {op: verify, from: attempts}
  chosen: {op: balance, from: [graded.equal, graded.unknown], per: prompt_id, at_most: 1}
  learner: {op: train, from: chosen, start: policy}
  lost: {op: write, from: [graded.rejected, chosen.rejected], path: out/lost}
  other: {op: write, from: checked, path: out/other}
rounds: {count: 3, feed: {policy: learner}}
tests:
  - step: graded
    given: [{completion: '4', answer: '4'}]
    expect: {equal: 1, rejected: [{reason: none}]}
";

fn planned(text: &str) -> Plan {
    let reading = read("p.yaml", text, &Options::default());
    let spec = reading.spec.expect("a pipeline");
    let (plan, found) = plan(&spec, CATALOG);
    let told: Vec<String> =
        reading.diagnostics.iter().chain(&found).map(|one| render(one, &reading.sources)).collect();
    assert!(told.is_empty(), "{}", told.join("\n"));
    plan.expect("no mistake, so a plan")
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.steps.iter().map(|step| step.name.as_str()).collect()
}

#[test]
fn producers_come_first_and_ties_keep_the_order_of_the_text() {
    let plan = planned(PIPELINE);
    assert_eq!(
        names(&plan),
        [
            "questions",
            "attempts",
            "checked",
            "graded",
            "chosen",
            "learner",
            "scores",
            "measured",
            "lost",
            "other"
        ]
    );
    let at = |name: &str| plan.step(name).unwrap();
    let chosen = &plan.steps[at("chosen")];
    let edge = |port| Edge { step: at("graded"), outlet: Outlet::Port(port) };
    assert_eq!(chosen.inputs[0].edges, [edge(0), edge(2)]);
    assert_eq!(plan.reference(chosen.inputs[0].edges[1]), "graded.unknown");
    assert_eq!(plan.columns(edge(2)), &chosen.inputs[0].columns);
    assert_eq!(plan.steps[at("scores")].models[0].model, ModelRef::Step(at("learner")));
    assert_eq!(plan.steps[at("learner")].models[0].model, ModelRef::Declared("policy".to_owned()));
    assert_eq!(plan.rounds.as_ref().unwrap().feed[0].step, at("learner"));
    assert_eq!(plan.tests[0].step, at("graded"));
    let outlets: Vec<Outlet> = plan.tests[0].expect.iter().map(|(outlet, _)| *outlet).collect();
    assert_eq!(outlets, [Outlet::Port(0), Outlet::Rejected]);
}

#[test]
fn steps_behind_a_fed_model_differ_by_round() {
    let plan = planned(PIPELINE);
    let steady: Vec<&str> =
        plan.steps.iter().filter(|step| !step.per_round).map(|step| step.name.as_str()).collect();
    assert_eq!(steady, ["questions", "checked", "other"]);
    let plan = planned(&PIPELINE.replace("rounds: {count: 3, feed: {policy: learner}}", ""));
    assert!(plan.steps.iter().all(|step| !step.per_round));
}

#[test]
fn a_union_has_the_columns_of_all_and_rejected_rows_their_reason() {
    let text = "version: 1\nname: a\nmodels: {m: {path: m}}\nsteps:
  q: {op: read, path: q.jsonl}
  d: {op: sample, from: q, model: m}
  both: {op: balance, from: [d, q], per: level, at_most: 2}
  s: {op: write, from: [both, both.rejected], path: out}";
    let plan = planned(text);
    let columns = |name: &str| {
        let step = &plan.steps[plan.step(name).unwrap()];
        step.inputs[0].columns.names().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(columns("both"), ["prompt_id", "prompt", "answer", "level"]);
    assert_eq!(columns("s"), columns("both"));
    let both = &plan.steps[plan.step("both").unwrap()];
    let rejected: Vec<&str> = both.rejected.names().collect();
    assert_eq!(rejected, ["prompt_id", "prompt", "answer", "level", "reason", "detail"]);
}

#[test]
fn digests_follow_content_and_nothing_else() {
    let base = planned(PIPELINE);
    let digest = |plan: &Plan, name: &str| plan.steps[plan.step(name).unwrap()].digest;
    let changed = |from: &str, to: &str| {
        assert!(PIPELINE.contains(from), "{from}");
        let plan = planned(&PIPELINE.replace(from, to));
        let changed: BTreeSet<String> = names(&base)
            .into_iter()
            .filter(|name| digest(&base, name) != digest(&plan, name))
            .map(str::to_owned)
            .collect();
        changed.into_iter().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(changed("seed: 17", "seed: 17 # a comment"), "");
    assert_eq!(changed("seed: 17", "seed: 18"), "", "the seed is part of requests, not of the plan");
    assert_eq!(changed("model: policy, n: 4", "n: 4, model: policy"), "");
    assert_eq!(changed("model: judge", "model: judge, temperature: 0, n: 1"), "", "defaults written out");
    assert_eq!(
        changed("model: policy, n: 4", "model: policy, n: 5"),
        "attempts chosen graded learner lost measured scores"
    );
    assert_eq!(changed("models/judge", "models/judge2"), "checked other");
    assert_eq!(changed("at_most: 1", "at_most: 2"), "chosen learner lost measured scores");
    assert_eq!(
        changed("graded.equal, graded.unknown", "graded.equal, graded.different"),
        "chosen learner lost measured scores"
    );
    let renamed = planned(&PIPELINE.replace("attempts", "tries"));
    assert_eq!(digest(&renamed, "learner"), digest(&base, "learner"), "names are not content");
}

#[test]
fn secrets_are_not_part_of_digests() {
    let text = "version: 1\nname: a\nenv: {KEY: {secret: true}}\nsteps:
  q: {op: read, path: q.jsonl}
  s: {op: write, from: q, path: out, key: 'k${KEY}'}";
    let with = |value: &str| {
        let environment = [("KEY".to_owned(), value.to_owned())].into();
        let reading = read("p.yaml", text, &Options { environment, ..Options::default() });
        plan(&reading.spec.unwrap(), CATALOG).0.unwrap()
    };
    let (one, other) = (with("abc"), with("xyz"));
    assert_eq!(one.steps[1].config["key"], "kabc");
    assert_eq!(one.steps[1].digest, other.steps[1].digest);
}

#[test]
fn graphs_draw_steps_models_and_rounds() {
    let text = "version: 1\nname: a\nmodels: {policy: {path: m}}\nsteps:
  q: {op: read, path: q.jsonl}
  d: {op: sample, from: q, model: policy}
  v: {op: verify, from: d}
  l: {op: train, from: v.unknown, start: policy}
  lost: {op: write, from: v.rejected, path: out}
rounds: {count: 2, feed: {policy: l}}";
    let plan = planned(text);
    assert_eq!(
        graph::mermaid(&plan),
        r#"flowchart LR
  m0(["policy"])
  s0["q<br/>read"]
  s1["d<br/>sample"]
  s2["v<br/>verify"]
  s3["l<br/>train"]
  s4["lost<br/>write"]
  s0 --> s1
  m0 -.->|model| s1
  s1 --> s2
  s2 -->|unknown| s3
  m0 -.->|start| s3
  s2 -->|rejected| s4
  s3 -.->|next round| m0
"#
    );
    let dot = graph::dot(&plan);
    assert!(dot.starts_with("digraph flow {\n") && dot.ends_with("}\n"));
    assert!(dot.contains("  s2 -> s3 [label=\"unknown\"];\n"));
    assert!(dot.contains("  s3 -> m0 [label=\"next round\", style=dashed];\n"));
}

#[test]
fn the_catalog_passes_its_audit() {
    assert_eq!(audit(CATALOG), Vec::<String>::new());
    assert!(!audit(&[CATALOG[0], CATALOG[0]]).is_empty(), "a double name is a fault");
}

#[test]
fn the_schema_for_editors_is_closed_under_references() {
    let schema = pipeline_schema(CATALOG);
    let mut references = Vec::new();
    collect(&schema, &mut references);
    assert!(references.len() > CATALOG.len());
    for reference in &references {
        assert!(schema.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    let train = &schema["$defs"]["operators"]["train"];
    assert_eq!(train["required"], json!(["op", "from", "start"]));
    assert_eq!(train["additionalProperties"], json!(false));
    let keys: Vec<&str> = train["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["op", "from", "start", "epochs", "moe", "learning_rate", "schedule"]);
    assert_eq!(schema["$defs"]["operators"]["read"]["required"], json!(["op", "path"]));
}

fn collect(schema: &Json, references: &mut Vec<String>) {
    match schema {
        Json::Object(map) => map.iter().for_each(|(key, value)| match value {
            Json::String(reference) if key == "$ref" => references.push(reference.clone()),
            value => collect(value, references),
        }),
        Json::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

proptest! {
    /// Words of the pipeline replaced by others of it, or dropped.
    #[test]
    fn there_is_a_plan_or_an_error_never_neither(changes in proptest::collection::vec((0usize..200, 0usize..200), 1..4)) {
        let mut words: Vec<&str> = PIPELINE.split_inclusive([' ', ',', '}', '\n']).collect();
        for (at, from) in changes {
            let (at, from) = (at % words.len(), from % (words.len() + 10));
            words[at] = words.get(from).copied().unwrap_or_default();
        }
        let reading = read("p.yaml", &words.concat(), &Options::default());
        let mut errors = reading.diagnostics.iter().filter(|one| one.is_error()).count();
        let mut plan_made = false;
        if let Some(spec) = &reading.spec {
            let (plan, found) = plan(spec, CATALOG);
            errors += found.iter().filter(|one| one.is_error()).count();
            plan_made = plan.is_some();
        }
        prop_assert_eq!(plan_made, errors == 0);
    }
}

#[test]
fn a_plan_until_a_step_has_what_it_rests_on() {
    let whole = planned(PIPELINE);
    let until = |name: &str| {
        let plan = whole.until(whole.step(name).unwrap());
        let edges = plan.steps.iter().flat_map(|step| &step.inputs).flat_map(|inlet| &inlet.edges);
        assert!(edges.map(|edge| edge.step).all(|step| step < plan.steps.len()));
        (names(&plan).join(" "), plan)
    };
    let (other, plan) = until("other");
    assert_eq!(other, "questions checked other");
    let models = |plan: &Plan| plan.models.keys().cloned().collect::<Vec<_>>();
    assert_eq!(models(&plan), ["judge"], "models of other steps need not be there");
    assert_eq!(models(&until("attempts").1), ["policy"]);
    let (loops, plan) = until("attempts");
    assert_eq!(loops, "questions attempts graded chosen learner", "round 2 draws from what round 1 trained");
    assert_eq!(plan.rounds.unwrap().feed[0].step, 4);
    assert_eq!(until("lost").0, "questions attempts graded chosen learner lost");
}

#[test]
fn what_is_behind_a_step_rests_on_it() {
    let plan = planned(PIPELINE);
    let behind = |name: &str| {
        let steps = plan.behind(plan.step(name).unwrap());
        steps.into_iter().map(|at| plan.steps[at].name.as_str()).collect::<BTreeSet<_>>()
    };
    assert_eq!(behind("checked"), BTreeSet::from(["checked", "other"]));
    assert_eq!(behind("measured"), BTreeSet::from(["measured"]));
    assert!(behind("learner").contains("attempts"), "the next round draws from it");
}
