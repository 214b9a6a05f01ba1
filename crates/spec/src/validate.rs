//! A node against a JSON Schema: every mistake at every depth, in one walk.
//!
//! The schemas are made from the Rust types that later read the values, and editors complete from the same schemas, so
//! the three cannot disagree. Understood is what those types produce (draft 2020-12: `type`, `properties`, `items`,
//! `oneOf`, `$ref`, ranges, lengths, …); [`unsupported`] lists the rest, for a test to refuse.

mod choice;
mod expect;
mod limits;
mod pattern;
mod supported;

pub use supported::unsupported;

pub use pattern::PATH;
pub(crate) use pattern::{ADDRESS, IDENTIFIER, PIPELINE_NAME, REFERENCE, VARIABLE, is_reference};

use serde_json::{Map, Value as Json};

use crate::suggest::suggest;
use crate::{Code, Diagnostic, Entry, Node, Span, Value, codes};
use expect::{expectation, type_help};

/// What is checked: words for messages, and the place for what is missing.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// For example ``step `attempts` ``; `None` for the whole pipeline.
    pub what: Option<&'a str>,
    /// Where to report a missing key of the outermost map: the name it stands under.
    pub span: Span,
}

/// All mistakes of `node` by `schema`; none when the type that the schema was made from accepts the value.
pub fn validate(node: &Node, schema: &Json, place: Place<'_>) -> Vec<Diagnostic> {
    let mut walk = Walk { root: schema, what: place.what, path: Vec::new(), found: Vec::new() };
    walk.check(node, schema, place.span);
    walk.found
}

/// One walk: where it is, and what it found.
struct Walk<'a> {
    root: &'a Json,
    what: Option<&'a str>,
    path: Vec<String>,
    found: Vec<Diagnostic>,
}

impl<'a> Walk<'a> {
    /// Checks `node`, which stands under the name at `at`.
    fn check(&mut self, node: &Node, schema: &'a Json, at: Span) {
        let Json::Object(rules) = schema else { return };
        if let Some(target) = rules.get("$ref").and_then(|target| self.target(target)) {
            self.check(node, target, at);
        }
        if !fits_type(node, rules) {
            return self.wrong_type(node, &[schema]);
        }
        self.check_words(node, rules);
        self.found.extend(limits::check(node, rules, &self.subject()));
        match &node.value {
            Value::Map(_) => self.check_map(node, rules, at),
            Value::Seq(items) => self.check_items(items, rules),
            _ => {}
        }
        for part in schemas(rules, "allOf") {
            self.check(node, part, at);
        }
        for keyword in ["anyOf", "oneOf"].into_iter().filter(|keyword| rules.contains_key(*keyword)) {
            self.check_choice(node, schemas(rules, keyword), at);
        }
    }

