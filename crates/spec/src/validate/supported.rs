//! Which schemas the walk understands wholly.

use serde_json::Value as Json;

use super::pattern;

/// The keywords and patterns of `schema` that [`validate`](super::validate) does not understand.
pub fn unsupported(schema: &Json) -> Vec<String> {
    let mut found = Vec::new();
    collect_unsupported(schema, &mut found);
    found
}

/// What the walk checks, and words for readers.
const UNDERSTOOD: &[&str] = &[
    "$ref",
    "additionalProperties",
    "allOf",
    "anyOf",
    "const",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "oneOf",
    "pattern",
    "patternProperties",
    "prefixItems",
    "properties",
    "propertyNames",
    "required",
    "type",
    "uniqueItems",
    "$defs",
    "$schema",
    "default",
    "deprecated",
    "description",
    "examples",
    "title",
    "writeOnly",
];

fn collect_unsupported(schema: &Json, found: &mut Vec<String>) {
    for (keyword, value) in schema.as_object().into_iter().flatten() {
        match (keyword.as_str(), value) {
            ("properties" | "$defs", Json::Object(schemas)) => {
                schemas.values().for_each(|schema| collect_unsupported(schema, found));
            }
            ("patternProperties", Json::Object(schemas)) => {
                found.extend(schemas.keys().filter(|text| pattern::find(text).is_none()).cloned());
                schemas.values().for_each(|schema| collect_unsupported(schema, found));
            }
            ("allOf" | "anyOf" | "oneOf" | "prefixItems", Json::Array(schemas)) => {
                schemas.iter().for_each(|schema| collect_unsupported(schema, found));
            }
            ("items" | "additionalProperties" | "propertyNames", schema) => {
                collect_unsupported(schema, found)
            }
            ("pattern", Json::String(text)) if pattern::find(text).is_none() => found.push(text.clone()),
            (keyword, _) if !UNDERSTOOD.contains(&keyword) => found.push(keyword.to_owned()),
            _ => {}
        }
    }
}
