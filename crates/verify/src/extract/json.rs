//! Answers in JSON: the value at a path, exactly as it is written.
//!
//! The text is walked, not parsed into values, so that no digit of a number is lost and the answer keeps its place.

mod walk;

use std::borrow::Cow;
use std::fmt::{self, Display};
use std::str::FromStr;

use super::Extracted;
use walk::Walker;

/// Most groups of a text that are tried, from the last.
const MAX_GROUPS: usize = 64;

/// A way through nested objects and lists: `answer`, `result.items[0].value`, `$["final answer"]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath(Vec<Segment>);

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// Into the value of a key.
    Key(String),
    /// To an element of a list, from 0.
    Index(usize),
}

/// A text that is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid JSON path \"{path}\": {problem}")]
pub struct InvalidPath {
    path: String,
    problem: &'static str,
}

impl JsonPath {
    /// The value at this path in the last object or list of `text` that has one. Texts are given without their quotes,
    /// null and empty texts are none, and objects and lists are given as they are written.
    pub(super) fn find<'a>(&self, text: &'a str) -> Option<Extracted<'a>> {
        groups(text).iter().rev().take(MAX_GROUPS).find_map(|start| self.value(text, *start))
    }

    fn value<'a>(&self, text: &'a str, start: usize) -> Option<Extracted<'a>> {
        let mut walker = Walker::new(text, start);
        for segment in &self.0 {
            match segment {
                Segment::Key(key) => walker.enter_key(key)?,
                Segment::Index(index) => walker.enter_index(*index)?,
            }
        }
        let range = walker.value()?;
        let written = &text[range.clone()];
        let (text, range) = match written.strip_prefix('"') {
            Some(_) => (walk::unescaped(&written[1..written.len() - 1]), range.start + 1..range.end - 1),
            None => (Cow::Borrowed(written), range),
        };
        let is_none = text.trim().is_empty() || text == "null";
        (!is_none).then_some(Extracted { text, range, method: "json" })
    }
}

/// Where the outermost objects and lists of a text begin that are closed.
fn groups(text: &str) -> Vec<usize> {
    let (mut closed, mut open) = (Vec::new(), Vec::new());
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            // Outside of groups, quotes are prose.
            b'"' => quoted = !quoted && !open.is_empty(),
            // No JSON text goes over the end of a line.
            b'\n' => quoted = false,
            b'{' | b'[' if !quoted => open.push(at),
            b'}' | b']' if !quoted => {
                if let Some(start) = open.pop() {
                    closed.truncate(closed.partition_point(|inner| *inner < start));
                    closed.push(start);
                }
            }
            _ => {}
        }
    }
    closed
}

impl FromStr for JsonPath {
    type Err = InvalidPath;

    fn from_str(path: &str) -> Result<Self, InvalidPath> {
        let invalid = |problem| InvalidPath { path: path.to_owned(), problem };
        let mut rest = path.strip_prefix('$').unwrap_or(path);
        let mut segments = Vec::new();
        while !rest.is_empty() {
            let (segment, after) = segment(rest, segments.is_empty()).map_err(invalid)?;
            segments.push(segment);
            rest = after;
        }
        Ok(Self(segments))
    }
}

/// The first segment of a path and what follows it.
fn segment(path: &str, is_first: bool) -> Result<(Segment, &str), &'static str> {
    if let Some(inside) = path.strip_prefix('[') {
        let (index, rest) = inside.split_once(']').ok_or("expected `]`")?;
        let quoted = index.strip_prefix('"').and_then(|key| key.strip_suffix('"'));
        let segment = match quoted {
            Some(key) => Segment::Key(key.to_owned()),
            None => Segment::Index(
                index.parse().map_err(|_| "expected a number from 0 or a key in quotes in `[]`")?,
            ),
        };
        return Ok((segment, rest));
    }
    let name = match path.strip_prefix('.') {
        Some(name) => name,
        None if is_first => path,
        None => return Err("expected `.` or `[`"),
    };
    let len = name.find(['.', '[']).unwrap_or(name.len());
    if len == 0 {
        return Err("expected a key after `.`");
    }
    Ok((Segment::Key(name[..len].to_owned()), &name[len..]))
}

impl Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        self.0.iter().try_for_each(|segment| match segment {
            Segment::Key(key) => write!(f, "[\"{key}\"]"),
            Segment::Index(index) => write!(f, "[{index}]"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Option<String> {
        let path: JsonPath = path.parse().expect(path);
        assert_eq!(path.to_string().parse(), Ok(path.clone()));
        path.find(text).map(|found| found.text.into_owned())
    }

    #[test]
    fn values_come_as_written() {
        let cases = [
            ("answer", r#"{"answer": 18.50}"#, Some("18.50")),
            (
                "answer",
                r#"{"answer": 123456789012345678901234567890}"#,
                Some("123456789012345678901234567890"),
            ),
            (
                "answer",
                "So:\n```json\n{\n \"steps\": [\"a}\", {\"b\": 1}],\n \"answer\": \"5 cm\"\n}\n```",
                Some("5 cm"),
            ),
            ("answer", r#"{"answer": 1} or rather {"answer": 2}, {"note": 3}"#, Some("2")),
            ("a.b[1].c", r#"{"a": {"b": [0, {"c": true}]}}"#, Some("true")),
            ("$.a", r#"{"a": [1, 2]}"#, Some("[1, 2]")),
            ("[0]", "the list [7, 8]", Some("7")),
            ("$[\"final answer\"]", r#"{"final answer": "x"}"#, Some("x")),
            ("answer", r#"{"answer": "\frac{1}{2}"}"#, Some("\\frac{1}{2}")),
            ("answer", r#"{"answer": "\\frac{1}{2}"}"#, Some("\\frac{1}{2}")),
            ("answer", r#"{"answer": "\sqrt{2} \u00e9 \"q\""}"#, Some("\\sqrt{2} é \"q\"")),
            ("answer", r#"the set {1, 2 is {"answer": 3}"#, Some("3")),
            ("answer", r#"{"answer": "\é\"}"}"#, Some("\\é\"}")),
            ("answer", r#"{"answer": null}"#, None),
            ("answer", r#"{"answer": ""}"#, None),
            ("answer", r#"{"answer": 5"#, None),
            ("answer", r#"{"other": 5}"#, None),
            ("a.b", r#"{"a": 5}"#, None),
            ("[2]", "[1, 2]", None),
            ("answer", "none", None),
        ];
        for (path, text, expected) in cases {
            assert_eq!(found(path, text).as_deref(), expected, "{path} in {text}");
        }
    }

    #[test]
    fn wrong_paths_are_told() {
        for path in ["a..b", "a.", "[x]", "a[0]b", "a[-1]", "["] {
            assert!(path.parse::<JsonPath>().is_err(), "{path}");
        }
    }
}