    /// The schema that a `$ref` names: a JSON pointer from the root.
    fn target(&self, reference: &Json) -> Option<&'a Json> {
        self.root.pointer(reference.as_str()?.strip_prefix('#')?)
    }

    /// The schema behind a chain of `$ref`s.
    fn resolved(&self, schema: &'a Json) -> &'a Json {
        match schema.get("$ref").and_then(|reference| self.target(reference)) {
            Some(target) => self.resolved(target),
            None => schema,
        }
    }

    /// `const` and `enum`.
    fn check_words(&mut self, node: &Node, rules: &'a Map<String, Json>) {
        let words = words(rules);
        if !words.is_empty() && !words.contains(&&node.to_json()) {
            self.not_one_of(node, &words);
        }
    }

    fn check_map(&mut self, node: &Node, rules: &'a Map<String, Json>, at: Span) {
        let none = Map::new();
        let properties = rules.get("properties").and_then(Json::as_object);
        let known: Vec<&str> = properties.into_iter().flat_map(Map::keys).map(String::as_str).collect();
        let names = rules.get("propertyNames").and_then(Json::as_object).unwrap_or(&none);
        let mut meant = Vec::new();
        for entry in node.entries() {
            self.found.extend(pattern::check_key(entry, names, &self.subject()));
            match rule_for(&entry.key, properties, rules) {
                Some(rule) => {
                    self.path.push(entry.key.clone());
                    self.check(&entry.value, rule, entry.key_span);
                    self.path.pop();
                }
                None if closed(rules) => meant.extend(self.unknown_key(entry, &known, rules)),
                None => {}
            }
        }
        for key in
            rules.get("required").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str)
        {
            if node.entry(key).is_none() && !meant.contains(&key) {
                let words = format!("missing key `{key}` in {}", self.subject());
                let only = properties.and_then(|properties| properties.get(key)?.get("const"));
                let help = only.map(|value| format!("add `{key}: {value}`"));
                self.report(Diagnostic { help, ..Diagnostic::new(&codes::MISSING_KEY, at, words) });
            }
        }
    }

    /// Reports a key that the map does not have; returns the key that was probably meant.
    fn unknown_key(
        &mut self,
        entry: &Entry,
        known: &[&'a str],
        rules: &Map<String, Json>,
    ) -> Option<&'a str> {
        if let Some(expected) = pattern::of_keys(rules).filter(|_| known.is_empty()) {
            self.report(pattern::key_mistake(&codes::NAME, expected, entry, &self.subject()));
            return None;
        }
        let close = suggest(&entry.key, known.iter().copied());
        let words = format!("unknown key `{}` in {}", entry.key, self.subject());
        let mut diagnostic = Diagnostic::new(&codes::UNKNOWN_KEY, entry.key_span, words);
        if let Some(close) = close {
            diagnostic = diagnostic.label(format!("did you mean `{close}`?"));
        }
        if !known.is_empty() {
            diagnostic = diagnostic.help(format!("keys of {}: {}", self.subject(), known.join(", ")));
        }
        self.report(diagnostic);
        close
    }

    fn check_items(&mut self, items: &[Node], rules: &'a Map<String, Json>) {
        let first = schemas(rules, "prefixItems");
        for (position, item) in items.iter().enumerate() {
            let Some(rule) = first.get(position).or(rules.get("items")) else { continue };
            self.path.push(position.to_string());
            self.check(item, rule, item.span);
            self.path.pop();
        }
    }

    fn wrong_type(&mut self, node: &Node, accepted: &[&'a Json]) {
        let expected = expectation(self, accepted);
        let words = format!("expected {expected} for {}, found {}", self.subject(), node.describe());
        let mut diagnostic = Diagnostic::new(&codes::WRONG_TYPE, node.span, words);
        diagnostic.help = type_help(self, node, accepted);
        self.report(diagnostic);
    }

    fn not_one_of(&mut self, node: &Node, words: &[&Json]) {
        let expected = expect::alternatives(words.iter().map(|word| expect::shown(word)));
        let message = format!("expected {expected} for {}, found {}", self.subject(), node.describe());
        let mut diagnostic = Diagnostic::new(&codes::NOT_ONE_OF, node.span, message);
        if let Some(close) =
            node.text().and_then(|text| suggest(text, words.iter().filter_map(|word| word.as_str())))
        {
            diagnostic = diagnostic.label(format!("did you mean `{close}`?"));
        }
        self.report(diagnostic);
    }

    /// What is being checked, for messages.
    fn subject(&self) -> String {
        match (self.path.is_empty(), self.what) {
            (true, None) => "the pipeline".to_owned(),
            (true, Some(what)) => what.to_owned(),
            (false, None) => format!("`{}`", self.path.join(".")),
            (false, Some(what)) => format!("`{}` of {what}", self.path.join(".")),
        }
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }
}

/// Whether the value is of a type that `type` allows.
fn fits_type(node: &Node, rules: &Map<String, Json>) -> bool {
    let is = |name: &Json| {
        matches!(
            (name.as_str(), &node.value),
            (Some("null"), Value::Null)
                | (Some("boolean"), Value::Bool(_))
                | (Some("integer"), Value::Int(_))
                | (Some("number"), Value::Int(_) | Value::Float(_))
                | (Some("string"), Value::Text(_))
                | (Some("array"), Value::Seq(_))
                | (Some("object"), Value::Map(_))
        )
    };
    match rules.get("type") {
        Some(Json::Array(names)) => names.iter().any(is),
        Some(name) => is(name),
        None => true,
    }
}

/// The values that `const` or `enum` allow; empty when neither stands there.
fn words(rules: &Map<String, Json>) -> Vec<&Json> {
    match (rules.get("const"), rules.get("enum").and_then(Json::as_array)) {
        (Some(word), _) => vec![word],
        (None, Some(words)) => words.iter().collect(),
        (None, None) => Vec::new(),
    }
}

/// The schemas listed under `keyword`.
fn schemas<'a>(rules: &'a Map<String, Json>, keyword: &str) -> &'a [Json] {
    rules.get(keyword).and_then(Json::as_array).map_or(&[], Vec::as_slice)
}

/// The schema for the value of `key`, if there is one.
fn rule_for<'a>(
    key: &str,
    properties: Option<&'a Map<String, Json>>,
    rules: &'a Map<String, Json>,
) -> Option<&'a Json> {
    let patterns = rules.get("patternProperties").and_then(Json::as_object);
    let by_pattern = || {
        let mut patterns = patterns.into_iter().flatten();
        patterns.find(|(text, _)| pattern::find(text).is_none_or(|pattern| (pattern.matches)(key)))
    };
    properties
        .and_then(|properties| properties.get(key))
        .or_else(|| by_pattern().map(|(_, rule)| rule))
        .or_else(|| rules.get("additionalProperties").filter(|rule| **rule != Json::Bool(false)))
}

/// Whether keys without a rule are refused.
fn closed(rules: &Map<String, Json>) -> bool {
    rules.get("additionalProperties") == Some(&Json::Bool(false))
}

/// A mistake in the value of `subject`, shared by the checks of limits and patterns.
fn mistake(code: &Code, node: &Node, expected: &str, subject: &str) -> Diagnostic {
    Diagnostic::new(code, node.span, format!("expected {expected} for {subject}, found {}", node.describe()))
}
