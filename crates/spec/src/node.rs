//! The YAML tree with places: what every later reader and check works on.

use serde_json::Value as Json;

use crate::Span;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct Node {
    /// Its characters; for a block collection from its first to its last entry.
    pub span: Span,
    /// What it says.
    pub value: Value,
    /// The text before interpolation when a secret went into it: what messages and digests use instead.
    pub(crate) masked: Option<Box<str>>,
}

/// A YAML 1.2 core-schema value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`, `~` or nothing.
    Null,
    /// `true` or `false`; `yes`, `no`, `on`, `off` are text.
    Bool(bool),
    /// An integer from `i64::MIN` to `u64::MAX`.
    Int(i128),
    /// A finite float.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    Seq(Vec<Node>),
    /// A map with text keys, each once, in the order of the text.
    Map(Vec<Entry>),
}

/// One key of a map with its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key; numbers and truth values are taken as they are written.
    pub key: String,
    /// The key's characters.
    pub key_span: Span,
    /// The value.
    pub value: Node,
}

impl PartialEq for Entry {
    /// Equal keys and values, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value
    }
}

impl PartialEq for Node {
    /// Equal values, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl Node {
    /// A node of `value` at `span`.
    pub fn new(span: Span, value: Value) -> Self {
        Self { span, value, masked: None }
    }

    /// The entries of a map; none for anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::Seq(items) => items,
            _ => &[],
        }
    }

    /// The text of a text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The entry `key` of a map.
    pub fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.key == key)
    }

    /// The value of `key` in a map.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// The node at a dotted path of keys and list positions (`quotas.2`); the node itself for the empty path. A key
    /// that holds dots itself is found too.
    pub fn at(&self, path: &str) -> Option<&Node> {
        if path.is_empty() {
            return Some(self);
        }
        if let Some(node) = self.child(path) {
            return Some(node);
        }
        path.match_indices('.').find_map(|(dot, _)| self.child(&path[..dot])?.at(&path[dot + 1..]))
    }

    fn child(&self, key: &str) -> Option<&Node> {
        match &self.value {
            Value::Seq(items) => items.get(key.parse::<usize>().ok()?),
            _ => self.get(key),
        }
    }

    /// The value as JSON.
    pub fn to_json(&self) -> Json {
        self.json(false)
    }

    /// The value as JSON, where texts that hold a secret stand as they were written: for digests and for people.
    pub fn to_public_json(&self) -> Json {
        self.json(true)
    }

    fn json(&self, public: bool) -> Json {
        match &self.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Int(value) => u64::try_from(*value).map_or_else(|_| Json::from(*value as i64), Json::from),
            Value::Float(value) => Json::from(*value),
            Value::Text(text) => Json::String(match &self.masked {
                Some(masked) if public => masked.to_string(),
                _ => text.clone(),
            }),
            Value::Seq(items) => items.iter().map(|item| item.json(public)).collect(),
            Value::Map(entries) => {
                entries.iter().map(|entry| (entry.key.clone(), entry.value.json(public))).collect()
            }
        }
    }

    /// What the value is, for messages: "a list", "text `hot`". Secrets stay hidden, long texts are cut.
    pub fn describe(&self) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Int(value) => format!("`{value}`"),
            Value::Float(value) => format!("`{value:?}`"),
            Value::Text(text) => format!("text `{}`", shortened(self.masked.as_deref().unwrap_or(text))),
            Value::Seq(_) => "a list".to_owned(),
            Value::Map(_) => "a map".to_owned(),
        }
    }
}

/// The first line of `text`, at most 40 characters.
fn shortened(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(40).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}
