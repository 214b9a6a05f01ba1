//! `${NAME}` in texts: replaced after parsing, and only where the file declares the variable.
//!
//! Replaced are `${NAME}` and `${NAME:-default}`; `$${` stands for `${`. Every other `$` is text, since prompts and
//! answers are full of LaTeX. A value is never parsed again, so it can neither add keys nor change a type.

use std::collections::BTreeMap;

use crate::suggest::help_with_names;
use crate::{Diagnostic, Entry, Node, Span, Value, codes};

/// Values of the environment, handed in by the caller.
pub type Environment = BTreeMap<String, String>;

/// Replaces the variables in all texts outside the `env` section. Returns the values of used secrets.
pub(crate) fn interpolate(
    root: &mut Node,
    environment: &Environment,
    found: &mut Vec<Diagnostic>,
) -> Vec<String> {
    let declared: Vec<Declared> = root
        .get("env")
        .map_or(&[][..], Node::entries)
        .iter()
        .map(|entry| Declared::new(entry, environment))
        .collect();
    let mut texts = Texts { declared, secrets: Vec::new(), found };
    if let Value::Map(entries) = &mut root.value {
        entries
            .iter_mut()
            .filter(|entry| entry.key != "env")
            .for_each(|entry| texts.replace(&mut entry.value));
    }
    texts.secrets
}

/// A variable under `env`.
struct Declared {
    name: String,
    span: Span,
    value: Option<String>,
    secret: bool,
}

impl Declared {
    fn new(entry: &Entry, environment: &Environment) -> Self {
        let default = entry.value.get("default").and_then(Node::text).map(str::to_owned);
        let secret = entry.value.get("secret").is_some_and(|node| node.value == Value::Bool(true));
        let value = environment.get(&entry.key).cloned().or(default);
        Self { name: entry.key.clone(), span: entry.key_span, value, secret }
    }
}

struct Texts<'a> {
    declared: Vec<Declared>,
    secrets: Vec<String>,
    found: &'a mut Vec<Diagnostic>,
}

impl Texts<'_> {
    fn replace(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Seq(items) => items.iter_mut().for_each(|item| self.replace(item)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| self.replace(&mut entry.value)),
            Value::Text(text) if text.contains("${") => {
                let (replaced, secret) = self.expand(text, node.span);
                let written = std::mem::replace(text, replaced);
                node.masked = secret.then(|| written.into());
            }
            _ => {}
        }
    }

    /// The text with its variables replaced, and whether a secret is in it.
    fn expand(&mut self, text: &str, span: Span) -> (String, bool) {
        let (mut out, mut rest, mut secret) = (String::new(), text, false);
        while let Some(at) = rest.find("${") {
            let (before, tail) = rest.split_at(at);
            if let Some(before) = before.strip_suffix('$') {
                out.extend([before, "${"]);
                rest = &tail[2..];
                continue;
            }
            out.push_str(before);
            rest = match Variable::parse(tail) {
                Some((variable, after)) => {
                    secret |= self.push_value(&variable, &mut out, span);
                    after
                }
                None => {
                    self.refuse(tail, span);
                    out.push_str("${");
                    &tail[2..]
                }
            };
        }
        out.push_str(rest);
        (out, secret)
    }

    /// Appends the variable's value; returns whether it is a secret.
    fn push_value(&mut self, variable: &Variable<'_>, out: &mut String, span: Span) -> bool {
        let Some(declared) = self.declared.iter().find(|declared| declared.name == variable.name) else {
            let names: Vec<&str> = self.declared.iter().map(|declared| &*declared.name).collect();
            let words = format!("variable `{}` is not declared under `env`", variable.name);
            let help = match names.as_slice() {
                [] => format!("declare it: `env: {{{}: {{}}}}`", variable.name),
                names => help_with_names(variable.name, "declared variables", names),
            };
            self.found.push(Diagnostic::new(&codes::UNDECLARED, span, words).help(help));
            return false;
        };
        match declared.value.as_deref().or(variable.default) {
            Some(value) => out.push_str(value),
            None => self.found.push(
                Diagnostic::new(
                    &codes::UNDEFINED,
                    span,
                    format!("variable `{}` has no value", variable.name),
                )
                .related(declared.span, "declared without a default")
                .help("set it in the environment, or give it a `default`"),
            ),
        }
        if declared.secret {
            self.secrets.extend(declared.value.clone());
        }
        declared.secret
    }

    /// Reports `${` before something that looks like a variable and is none; `${2}` and `${\pi}` are just text.
    fn refuse(&mut self, tail: &str, span: Span) {
        if tail[2..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            let shown: String = tail.chars().take_while(|c| !c.is_whitespace()).take(20).collect();
            let diagnostic = Diagnostic::new(
                &codes::INTERPOLATION,
                span,
                format!("expected `${{NAME}}`, found `{shown}`"),
            );
            self.found.push(diagnostic.help("write `$${` for the text `${` itself"));
        }
    }
}

/// `${NAME}` or `${NAME:-default}`.
struct Variable<'a> {
    name: &'a str,
    default: Option<&'a str>,
}

impl<'a> Variable<'a> {
    /// The variable at the start of `text` (which begins with `${`), and what follows it.
    fn parse(text: &'a str) -> Option<(Self, &'a str)> {
        let (inside, after) = text[2..].split_once('}')?;
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        let head = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
        let tail = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (head && tail).then_some((Self { name, default }, after))
    }
}
