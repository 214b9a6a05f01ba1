//! `anyOf` and `oneOf`: when no branch accepts the value, the mistakes of the branch that was meant.

use serde_json::Value as Json;

use super::{Walk, expect, fits_type, words};
use crate::suggest::suggest;
use crate::{Diagnostic, Node, Span, Value, codes};

/// A branch, behind its `$ref`, and its mistakes.
struct Branch<'a> {
    schema: &'a Json,
    mistakes: Vec<Diagnostic>,
}

impl<'a> Walk<'a> {
    /// Checks that one of `branches` accepts `node`.
    pub(super) fn check_choice(&mut self, node: &Node, branches: &'a [Json], at: Span) {
        let mut tried = Vec::new();
        for branch in branches {
            let mistakes = self.attempt(node, branch, at);
            if mistakes.is_empty() {
                return;
            }
            tried.push(Branch { schema: self.resolved(branch), mistakes });
        }
        let (mut fitting, other): (Vec<_>, Vec<_>) =
            tried.into_iter().partition(|branch| self.could_take(node, branch.schema));
        match (fitting.len(), node.text()) {
            (0, _) => self.wrong_type(node, &other.iter().map(|branch| branch.schema).collect::<Vec<_>>()),
            (1, _) => self.found.extend(fitting.remove(0).mistakes),
            (_, Some(_)) => self.explain_text(node, fitting, &other),
            (_, None) => self.explain_collection(node, fitting, at),
        }
    }

    fn attempt(&mut self, node: &Node, branch: &'a Json, at: Span) -> Vec<Diagnostic> {
        let before = self.found.len();
        self.check(node, branch, at);
        self.found.split_off(before)
    }

    /// Whether `schema` takes values of this type at all.
    fn could_take(&self, node: &Node, schema: &'a Json) -> bool {
        let schema = self.resolved(schema);
        let Json::Object(rules) = schema else { return true };
        let branches = |keyword: &str| rules.get(keyword).and_then(Json::as_array);
        fits_type(node, rules)
            && branches("anyOf")
                .or(branches("oneOf"))
                .is_none_or(|branches| branches.iter().any(|branch| self.could_take(node, branch)))
    }

    /// A text that none of several text branches takes: usually a misspelt word.
    fn explain_text(&mut self, node: &Node, fitting: Vec<Branch<'a>>, other: &[Branch<'a>]) {
        let listed = fitting.iter().map(|branch| branch.schema.as_object().map(words).unwrap_or_default());
        let listed: Vec<Vec<&Json>> = listed.collect();
        if listed.iter().any(Vec::is_empty) {
            return self.found.extend(least(fitting));
        }
        let words: Vec<&Json> = listed.concat();
        let before = self.found.len();
        self.not_one_of(node, &words);
        let keys: Vec<&str> = other.iter().filter_map(|branch| expect::sole_key(branch.schema)).collect();
        if let (Some(diagnostic), false) = (self.found[before..].first_mut(), keys.is_empty()) {
            diagnostic.help = Some(format!("or a map with one of the keys {}", keys.join(", ")));
        }
    }

    /// A map or list (or number) that none of several branches takes.
    fn explain_collection(&mut self, node: &Node, fitting: Vec<Branch<'a>>, at: Span) {
        if matches!(node.value, Value::Map(_)) {
            if fitting.iter().all(|branch| expect::sole_key(branch.schema).is_some()) {
                return self.explain_sole_key(node, fitting, at);
            }
            if let Some(tag) = tag_of(&fitting) {
                return self.explain_tag(node, tag, fitting, at);
            }
        }
        self.found.extend(closest(node, fitting));
    }

    /// `{variant: …}`: the branch of the key that stands there.
    fn explain_sole_key(&mut self, node: &Node, mut fitting: Vec<Branch<'a>>, at: Span) {
        let keys: Vec<&str> = fitting.iter().filter_map(|branch| expect::sole_key(branch.schema)).collect();
        if let Some(chosen) = keys.iter().position(|key| node.entry(key).is_some()) {
            return self.found.extend(fitting.swap_remove(chosen).mistakes);
        }
        let expected = expect::alternatives(keys.iter().map(|key| format!("`{key}`")));
        let (span, found) = match node.entries().first() {
            Some(entry) => (entry.key_span, format!("`{}`", entry.key)),
            None => (at, "none".to_owned()),
        };
        let words = format!("expected the key {expected} in {}, found {found}", self.subject());
        let mut diagnostic = Diagnostic::new(&codes::NOT_ONE_OF, span, words);
        let close = node.entries().first().and_then(|entry| suggest(&entry.key, keys.iter().copied()));
        diagnostic.label = close.map(|close| format!("did you mean `{close}`?"));
        self.report(diagnostic);
    }

    /// `{tag: variant, …}`: the branch of the tag's value.
    fn explain_tag(&mut self, node: &Node, tag: &str, mut fitting: Vec<Branch<'a>>, at: Span) {
        let variants: Vec<&'a Json> =
            fitting.iter().filter_map(|branch| variant(branch.schema, tag)).collect();
        let Some(value) = node.get(tag) else {
            let listed = expect::alternatives(variants.iter().map(|word| expect::shown(word)));
            let words = format!("missing key `{tag}` in {}", self.subject());
            return self.report(
                Diagnostic::new(&codes::MISSING_KEY, at, words).help(format!("`{tag}` is {listed}")),
            );
        };
        match variants.iter().position(|word| **word == value.to_json()) {
            Some(chosen) => self.found.extend(fitting.swap_remove(chosen).mistakes),
            None => {
                self.path.push(tag.to_owned());
                self.not_one_of(value, &variants);
                self.path.pop();
            }
        }
    }
}

/// The mistakes of the branch with the fewest.
fn least(branches: Vec<Branch<'_>>) -> Vec<Diagnostic> {
    branches.into_iter().map(|branch| branch.mistakes).min_by_key(Vec::len).unwrap_or_default()
}

/// The mistakes of the branch that knows most of the map's keys, then of the one with the fewest.
fn closest(node: &Node, branches: Vec<Branch<'_>>) -> Vec<Diagnostic> {
    let unknown = |branch: &Branch<'_>| {
        let properties = branch.schema.get("properties");
        let known = |key: &str| properties.is_some_and(|properties| properties.get(key).is_some());
        node.entries().iter().filter(|entry| !known(&entry.key)).count()
    };
    let best = branches.into_iter().min_by_key(|branch| (unknown(branch), branch.mistakes.len()));
    best.map(|branch| branch.mistakes).unwrap_or_default()
}

/// The property that has a fixed word in every branch.
fn tag_of<'a>(branches: &[Branch<'a>]) -> Option<&'a str> {
    let properties = branches.first()?.schema.get("properties")?.as_object()?;
    properties
        .keys()
        .map(String::as_str)
        .find(|key| branches.iter().all(|branch| variant(branch.schema, key).is_some()))
}

/// The fixed word of the property `tag`.
fn variant<'a>(schema: &'a Json, tag: &str) -> Option<&'a Json> {
    let rules = schema.get("properties")?.get(tag)?.as_object()?;
    match words(rules).as_slice() {
        [only] => Some(only),
        _ => None,
    }
}
