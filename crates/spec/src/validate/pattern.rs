//! The few `pattern`s that schemas may hold, each with what it means: names are checked by schema, without regexes.

use serde_json::{Map, Value as Json};

use crate::{Code, Diagnostic, Entry, codes};

/// Names of steps, ports, models and profiles.
pub(crate) const IDENTIFIER: &str = "^[a-z][a-z0-9_]*$";
/// The name of a pipeline, which becomes a folder.
pub(crate) const PIPELINE_NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]*$";
/// `step` or `step.port`.
pub(crate) const REFERENCE: &str = "^[a-z][a-z0-9_]*([.][a-z][a-z0-9_]*)?$";
/// The base address of a server. Keys have no place in it: messages show it.
pub(crate) const ADDRESS: &str = "^https?://[^@?#]+$";
/// A path of this machine. Nothing but a shell knows what `~` and `$HOME` mean; `${HOME}` is replaced where it is declared.
pub const PATH: &str = "^(?!~(/|$))(?!.*[$]HOME)";
/// The name of an environment variable.
pub(crate) const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// A pattern and its meaning.
pub(super) struct Pattern {
    text: &'static str,
    pub(super) matches: fn(&str) -> bool,
    pub(super) expected: &'static str,
    pub(super) code: Code,
    pub(super) help: Option<&'static str>,
}

const PATTERNS: [Pattern; 8] = [
    Pattern {
        text: IDENTIFIER,
        matches: is_identifier,
        expected: "a name of lowercase letters, digits and `_` that begins with a letter",
        code: codes::NAME,
        help: None,
    },
    Pattern {
        text: PIPELINE_NAME,
        matches: is_pipeline_name,
        expected: "a name of letters, digits, `_`, `-` and `.` that begins with a letter or digit",
        code: codes::NAME,
        help: None,
    },
    Pattern {
        text: REFERENCE,
        matches: is_reference,
        expected: "`step` or `step.port`",
        code: codes::REFERENCE,
        help: None,
    },
    Pattern {
        text: ADDRESS,
        matches: is_address,
        expected: "an address such as `http://host:8000/v1`, without user, key or query",
        code: codes::ADDRESS,
        help: None,
    },
    Pattern {
        text: PATH,
        matches: is_path,
        expected: "a path without `~` and `$HOME`, which only a shell replaces,",
        code: codes::SHELL,
        help: Some(
            "write the path in full, as the shell does with `--set out=\"$HOME/o\"`; in a file `env: {HOME: {}}` gives `${HOME}`",
        ),
    },
    Pattern {
        text: VARIABLE,
        matches: is_variable,
        expected: "the name of an environment variable: letters, digits and `_`",
        code: codes::NAME,
        help: None,
    },
    // What schemars makes of maps with integer keys.
    Pattern { text: r"^\d+$", matches: is_digits, expected: "a whole number", code: codes::NAME, help: None },
    Pattern {
        text: r"^-?\d+$",
        matches: |text| is_digits(text.strip_prefix('-').unwrap_or(text)),
        expected: "an integer",
        code: codes::NAME,
        help: None,
    },
];

/// The pattern written as `text`.
pub(super) fn find(text: &str) -> Option<&'static Pattern> {
    PATTERNS.iter().find(|pattern| pattern.text == text)
}

/// The `pattern` in `rules` that a text does not match.
pub(super) fn check(text: &str, rules: &Map<String, Json>) -> Option<&'static Pattern> {
    let pattern = find(rules.get("pattern")?.as_str()?)?;
    (!(pattern.matches)(text)).then_some(pattern)
}

/// The mistake of a key by the rules of `propertyNames`.
pub(super) fn check_key(entry: &Entry, rules: &Map<String, Json>, subject: &str) -> Option<Diagnostic> {
    let pattern = check(&entry.key, rules)?;
    Some(key_mistake(&pattern.code, pattern.expected, entry, subject))
}

/// What the keys of a map with `patternProperties` must be.
pub(super) fn of_keys(rules: &Map<String, Json>) -> Option<&'static str> {
    find(rules.get("patternProperties")?.as_object()?.keys().next()?).map(|pattern| pattern.expected)
}

pub(super) fn key_mistake(code: &Code, expected: &str, entry: &Entry, subject: &str) -> Diagnostic {
    let words = format!("expected {expected} as a key of {subject}, found `{}`", entry.key);
    Diagnostic::new(code, entry.key_span, words)
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether `text` is `step` or `step.port`.
pub(crate) fn is_reference(text: &str) -> bool {
    let (step, port) = text.split_once('.').unwrap_or((text, "main"));
    is_identifier(step) && is_identifier(port)
}

fn is_pipeline_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))
}

fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['@', '?', '#']))
}

fn is_path(text: &str) -> bool {
    text != "~" && !text.starts_with("~/") && !text.contains("$HOME")
}

fn is_variable(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}
