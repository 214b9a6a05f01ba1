//! Ranges of numbers, lengths of texts and lists, patterns.

use serde_json::{Map, Value as Json};

use super::{expect::plural, mistake, pattern};
use crate::{Diagnostic, Node, Value, codes};

/// The mistakes of `node` by the limits in `rules`.
pub(super) fn check(node: &Node, rules: &Map<String, Json>, subject: &str) -> Vec<Diagnostic> {
    match &node.value {
        Value::Int(_) | Value::Float(_) => number(node, rules, subject).into_iter().collect(),
        Value::Text(text) => text_limits(node, text, rules, subject),
        Value::Seq(items) => list_limits(node, items, rules, subject),
        _ => Vec::new(),
    }
}

fn number(node: &Node, rules: &Map<String, Json>, subject: &str) -> Option<Diagnostic> {
    let range = Range::of(rules);
    let inside = match node.value {
        Value::Int(value) => range.holds_integer(value),
        Value::Float(value) => range.holds(value),
        _ => true,
    };
    (!inside).then(|| mistake(&codes::OUT_OF_RANGE, node, &range.words(), subject))
}

/// The numbers that a schema allows; exact for integers.
struct Range {
    integers: Option<(i128, i128)>,
    min: Option<f64>,
    max: Option<f64>,
    above: Option<f64>,
    below: Option<f64>,
}

impl Range {
    fn of(rules: &Map<String, Json>) -> Self {
        let bound = |keyword: &str| rules.get(keyword).and_then(Json::as_f64);
        let integers = rules.get("format").and_then(Json::as_str).and_then(|format| {
            Some(match format {
                "uint8" => (0, u8::MAX.into()),
                "uint16" => (0, u16::MAX.into()),
                "uint32" => (0, u32::MAX.into()),
                "uint64" | "uint" => (0, u64::MAX.into()),
                "int8" => (i8::MIN.into(), i8::MAX.into()),
                "int16" => (i16::MIN.into(), i16::MAX.into()),
                "int32" => (i32::MIN.into(), i32::MAX.into()),
                "int64" | "int" => (i64::MIN.into(), i64::MAX.into()),
                _ => return None,
            })
        });
        Self {
            integers,
            min: bound("minimum"),
            max: bound("maximum"),
            above: bound("exclusiveMinimum"),
            below: bound("exclusiveMaximum"),
        }
    }

    fn holds_integer(&self, value: i128) -> bool {
        self.integers.is_none_or(|(min, max)| (min..=max).contains(&value)) && self.holds(value as f64)
    }

    fn holds(&self, value: f64) -> bool {
        self.min.is_none_or(|min| value >= min)
            && self.max.is_none_or(|max| value <= max)
            && self.above.is_none_or(|above| value > above)
            && self.below.is_none_or(|below| value < below)
    }

    fn words(&self) -> String {
        let (least, most) = self.integers.unzip();
        let lower = self.above.map(|above| format!("above {above}"));
        let lower = lower.or(self.min.map(|min| format!("at least {min}")));
        let upper = self.below.map(|below| format!("below {below}"));
        let upper = upper.or(self.max.map(|max| format!("at most {max}")));
        let bounds = [
            lower.or(least.map(|least| format!("at least {least}"))),
            upper.or(most.map(|most| format!("at most {most}"))),
        ];
        format!("a number {}", bounds.into_iter().flatten().collect::<Vec<_>>().join(" and "))
    }
}

fn text_limits(node: &Node, text: &str, rules: &Map<String, Json>, subject: &str) -> Vec<Diagnostic> {
    let length = length(text.chars().count(), rules, "minLength", "maxLength", "character");
    let length =
        length.map(|expected| mistake(&codes::WRONG_LENGTH, node, &format!("text of {expected}"), subject));
    let pattern = pattern::check(text, rules).map(|(code, expected)| mistake(code, node, expected, subject));
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
