//! The pipeline as the user wrote it, checked in form: what planning starts from.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::de::DeserializeOwned;

use crate::{Budget, Diagnostic, Entry, Model, Node, Rounds, Span, Test, Value};

/// A pipeline. Sections with mistakes are left out, so that the rest can still be checked; then it is not complete.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The pipeline's name.
    pub name: String,
    /// Seed of every random choice.
    pub seed: u64,
    /// Folder of everything published.
    pub out: String,
    /// Declared models by name.
    pub models: BTreeMap<String, Model>,
    /// Steps in the order of the text.
    pub steps: Vec<Step>,
    /// The loop, if there is one.
    pub rounds: Option<Rounds>,
    /// Tests, each with its position in the list of the text.
    pub tests: Vec<(usize, Test)>,
    /// Limits of a run.
    pub budget: Budget,
    tree: Node,
    secrets: Vec<String>,
    complete: bool,
}

/// A step: its operator, where its rows come from, and the operator's own keys.
#[derive(Clone, Debug)]
pub struct Step {
    /// Name.
    pub name: String,
    /// Where the name is written.
    pub name_span: Span,
    /// The operator, unless it is missing or no text.
    pub op: Option<String>,
    /// The references of `from` that have the right form, with their places.
    pub from: Vec<(Reference, Span)>,
    /// Whether `from` is as it was written: none of its references was left out for its form.
    pub from_is_whole: bool,
    /// The whole map, `op` and `from` included.
    pub node: Node,
}

/// `step` or `step.port`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// The step.
    pub step: String,
    /// The port; `None` means the main one.
    pub port: Option<String>,
}

impl Reference {
    /// The reference in `text`; `None` when the form is another.
    pub fn parse(text: &str) -> Option<Self> {
        crate::validate::is_reference(text).then(|| match text.split_once('.') {
            Some((step, port)) => Self { step: step.to_owned(), port: Some(port.to_owned()) },
            None => Self { step: text.to_owned(), port: None },
        })
    }
}

impl std::fmt::Display for Reference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.port {
            Some(port) => write!(f, "{}.{port}", self.step),
            None => f.write_str(&self.step),
        }
    }
}

impl Spec {
    /// What `tree` says; `complete` tells whether it was found free of mistakes.
    pub(crate) fn new(tree: Node, secrets: Vec<String>, complete: bool) -> Self {
        let text = |key: &str| tree.get(key).and_then(Node::text).map(str::to_owned);
        let name = text("name").unwrap_or_default();
        let models =
            entries(&tree, "models").filter_map(|entry| Some((entry.key.clone(), read(&entry.value)?)));
        let tests = tree.get("tests").map_or(&[][..], Node::items).iter().enumerate();
        let tests = tests.filter_map(|(position, node)| Some((position, read_test(node)?)));
        Self {
            seed: tree.get("seed").and_then(read).unwrap_or_default(),
            out: text("out").unwrap_or_else(|| format!("out/{name}")),
            models: models.collect(),
            steps: entries(&tree, "steps").map(Step::new).collect(),
            rounds: tree.get("rounds").map(read_rounds),
            tests: tests.collect(),
            budget: tree.get("budget").and_then(read).unwrap_or_default(),
            name,
            tree,
            secrets,
            complete,
        }
    }

    /// Whether no mistake was found in the form of the pipeline.
    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// The names of the models that the text declares, even of those with mistakes.
    pub fn declared_models(&self) -> impl Iterator<Item = &str> {
        entries(&self.tree, "models").map(|entry| entry.key.as_str())
    }

    /// Whether the text declares a model of this name, even one with mistakes.
    pub fn declares_model(&self, name: &str) -> bool {
        self.declared_models().any(|declared| declared == name)
    }

    /// The names of the profiles that the text declares.
    pub fn profiles(&self) -> Vec<String> {
        entries(&self.tree, "profiles").map(|entry| entry.key.clone()).collect()
    }

    /// Whether there is a value at a dotted path.
    pub fn has(&self, path: &str) -> bool {
        self.tree.at(path).is_some()
    }

    /// The place of the value at a dotted path (`rounds.feed.policy`); the start of the text if there is none.
    pub fn span(&self, path: &str) -> Span {
        self.tree.at(path).map_or(Span { end: self.tree.span.start, ..self.tree.span }, |node| node.span)
    }

    /// The place of the key at a dotted path; the value's place for an item of a list.
    pub fn key_span(&self, path: &str) -> Span {
        let (parent, key) = path.rsplit_once('.').unwrap_or(("", path));
        let entry = self.tree.at(parent).and_then(|node| node.entry(key));
        entry.map_or_else(|| self.span(path), |entry| entry.key_span)
    }

    /// Hides the values of secrets in everything that `diagnostic` says.
    pub fn redact(&self, diagnostic: &mut Diagnostic) {
        let Diagnostic { message, label, related, help, .. } = diagnostic;
        let words = related.iter_mut().map(|(_, words)| words);
        for text in words.chain([message]).chain(label).chain(help) {
            for secret in self.secrets.iter().filter(|secret| !secret.is_empty()) {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), "***");
                }
            }
        }
    }
}

impl Step {
    fn new(entry: &Entry) -> Self {
        let from = entry.value.get("from").filter(|node| node.value != Value::Null);
        let written: Vec<&Node> = match from {
            Some(node) if node.text().is_some() => vec![node],
            Some(node) => node.items().iter().collect(),
            None => Vec::new(),
        };
        let references: Vec<(Reference, Span)> =
            written.iter().filter_map(|node| Some((Reference::parse(node.text()?)?, node.span))).collect();
        Self {
            name: entry.key.clone(),
            name_span: entry.key_span,
            op: entry.value.get("op").and_then(Node::text).map(str::to_owned),
            from_is_whole: references.len() == written.len() && (from.is_none() || !written.is_empty()),
            from: references,
            node: entry.value.clone(),
        }
    }
}

fn entries<'a>(tree: &'a Node, key: &str) -> impl Iterator<Item = &'a Entry> {
    tree.get(key).map_or(&[][..], Node::entries).iter()
}

/// The loop; what is wrong in it is left out.
fn read_rounds(node: &Node) -> Rounds {
    let feed =
        entries(node, "feed").filter_map(|entry| Some((entry.key.clone(), entry.value.text()?.to_owned())));
    Rounds {
        count: node.get("count").and_then(read).unwrap_or(NonZeroU32::MIN),
        feed: feed.collect(),
        gate: node.get("gate").and_then(read),
        on_change: node.get("on_change").and_then(read).unwrap_or_default(),
    }
}

/// A test, if it names a step; what is wrong in it is left out, and wrong rows are empty to keep their positions.
fn read_test(node: &Node) -> Option<Test> {
    let given = node.get("given").map_or(&[][..], Node::items);
    Some(Test {
        name: node.get("name").and_then(read),
        step: node.get("step").and_then(read)?,
        given: given.iter().map(|row| read(row).unwrap_or_default()).collect(),
        expect: entries(node, "expect")
            .filter_map(|entry| Some((entry.key.clone(), read(&entry.value)?)))
            .collect(),
    })
}

fn read<T: DeserializeOwned>(node: &Node) -> Option<T> {
    serde_json::from_value(node.to_json()).ok()
}
