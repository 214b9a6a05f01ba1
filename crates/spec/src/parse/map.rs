//! A map that is still open: keys are unique, `<<` merges.

use std::collections::HashMap;

use crate::{Diagnostic, Entry, Node, Span, Value, codes};

/// What was read of a map so far.
#[derive(Default)]
pub(super) struct OpenMap {
    entries: Vec<Entry>,
    seen: HashMap<String, Span>,
    merged: Vec<Node>,
    pub(super) key: Key,
}

/// What the next node of a map is.
#[derive(Default)]
pub(super) enum Key {
    /// A key.
    #[default]
    Awaited,
    /// The value of this key.
    Named(String, Span),
    /// What `<<` merges.
    Merge,
    /// The value of a key that was refused.
    Refused,
}

impl OpenMap {
    /// Takes what follows a key, or says why not: it is itself in the place of a key, or the key's second value.
    pub(super) fn put(&mut self, node: Node) -> Option<Diagnostic> {
        match std::mem::take(&mut self.key) {
            Key::Awaited => {
                self.key = Key::Refused;
                let words = format!("expected a key that is text, found {}", node.describe());
                let mistake = Diagnostic::new(&codes::KEY, node.span, words);
                let in_braces = matches!(node.value, Value::Map(_));
                let quote = "braces begin a map: put a template in quotes, as in `\"{{ question }}\"`";
                Some(if in_braces { mistake.help(quote) } else { mistake })
            }
            Key::Refused => None,
            Key::Merge => self.merge(node),
            Key::Named(key, key_span) => match self.seen.get(&key) {
                Some(first) => Some(
                    Diagnostic::new(&codes::DUPLICATE_KEY, key_span, format!("key `{key}` is written twice"))
                        .label("second")
                        .related(*first, "first"),
                ),
                None => {
                    self.seen.insert(key.clone(), key_span);
                    self.entries.push(Entry { key, key_span, value: node });
                    None
                }
            },
        }
    }

    fn merge(&mut self, node: Node) -> Option<Diagnostic> {
        let parts = match node.value {
            Value::Seq(items) => items,
            _ => vec![node],
        };
        match parts.iter().find(|part| !matches!(part.value, Value::Map(_))) {
            Some(part) => {
                let words = format!("expected a map to merge, found {}", part.describe());
                Some(Diagnostic::new(&codes::MERGE, part.span, words))
            }
            None => {
                self.merged.extend(parts);
                None
            }
        }
    }

    /// The entries: those written here, then those merged; the first of a name wins.
    pub(super) fn finish(mut self) -> Vec<Entry> {
        for part in self.merged {
            let Value::Map(entries) = part.value else { continue };
            for entry in entries {
                if self.seen.insert(entry.key.clone(), entry.key_span).is_none() {
                    self.entries.push(entry);
                }
            }
        }
        self.entries
    }
}
