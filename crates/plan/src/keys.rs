//! A step's own keys as its operator reads them; of a step with mistakes, what is right and stand-ins for the rest, so that
//! one mistake hides no other.

use flow_spec::{Entry, Node, Place, Value, suggest, validate};
use serde_json::{Map, Value as Json};

use crate::draft::Config;
use crate::schema::with_defaults;

/// The keys of a step without mistakes.
pub(crate) fn whole(node: &Node, own: &Json) -> Config {
    Config {
        real: filled(node.to_json(), own),
        public: filled(node.to_public_json(), own),
        other: None,
        node: node.clone(),
        broken: Vec::new(),
        is_sure: true,
    }
}

/// The keys of a step with mistakes. A misspelt key stands under the name that was probably meant; a value that is not
/// right is replaced by its default; a required key without one gets the least value of its type.
pub(crate) fn mended(node: &Node, own: &Json) -> Config {
    let none = Map::new();
    let rules = own.get("properties").and_then(Json::as_object).unwrap_or(&none);
    let (mut entries, mut broken, mut is_sure) = (Vec::new(), Vec::new(), true);
    for entry in node.entries() {
        match right(entry, node, own, rules) {
            Some(entry) => entries.push(entry),
            None => {
                is_sure &= rules.get(&entry.key).is_none_or(is_plain);
                broken.push(entry.key.clone());
            }
        }
    }
    for key in own.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str) {
        if entries.iter().any(|entry| entry.key == key) {
            continue;
        }
        is_sure &= rules.get(key).is_none_or(is_plain);
        broken.push(key.to_owned());
        entries.extend(stand_in(key, node, rules.get(key), least));
    }
    let kept = entries.iter().filter(|entry| !broken.contains(&entry.key)).cloned();
    let large = broken.iter().filter_map(|key| stand_in(key, node, rules.get(key), most));
    let other = Node::new(node.span, Value::Map(kept.chain(large).collect()));
    let node = Node::new(node.span, Value::Map(entries));
    Config {
        real: filled(node.to_json(), own),
        public: filled(node.to_public_json(), own),
        other: Some(filled(other.to_json(), own)),
        node,
        broken,
        is_sure,
    }
}

/// The operator's own keys with their defaults.
fn filled(json: Json, own: &Json) -> Json {
    with_defaults(without_common_keys(json), own)
}

/// A value in place of a broken one.
fn stand_in(key: &str, node: &Node, rule: Option<&Json>, value: fn(&Json) -> Option<Value>) -> Option<Entry> {
    let value = Node::new(node.span, value(rule?)?);
    Some(Entry { key: key.to_owned(), key_span: node.span, value })
}

fn without_common_keys(mut json: Json) -> Json {
    if let Json::Object(map) = &mut json {
        map.shift_remove("op");
        map.shift_remove("from");
    }
    json
}

/// The entry as it was meant, if it is right by itself.
fn right(entry: &Entry, node: &Node, own: &Json, rules: &Map<String, Json>) -> Option<Entry> {
    if ["op", "from"].contains(&entry.key.as_str()) {
        return Some(entry.clone());
    }
    let mut meant = entry.clone();
    if !rules.contains_key(&entry.key) {
        let close = suggest(&entry.key, rules.keys().map(String::as_str))?;
        meant.key = close.to_owned();
        if node.entry(close).is_some() {
            return None;
        }
    }
    let mut alone = own.clone();
    alone.as_object_mut()?.remove("required");
    let map = Node::new(entry.value.span, Value::Map(vec![meant.clone()]));
    let place = Place { what: None, span: entry.key_span };
    validate(&map, &alone, place).is_empty().then_some(meant)
}

/// Whether a value is a number, a truth value or any text: such keys decide no columns.
fn is_plain(rule: &Json) -> bool {
    let is_choice =
        ["enum", "const", "oneOf", "anyOf", "$ref"].iter().any(|keyword| rule.get(keyword).is_some());
    let plain =
        |name: &Json| ["integer", "number", "boolean", "string", "null"].iter().any(|plain| name == plain);
    !is_choice
        && match rule.get("type") {
            Some(Json::Array(names)) => names.iter().all(plain),
            name => name.is_some_and(plain),
        }
}

/// The least value of a number or a text.
fn least(rule: &Json) -> Option<Value> {
    extreme(rule, "minimum", 1)
}

/// A large value of a number; any text.
fn most(rule: &Json) -> Option<Value> {
    extreme(rule, "maximum", 1 << 20)
}

fn extreme(rule: &Json, bound: &str, otherwise: i32) -> Option<Value> {
    let names = match rule.get("type")? {
        Json::Array(names) => names.as_slice(),
        name => std::slice::from_ref(name),
    };
    let bound = rule.get(bound).and_then(Json::as_f64).unwrap_or(otherwise.into());
    match names.iter().filter_map(Json::as_str).find(|name| *name != "null")? {
        "integer" => Some(Value::Int(bound as i128)),
        "number" => Some(Value::Float(bound)),
        "string" => Some(Value::Text(String::new())),
        _ => None,
    }
}
