//! What is different from the last run, in words: the reasons of a plan.

use std::collections::BTreeMap;

use flow_dataflow::Turnover;
use flow_plan::{ModelRef, Outlet, Plan, Step};
use serde_json::Value as Json;

use crate::record::{ModelRecord, Record, StepRecord, references};
use crate::turnover::{sum, words};

/// What is different for each step of `plan` by itself, its inputs' rows left out. Empty for a first run.
pub(crate) fn changes(
    plan: &Plan,
    models: &BTreeMap<String, ModelRecord>,
    computer: &str,
    last: &Record,
) -> BTreeMap<String, Vec<String>> {
    let moved = last.computer.as_ref().filter(|before| *before != computer);
    let moved = moved.map(|before| format!("trained by {before}, now by {computer}"));
    let of = |at: usize| {
        let step = &plan.steps[at];
        let words = match last.steps.get(&step.name) {
            None => vec!["the last run had no such step".to_owned()],
            Some(before) => {
                let moved = moved.clone().filter(|_| flow_operators::pace(step.op, &step.config).is_some());
                let own = step_changes(plan, at, before).chain(moved);
                own.chain(model_changes(plan, step, models, last)).collect()
            }
        };
        (step.name.clone(), words)
    };
    let mut changes: BTreeMap<String, Vec<String>> = (0..plan.steps.len()).map(of).collect();
    if plan.seed != last.seed {
        let seed = format!("seed {} to {}", last.seed, plan.seed);
        changes.values_mut().for_each(|words| words.push(seed.clone()));
    }
    changes
}

/// What is different in the rows that a step reads, and in the models it draws from, by how the rows of all steps differ.
pub(crate) fn of_rows(plan: &Plan, at: usize, turnovers: &[Vec<Turnover>]) -> Vec<String> {
    let step = &plan.steps[at];
    if step.inputs.is_empty() {
        return words(&sum(&turnovers[at])).map(|words| format!("rows: {words}")).into_iter().collect();
    }
    // Of each producer only the ports that are read.
    let mut producers: BTreeMap<usize, Vec<&Turnover>> = BTreeMap::new();
    for edge in step.inputs.iter().flat_map(|inlet| &inlet.edges) {
        let outlet = match edge.outlet {
            Outlet::Port(port) => turnovers[edge.step].get(port),
            Outlet::Rejected => turnovers[edge.step].last(),
        };
        producers.entry(edge.step).or_default().extend(outlet);
    }
    let rows = producers.into_iter().filter_map(|(producer, outlets)| {
        let words = words(&sum(outlets))?;
        Some(format!("rows of `{}` changed ({words})", plan.steps[producer].name))
    });
    let makers = step.models.iter().filter_map(|used| match &used.model {
        ModelRef::Step(maker) => Some(*maker),
        ModelRef::Declared(name) => flow_operators::feeds(plan, name),
    });
    let models = makers.filter(|maker| *maker != at && turnovers[*maker].iter().any(|outlet| outlet.new > 0));
    rows.chain(models.map(|maker| format!("`{}` trained another model", plan.steps[maker].name))).collect()
}

fn step_changes(plan: &Plan, at: usize, before: &StepRecord) -> impl Iterator<Item = String> {
    let step = &plan.steps[at];
    let mut words = Vec::new();
    if step.op != before.op {
        words.push(format!("operator `{}` to `{}`", before.op, step.op));
        return words.into_iter();
    }
    if step.version != before.version {
        words.push(format!("operator version {} to {}", before.version, step.version));
    }
    differences("", &before.config, &step.written, &mut words);
    let from = references(plan, at);
    if from != before.from {
        words.push(format!("from {} to {}", before.from.join(" + "), from.join(" + ")));
    }
    words.into_iter()
}

fn model_changes<'a>(
    plan: &'a Plan,
    step: &'a Step,
    models: &'a BTreeMap<String, ModelRecord>,
    last: &'a Record,
) -> impl Iterator<Item = String> + 'a {
    step.models.iter().flat_map(move |used| {
        let (name, is_itself) = (plan.origin(&used.model), matches!(used.model, ModelRef::Declared(_)));
        let found = name.and_then(|name| Some((name, models.get(name)?, last.models.get(name)?)));
        // A model that a step makes has weights of its own, and is asked like the one that it comes from.
        let weights =
            found.filter(|_| is_itself).and_then(|(name, now, before)| model_change(name, now, before));
        weights.into_iter().chain(found.and_then(|(name, now, before)| manner_change(name, now, before)))
    })
}

fn model_change(name: &str, now: &ModelRecord, before: &ModelRecord) -> Option<String> {
    let parts = [
        ("weights", now.weights != before.weights),
        ("tokenizer or chat template", now.tokenizer != before.tokenizer),
        ("config", now.config != before.config),
    ];
    let changed: Vec<&str> = parts.iter().filter(|(_, changed)| *changed).map(|(part, _)| *part).collect();
    (!changed.is_empty()).then(|| format!("{} of model `{name}` changed", changed.join(" and ")))
}

fn manner_change(name: &str, now: &ModelRecord, before: &ModelRecord) -> Option<String> {
    let told = |manner: &str| if manner.is_empty() { "plain".to_owned() } else { manner.to_owned() };
    let words = || format!("model `{name}` from {} to {}", told(&before.manner), told(&now.manner));
    (now.manner != before.manner).then(words)
}

/// What differs between two configs, key by key.
fn differences(path: &str, before: &Json, now: &Json, words: &mut Vec<String>) {
    let (Json::Object(old), Json::Object(new)) = (before, now) else {
        if before != now {
            words.push(format!("{path} {before} to {now}"));
        }
        return;
    };
    let inner = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    for (key, value) in old {
        match new.get(key) {
            Some(other) => differences(&inner(key), value, other, words),
            None => words.push(format!("{} removed (it was {value})", inner(key))),
        }
    }
    for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
        words.push(format!("{} added: {value}", inner(key)));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn configs_differ_key_by_key() {
        let mut words = Vec::new();
        let before = json!({"temperature": 0.8, "n": 4, "moe": {"experts": 4}, "stop": ["a"], "old": 1});
        let now = json!({"n": 4, "temperature": 0.7, "moe": {"experts": 8}, "stop": ["a", "b"], "new": true});
        differences("", &before, &now, &mut words);
        let expected = [
            "temperature 0.8 to 0.7",
            "moe.experts 4 to 8",
            "stop [\"a\"] to [\"a\",\"b\"]",
            "old removed (it was 1)",
            "new added: true",
        ];
        assert_eq!(words, expected);
    }
}
