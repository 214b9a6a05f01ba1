//! Ranges of numbers, lengths of texts, lists and maps, patterns.

use std::ops::RangeInclusive;

use serde_json::{Map, Value as Json};

use super::{expect::plural, mistake, pattern};
use crate::{Diagnostic, Node, Value, codes};

/// The mistakes of `node` by the limits in `rules`.
pub(super) fn check(node: &Node, rules: &Map<String, Json>, subject: &str) -> Vec<Diagnostic> {
    match &node.value {
        Value::Int(_) | Value::Float(_) => number(node, rules, subject).into_iter().collect(),
        Value::Text(text) => text_limits(node, text, rules, subject),
        Value::Seq(items) => list_limits(node, items, rules, subject),
        Value::Map(entries) => map_limits(node, entries.len(), rules, subject).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn number(node: &Node, rules: &Map<String, Json>, subject: &str) -> Option<Diagnostic> {
    let (fits_type, value) = match node.value {
        Value::Int(value) => (integer_range(rules).is_none_or(|range| range.contains(&value)), value as f64),
        Value::Float(value) => (true, value),
        _ => return None,
    };
    let bound = |keyword: &str| rules.get(keyword).and_then(Json::as_f64);
    let missed =
        |min: fn(&f64, &f64) -> bool, keyword: &str| bound(keyword).is_some_and(|bound| min(&value, &bound));
    let inside = !missed(f64::lt, "minimum")
        && !missed(f64::gt, "maximum")
        && !missed(f64::le, "exclusiveMinimum")
        && !missed(f64::ge, "exclusiveMaximum");
    let expected = match (inside, fits_type, integer_range(rules)) {
        (true, true, _) => return None,
        (true, false, Some(range)) => format!("a number from {} to {}", range.start(), range.end()),
        _ => schema_range(&bound),
    };
    let types = rules.get("type").and_then(Json::as_array).map_or(&[][..], Vec::as_slice);
    let is_none = missed(f64::lt, "minimum") && types.iter().any(|name| name == "null");
    let help = is_none.then(|| "leave the key out where none is meant".to_owned());
    Some(Diagnostic { help, ..mistake(&codes::OUT_OF_RANGE, node, &expected, subject) })
}

/// The bounds that the schema states.
fn schema_range(bound: &dyn Fn(&str) -> Option<f64>) -> String {
    let words = [
        ("exclusiveMinimum", "above"),
        ("minimum", "at least"),
        ("exclusiveMaximum", "below"),
        ("maximum", "at most"),
    ];
    let words = words.iter().filter_map(|(keyword, words)| Some(format!("{words} {}", bound(keyword)?)));
    format!("a number {}", words.collect::<Vec<_>>().join(" and "))
}

/// What the Rust type of the value holds, exactly.
fn integer_range(rules: &Map<String, Json>) -> Option<RangeInclusive<i128>> {
    Some(match rules.get("format")?.as_str()? {
        "uint8" => 0..=u8::MAX.into(),
        "uint16" => 0..=u16::MAX.into(),
        "uint32" => 0..=u32::MAX.into(),
        "uint64" | "uint" => 0..=u64::MAX.into(),
        "int8" => i8::MIN.into()..=i8::MAX.into(),
        "int16" => i16::MIN.into()..=i16::MAX.into(),
        "int32" => i32::MIN.into()..=i32::MAX.into(),
        "int64" | "int" => i64::MIN.into()..=i64::MAX.into(),
        _ => return None,
    })
}

fn text_limits(node: &Node, text: &str, rules: &Map<String, Json>, subject: &str) -> Vec<Diagnostic> {
    let length = length(text.chars().count(), rules, "minLength", "maxLength", "character");
    let length =
        length.map(|expected| mistake(&codes::WRONG_LENGTH, node, &format!("text of {expected}"), subject));
    let pattern = pattern::check(text, rules).map(|pattern| Diagnostic {
        help: pattern.help.map(str::to_owned),
        ..mistake(&pattern.code, node, pattern.expected, subject)
    });
    length.into_iter().chain(pattern).collect()
}

fn list_limits(node: &Node, items: &[Node], rules: &Map<String, Json>, subject: &str) -> Vec<Diagnostic> {
    let length = length(items.len(), rules, "minItems", "maxItems", "item");
    let length = length.map(|expected| {
        let words = format!("expected a list of {expected} for {subject}, found {}", items.len());
        Diagnostic::new(&codes::WRONG_LENGTH, node.span, words)
    });
    let unique = rules.get("uniqueItems") == Some(&Json::Bool(true));
    let repeated = items.iter().enumerate().filter(|(position, _)| unique && *position > 0);
    let repeated = repeated.filter_map(|(position, item)| {
        let first = items[..position].iter().find(|first| *first == item)?;
        let words = format!("{} stands twice in {subject}", item.describe());
        Some(Diagnostic::new(&codes::REPEATED, item.span, words).label("second").related(first.span, "first"))
    });
    length.into_iter().chain(repeated).collect()
}

fn map_limits(node: &Node, n_keys: usize, rules: &Map<String, Json>, subject: &str) -> Option<Diagnostic> {
    let expected = length(n_keys, rules, "minProperties", "maxProperties", "key")?;
    let words = format!("expected a map of {expected} for {subject}, found {n_keys}");
    Some(Diagnostic::new(&codes::WRONG_LENGTH, node.span, words))
}

/// The expectation that `count` does not meet.
fn length(count: usize, rules: &Map<String, Json>, min: &str, max: &str, unit: &str) -> Option<String> {
    let bound = |keyword: &str| rules.get(keyword).and_then(Json::as_u64);
    let (min, max) = (bound(min), bound(max));
    let count = count as u64;
    if min.is_none_or(|min| count >= min) && max.is_none_or(|max| count <= max) {
        return None;
    }
    Some(match (min, max) {
        (Some(min), Some(max)) if min == max => plural(min, unit),
        (Some(min), Some(max)) => format!("{min} to {}", plural(max, unit)),
        (Some(min), None) => format!("at least {}", plural(min, unit)),
        (_, max) => format!("at most {}", plural(max.unwrap_or_default(), unit)),
    })
}
