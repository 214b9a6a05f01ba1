//! What a schema expects, in words, and advice for values of a wrong type.

use serde_json::Value as Json;

use super::{Walk, schemas, words};
use crate::scalar::resolve;
use crate::{Node, Value};

/// `a`, `a or b`, `a, b or c`.
pub(super) fn alternatives(parts: impl IntoIterator<Item = String>) -> String {
    let mut unique: Vec<String> = Vec::new();
    for part in parts {
        if !unique.contains(&part) {
            unique.push(part);
        }
    }
    match unique.as_slice() {
        [] => "something else".to_owned(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

/// A word of `const` or `enum` as it would be written.
pub(super) fn shown(word: &Json) -> String {
    word.as_str().map_or_else(|| format!("`{word}`"), |text| format!("`{text}`"))
}

/// `1 item`, `2 items`.
pub(super) fn plural(count: u64, unit: &str) -> String {
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// What any of `accepted` takes; that nothing is accepted too is not worth a word.
pub(super) fn expectation(walk: &Walk<'_>, accepted: &[&Json]) -> String {
    let parts: Vec<String> = accepted.iter().flat_map(|schema| expected_by(walk, schema, 0)).collect();
    let any_map = parts.iter().any(|part| part == "a map");
    let worthy =
        parts.iter().filter(|part| *part != "nothing" && !(any_map && part.starts_with("a map with")));
    alternatives(if parts.len() > 1 { worthy.cloned().collect() } else { parts })
}

fn expected_by(walk: &Walk<'_>, schema: &Json, depth: usize) -> Vec<String> {
    let Some(target) = (match schema.get("$ref") {
        Some(reference) => walk.target(reference),
        None => Some(schema),
    }) else {
        return Vec::new();
    };
    let Json::Object(rules) = target else { return vec!["a value".to_owned()] };
    let listed = words(rules);
    if !listed.is_empty() {
        return listed.into_iter().map(shown).collect();
    }
    if let Some(branches) =
        ["anyOf", "oneOf"].into_iter().map(|keyword| schemas(rules, keyword)).find(|b| !b.is_empty())
    {
        return if depth > 4 {
            Vec::new()
        } else {
            branches.iter().flat_map(|branch| expected_by(walk, branch, depth + 1)).collect()
        };
    }
    let names = match rules.get("type") {
        Some(Json::Array(names)) => names.as_slice(),
        Some(name) => std::slice::from_ref(name),
        None => return vec!["a value".to_owned()],
    };
    names.iter().filter_map(Json::as_str).map(|name| type_words(walk, name, target, depth)).collect()
}

fn type_words(walk: &Walk<'_>, name: &str, schema: &Json, depth: usize) -> String {
    match name {
        "null" => "nothing".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "integer" => "an integer".to_owned(),
        "number" => "a number".to_owned(),
        "string" => "text".to_owned(),
        "array" => match schema.get("items").filter(|_| depth < 2) {
            Some(items) => {
                format!("a list of {}", list_words(alternatives(expected_by(walk, items, depth + 1))))
            }
            None => "a list".to_owned(),
        },
        "object" => match sole_key(schema) {
            Some(key) => format!("a map with `{key}`"),
            None => "a map".to_owned(),
        },
        other => other.to_owned(),
    }
}

/// The plural of what each item of a list is.
fn list_words(item: String) -> String {
    match item.as_str() {
        "an integer" => "integers".to_owned(),
        "a number" => "numbers".to_owned(),
        "a map" => "maps".to_owned(),
        "a list" => "lists".to_owned(),
        "a value" => "values".to_owned(),
        _ => item,
    }
}

/// The key of a map that has exactly one, which holds data: how an enum's variant is written.
pub(super) fn sole_key(schema: &Json) -> Option<&str> {
    let properties = schema.get("properties")?.as_object()?;
    let required = schema.get("required")?.as_array()?;
    match (properties.iter().next(), required.as_slice()) {
        (Some((key, rule)), [only])
            if properties.len() == 1 && only == key && rule.get("const").is_none() =>
        {
            Some(key)
        }
        _ => None,
    }
}

/// The key of a map that needs exactly one, where its value is text.
fn needed_text<'a>(walk: &Walk<'a>, schema: &'a Json) -> Option<&'a str> {
    let schema = walk.resolved(schema);
    let [only] = schema.get("required")?.as_array()?.as_slice() else { return None };
    let key = only.as_str()?;
    let rule = walk.resolved(schema.get("properties")?.get(key)?);
    (rule.get("type")? == "string").then_some(key)
}

/// Advice for the common ways to write a value of another type than meant.
pub(super) fn type_help<'a>(walk: &Walk<'a>, node: &Node, accepted: &[&'a Json]) -> Option<String> {
    let expected: Vec<String> = accepted.iter().flat_map(|schema| expected_by(walk, schema, 0)).collect();
    let expects = |what: &str| expected.iter().any(|part| part == what);
    match &node.value {
        Value::Text(text) if expects("`true` or `false`") => match text.to_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => Some("write `true`".to_owned()),
            "no" | "off" | "n" | "false" => Some("write `false`".to_owned()),
            _ => None,
        },
        Value::Text(text) if expects("an integer") || expects("a number") => {
            let plain = text.replace(['_', ','], "");
            let is_number = matches!(resolve(&plain), Ok(Value::Int(_) | Value::Float(_)));
            (is_number && node.masked.is_none()).then(|| format!("write the plain number: {plain}"))
        }
        Value::Float(value) if expects("an integer") && value.fract() == 0.0 => {
            Some(format!("write `{value:.0}`"))
        }
        Value::Int(_) | Value::Float(_) | Value::Bool(_) if expects("text") => {
            Some("quote it to make it text".to_owned())
        }
        Value::Map(_) | Value::Null | Value::Seq(_) => None,
        Value::Text(text) if node.masked.is_none() && expects("a map") => {
            let key = accepted.iter().find_map(|schema| needed_text(walk, schema))?;
            Some(format!("write `{{{key}: {text}}}`"))
        }
        _ if expected.iter().any(|part| part.starts_with("a list")) => {
            Some("put it into brackets to make a list of one".to_owned())
        }
        _ => None,
    }
}
