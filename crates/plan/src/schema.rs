//! JSON Schemas of steps and of whole pipelines, and configs with their defaults filled in.

use flow_spec::{document_schema, from_schema};
use serde_json::{Map, Value as Json, json};

use crate::{Arity, Signature};

/// JSON Schema of a pipeline file, each step by its operator: what editors complete from and `flow schema` prints.
pub fn pipeline_schema(catalog: &[&dyn Signature]) -> Json {
    let names: Vec<&str> = catalog.iter().map(|signature| signature.name()).collect();
    let rule = |signature: &&dyn Signature| {
        json!({
            "if": {"properties": {"op": {"const": signature.name()}}},
            "then": {"$ref": format!("#/$defs/operators/{}", signature.name())},
        })
    };
    let step = json!({
        "type": "object",
        "required": ["op"],
        "properties": {"op": {"description": "Operator.", "enum": names}},
        "allOf": catalog.iter().map(rule).collect::<Vec<_>>(),
    });
    let operators =
        catalog.iter().map(|signature| (signature.name().to_owned(), operator_schema(*signature)));
    let mut schema = document_schema();
    schema["properties"]["steps"]["additionalProperties"] = step;
    schema["$defs"]["operators"] = Json::Object(operators.collect());
    schema
}

/// A step of this operator, at `#/$defs/operators/NAME` of the pipeline's schema.
fn operator_schema(signature: &dyn Signature) -> Json {
    let mut own = signature.config_schema();
    move_references(&mut own, &format!("#/$defs/operators/{}/$defs/", signature.name()));
    let mut common = Map::from_iter([("op".to_owned(), json!({"const": signature.name()}))]);
    let mut required = vec![json!("op")];
    if signature.arity() != Arity::None {
        let mut from = from_schema();
        from.as_object_mut().and_then(|from| from.remove("$schema"));
        common.insert("from".to_owned(), from);
        required.push(json!("from"));
    }
    required.extend(own.get("required").and_then(Json::as_array).into_iter().flatten().cloned());
    let mut schema = with_keys(own, common);
    schema["required"] = Json::Array(required);
    schema["description"] = json!(signature.manual());
    schema.as_object_mut().and_then(|schema| schema.remove("$schema"));
    schema
}

/// Makes the references of an embedded schema lead to its definitions' new place.
fn move_references(schema: &mut Json, place: &str) {
    match schema {
        Json::Object(map) => {
            for (key, value) in map.iter_mut() {
                match value {
                    Json::String(reference) if key == "$ref" => {
                        *reference = reference.replace("#/$defs/", place)
                    }
                    value => move_references(value, place),
                }
            }
        }
        Json::Array(items) => items.iter_mut().for_each(|item| move_references(item, place)),
        _ => {}
    }
}

/// What a step is checked by: the operator's own keys, `op`, and `from` if `takes_from`. The last two are left open,
/// since other checks tell what is wrong with them.
pub(crate) fn step_schema(own: &Json, takes_from: bool) -> Json {
    let mut common = Map::from_iter([("op".to_owned(), json!(true))]);
    if takes_from {
        common.insert("from".to_owned(), json!(true));
    }
    with_keys(own.clone(), common)
}

/// `schema` with the properties `keys` before its own.
fn with_keys(mut schema: Json, mut keys: Map<String, Json>) -> Json {
    if let Some(Json::Object(own)) = schema.get_mut("properties").map(Json::take) {
        keys.extend(own);
    }
    schema["properties"] = Json::Object(keys);
    schema
}

/// `config` with the defaults that `schema` states, and with floats where it asks for numbers: equal meaning, equal
/// JSON. A later version's other default changes the digest by this, as it must.
pub(crate) fn with_defaults(config: Json, schema: &Json) -> Json {
    fill(config, schema, schema)
}

fn fill(value: Json, schema: &Json, root: &Json) -> Json {
    let target = schema.get("$ref").and_then(Json::as_str).and_then(|at| root.pointer(at.strip_prefix('#')?));
    let schema = target.unwrap_or(schema);
    match value {
        Json::Object(map) => Json::Object(fill_map(map, schema, root)),
        Json::Array(items) => {
            let rule = schema.get("items").unwrap_or(&Json::Null);
            items.into_iter().map(|item| fill(item, rule, root)).collect()
        }
        Json::Number(number) if takes_floats(schema) => {
            number.as_f64().map_or(Json::Number(number), Json::from)
        }
        other => other,
    }
}

fn fill_map(map: Map<String, Json>, schema: &Json, root: &Json) -> Map<String, Json> {
    let properties = schema.get("properties").and_then(Json::as_object);
    let rest = schema.get("additionalProperties").unwrap_or(&Json::Null);
    let rule = |key: &str| properties.and_then(|properties| properties.get(key)).unwrap_or(rest);
    let written = map.into_iter().map(|(key, value)| {
        let value = fill(value, rule(&key), root);
        (key, value)
    });
    let mut filled: Map<String, Json> = written.collect();
    for (key, property) in properties.into_iter().flatten() {
        match property.get("default") {
            Some(default) if !default.is_null() && !filled.contains_key(key) => {
                filled.insert(key.clone(), fill(default.clone(), property, root));
            }
            _ => {}
        }
    }
    filled
}

fn takes_floats(schema: &Json) -> bool {
    match schema.get("type") {
        Some(Json::Array(names)) => names.iter().any(|name| name == "number"),
        name => name.is_some_and(|name| name == "number"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_and_floats_are_filled_in_at_every_depth() {
        let schema = json!({
            "properties": {
                "n": {"type": "integer", "default": 1},
                "temperature": {"type": "number"},
                "stop": {"type": ["string", "null"], "default": null},
                "moe": {"$ref": "#/$defs/Moe"},
                "weights": {"type": "array", "items": {"type": "number"}},
            },
            "$defs": {"Moe": {"properties": {"experts": {"type": "integer", "default": 4}}}},
        });
        let filled = with_defaults(json!({"temperature": 1, "moe": {}, "weights": [1, 0.5]}), &schema);
        assert_eq!(filled, json!({"temperature": 1.0, "moe": {"experts": 4}, "weights": [1.0, 0.5], "n": 1}));
    }
}
