//! `flow ops`: the operators, and the reference of one.

use flow_operators::Operator;
use flow_spec::suggest;
use serde_json::Value as Json;

use crate::columns::columns;
use crate::halt::Halt;
use crate::{Catalog, Exit, term};

/// Arguments of `ops`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The operator to describe; all are listed without one.
    name: Option<String>,
    /// The reference of all operators, as Markdown.
    #[arg(long, conflicts_with = "name")]
    all: bool,
}

/// Prints the list of operators, or the reference of one.
pub(crate) fn ops(catalog: Catalog<'_>, args: &Args) -> Result<Exit, Halt> {
    if args.all {
        return term::data(&manual(catalog)).map(|()| Exit::Done);
    }
    let Some(name) = &args.name else {
        let rows: Vec<Vec<String>> =
            catalog.iter().map(|operator| vec![operator.name().to_owned(), purpose(*operator)]).collect();
        term::data(&columns(&rows))?;
        return Ok(Exit::Done);
    };
    match catalog.iter().find(|operator| operator.name() == name) {
        Some(operator) => term::data(&reference(*operator)).map(|()| Exit::Done),
        None => {
            let near = suggest(name, catalog.iter().map(|operator| operator.name()));
            let near = near.map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
            term::tell(&format!("there is no operator `{name}`{near}; `flow ops` lists all\n"));
            Ok(Exit::Usage)
        }
    }
}

/// The first sentence of the header, without the name.
fn purpose(operator: &dyn Operator) -> String {
    let line = operator.manual().lines().next().unwrap_or_default().to_owned();
    line.strip_prefix(&format!("`{}` ", operator.name())).unwrap_or(&line).to_owned()
}

/// The reference of every operator, one chapter each.
fn manual(catalog: Catalog<'_>) -> String {
    let chapter = |operator: &&dyn Operator| {
        let keys = keys(&operator.config_schema());
        format!("\n## {}\n\n{}\nKeys:\n\n```text\n{keys}```\n", operator.name(), operator.manual())
    };
    let chapters: String = catalog.iter().map(chapter).collect();
    format!("# Operators\n\nMade from the operators' own headers by `cargo xtask codegen`.\n{chapters}")
}

/// The header, then the keys.
fn reference(operator: &dyn Operator) -> String {
    format!("{}\nKeys:\n\n{}", operator.manual(), keys(&operator.config_schema()))
}

/// Deepest nesting of keys that is shown.
const MAX_DEPTH: usize = 4;

/// A line for each key: name, what it takes, what it means. Keys inside a key follow it, with the way to them.
fn keys(schema: &Json) -> String {
    columns(&key_rows("  ", schema, schema, MAX_DEPTH))
}

fn key_rows(before: &str, schema: &Json, root: &Json, depth: usize) -> Vec<Vec<String>> {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
    let row = |(name, rule): (&String, &Json)| {
        let need = match rule.get("default") {
            Some(default) if !default.is_null() => format!("default {default}"),
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            _ => String::new(),
        };
        let meaning = rule["description"].as_str().unwrap_or_default().replace('\n', " ");
        let mut rows = vec![vec![format!("{before}{name}"), kind(rule, root), need, meaning]];
        if let Some((way, inner)) = inside(rule, root).filter(|_| depth > 0) {
            rows.extend(key_rows(&format!("{before}{name}{way}."), inner, root, depth - 1));
        }
        rows
    };
    schema["properties"].as_object().into_iter().flatten().flat_map(row).collect()
}

/// The map of keys inside a value, and the way to it: nothing for a map, `.NAME` for a map of maps, `[]` for a list of maps.
fn inside<'a>(rule: &'a Json, root: &'a Json) -> Option<(String, &'a Json)> {
    if let Some(target) = rule["$ref"].as_str() {
        return inside(root.pointer(target.trim_start_matches('#'))?, root);
    }
    if let Some(choices) = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| rule[key].as_array()) {
        return choices.iter().find_map(|choice| inside(choice, root));
    }
    let further =
        |way: &str, rule: &'a Json| inside(rule, root).map(|(rest, inner)| (format!("{way}{rest}"), inner));
    if rule["properties"].is_object() {
        return Some((String::new(), rule));
    }
    let named = Some(&rule["additionalProperties"]).filter(|rule| rule.is_object());
    named.and_then(|rule| further(".NAME", rule)).or_else(|| further("[]", rule.get("items")?))
}

/// What a value may be, in a few words.
fn kind(rule: &Json, root: &Json) -> String {
    if let Some(target) = rule["$ref"].as_str() {
        let target = root.pointer(target.trim_start_matches('#'));
        return target.map_or_else(String::new, |rule| kind(rule, root));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(choices) = rule[key].as_array() {
            let mut kinds: Vec<String> = choices.iter().map(|choice| kind(choice, root)).collect();
            kinds.retain(|kind| kind != "null");
            kinds.dedup();
            return kinds.join(" or ");
        }
    }
    if let Some(value) = rule.get("const") {
        return value.to_string();
    }
    if let Some(values) = rule["enum"].as_array() {
        return values
            .iter()
            .filter(|value| !value.is_null())
            .map(Json::to_string)
            .collect::<Vec<_>>()
            .join(" or ");
    }
    match &rule["type"] {
        Json::String(name) => named(name, rule, root),
        Json::Array(names) => {
            let names = names.iter().filter_map(Json::as_str).filter(|name| *name != "null");
            names.map(|name| named(name, rule, root)).collect::<Vec<_>>().join(" or ")
        }
        _ => String::new(),
    }
}

/// A value of the JSON type `name`, by what `rule` says of it.
fn named(name: &str, rule: &Json, root: &Json) -> String {
    match (name, &rule["minimum"], &rule["maximum"]) {
        ("array", ..) => format!("list of {}", kind(&rule["items"], root)),
        ("integer" | "number", Json::Number(least), Json::Number(most)) => {
            format!("{name} {least} to {most}")
        }
        _ => plain(name).to_owned(),
    }
}

/// The word that users know for a JSON type.
fn plain(name: &str) -> &str {
    match name {
        "string" => "text",
        "object" => "map",
        "boolean" => "true or false",
        name => name,
    }
}
