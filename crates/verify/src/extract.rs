//! Where a completion states its final answer.
//!
//! Every rule returns a slice of the completion, or nothing: "no answer found" is an outcome that the caller
//! handles, never an empty string. A slice ends before a final period, closing emphasis and special tokens
//! such as `<|eot_id|>`; signs of money, thousands separators and units stay in it, because
//! [`compare`](crate::compare()) understands them. Calculator annotations (`<<48/2=24>>`) are not text.

mod number;

use std::ops::Range;
use std::str::FromStr;

use crate::name::{UnknownName, parse_name};

/// The rule that finds the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extract {
    /// `final_line`: what follows the last `####` on its line.
    FinalLine,
    /// `boxed`: the content of the last `\boxed{...}`. One that never closes was cut off: no answer.
    Boxed,
    /// `last_number`: the last number in the text. A number inside an expression takes the expression with
    /// it (`x^2`, `5 * 1`), so that no operand is taken for an answer.
    LastNumber,
    /// `auto`: `boxed`, else `final_line`, else what follows the last "answer is", "answer:" or line-initial
    /// "A:", else `last_number`.
    Auto,
}

impl Extract {
    /// Every name, in the order of the variants.
    pub const NAMES: &[&str] = &["final_line", "boxed", "last_number", "auto"];
}

impl FromStr for Extract {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Extract, UnknownName> {
        let values = [Extract::FinalLine, Extract::Boxed, Extract::LastNumber, Extract::Auto];
        parse_name("extract", Extract::NAMES, &values, name)
    }
}

/// An answer and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted<'a> {
    /// The answer as written, never empty.
    pub text: &'a str,
    /// Its place in the completion, in bytes.
    pub range: Range<usize>,
    /// The rule that found it: `final_line`, `boxed`, `phrase` or `last_number`.
    pub method: &'static str,
}

/// The final answer of a completion; none when it states none in the way asked for.
pub fn extract(text: &str, how: Extract) -> Option<Extracted<'_>> {
    let found = |range: Option<Range<usize>>, method| {
        range.map(|range| Extracted { text: &text[range.clone()], range, method })
    };
    let final_line = || found(final_line(text), "final_line");
    let last_number = || found(number::last_number(text), "last_number");
    match how {
        Extract::FinalLine => final_line(),
        Extract::Boxed => found(boxed(text), "boxed"),
        Extract::LastNumber => last_number(),
        Extract::Auto if text.contains(BOXED) => found(boxed(text), "boxed"),
        Extract::Auto => final_line().or_else(|| found(phrase(text), "phrase")).or_else(last_number),
    }
}

const BOXED: &str = "\\boxed{";

fn boxed(text: &str) -> Option<Range<usize>> {
    let start = text.rfind(BOXED)? + BOXED.len();
    let len = closing_brace(&text.as_bytes()[start..])?;
    tidy(text, start..start + len)
}

/// Bytes before the brace that closes the group that `bytes` is inside of.
fn closing_brace(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => {}
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(i),
            b'}' => depth -= 1,
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
    }
    None
}

/// What follows the last run of exactly four `#`; longer runs are headings.
fn final_line(text: &str) -> Option<Range<usize>> {
    let mut end = text.len();
    loop {
        let after = text[..end].rfind("####")? + 4;
        let hashes = text[..after].bytes().rev().take_while(|byte| *byte == b'#').count();
        if hashes == 4 {
            return line_at(text, after);
        }
        end = after - hashes;
    }
}

/// What follows the last phrase that announces an answer, up to the end of its sentence.
fn phrase(text: &str) -> Option<Range<usize>> {
    let start = last_announcement(text)?;
    let start = start + skipped(&text[start..], |c| c.is_whitespace() || matches!(c, ':' | '*'));
    let rest = line(&text[start..]);
    let len = sentence_len(rest);
    tidy(text, start..start + len)
}

/// The byte after the last "answer is", "answer:" or line-initial "A:".
fn last_announcement(text: &str) -> Option<usize> {
    const ANSWER: &[u8] = b"answer";
    let bytes = text.as_bytes();
    (0..bytes.len()).rev().find_map(|i| match bytes[i] {
        b'A' if bytes.get(i + 1) == Some(&b':') && (i == 0 || bytes[i - 1] == b'\n') => Some(i + 2),
        b'a' | b'A' => {
            let after = bytes.get(i + ANSWER.len()..)?;
            let is_answer = bytes[i..i + ANSWER.len()].eq_ignore_ascii_case(ANSWER);
            is_answer.then(|| verb_len(after).map(|len| i + ANSWER.len() + len)).flatten()
        }
        _ => None,
    })
}

/// Bytes of ` is ` or `:` (emphasis aside) at the start.
fn verb_len(after: &[u8]) -> Option<usize> {
    let emphasis = after.iter().take_while(|byte| **byte == b'*').count();
    match &after[emphasis..] {
        [b':', ..] => Some(emphasis + 1),
        [b' ', b'i', b's', next, ..] if !next.is_ascii_alphanumeric() => Some(emphasis + 3),
        _ => None,
    }
}

/// Bytes before the period, or other end, that closes the sentence; a decimal point does not.
fn sentence_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let ends = |i: usize| bytes[i] == b'.' && bytes.get(i + 1).is_none_or(u8::is_ascii_whitespace);
    (0..bytes.len()).find(|i| ends(*i)).unwrap_or(bytes.len())
}

/// The answer on the line that goes on at `start`: after its last calculator annotation, if it has one.
fn line_at(text: &str, start: usize) -> Option<Range<usize>> {
    let rest = line(&text[start..]);
    let annotated = rest.rfind(">>").map_or(0, |i| i + 2);
    tidy(text, start + annotated..start + rest.len())
}

fn line(text: &str) -> &str {
    &text[..text.find('\n').unwrap_or(text.len())]
}

/// `range` without the space, emphasis, special tokens and final period around the answer; none if empty.
fn tidy(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let mut answer = &text[range.clone()];
    if let Some(token) = answer.find("<|").or_else(|| answer.find("</")) {
        answer = &answer[..token];
    }
    let start = range.start + skipped(answer, |c| c.is_whitespace() || c == '*');
    let answer = answer.trim_start_matches(|c: char| c.is_whitespace() || c == '*');
    let answer = answer.trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '.'));
    (!answer.is_empty()).then(|| start..start + answer.len())
}

fn skipped(text: &str, skip: impl Fn(char) -> bool) -> usize {
    text.len() - text.trim_start_matches(skip).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(completion: &str, how: Extract) -> Option<&str> {
        let extracted = extract(completion, how)?;
        assert_eq!(&completion[extracted.range], extracted.text);
        Some(extracted.text)
    }

    #[test]
    fn final_lines() {
        let cases = [
            ("She has 9.\n#### 18", Some("18")),
            ("#### 18.\n", Some("18")),
            ("#### 18.50 dollars.", Some("18.50 dollars")),
            ("#### $1,200\nmore", Some("$1,200")),
            ("#### 1\n#### 2", Some("2")),
            ("The answer is #### 42<|eot_id|>", Some("42")),
            ("#### <<48/2=24>>24", Some("24")),
            ("#### **7**", Some("7")),
            ("#### 5\n##### heading", Some("5")),
            ("####\n18", None),
            ("18", None),
            ("", None),
        ];
        for (completion, expected) in cases {
            assert_eq!(text(completion, Extract::FinalLine), expected, "{completion}");
        }
    }

    #[test]
    fn boxes() {
        let cases = [
            ("$\\boxed{1}$ then $\\boxed{\\frac{1}{2}}$.", Some("\\frac{1}{2}")),
            ("\\boxed{\\left\\{1\\right\\}}", Some("\\left\\{1\\right\\}")),
            ("\\boxed{ 7. }", Some("7")),
            ("\\boxed{1} and \\boxed{2", None),
            ("\\boxed{}", None),
            ("no box", None),
        ];
        for (completion, expected) in cases {
            assert_eq!(text(completion, Extract::Boxed), expected, "{completion}");
        }
    }

    #[test]
    fn automatic_order() {
        let cases = [
            ("#### 3\n\\boxed{4}", Some(("4", "boxed"))),
            ("The answer is 5.\n#### 3", Some(("3", "final_line"))),
            ("So the answer is: **$18.50**. It is 7.", Some(("$18.50", "phrase"))),
            ("answer is 3\nThe final answer is 4 eggs.", Some(("4 eggs", "phrase"))),
            ("She has 9\nA: 10+John's age", Some(("10+John's age", "phrase"))),
            ("**Answer:** B", Some(("B", "phrase"))),
            ("Answer:\n12", Some(("12", "phrase"))),
            ("The answers are 3 and 4", Some(("4", "last_number"))),
            ("In total $1,234.", Some(("$1,234", "last_number"))),
            ("\\boxed{3", None),
            ("nothing", None),
        ];
        for (completion, expected) in cases {
            let found = extract(completion, Extract::Auto).map(|found| (found.text, found.method));
            assert_eq!(found, expected, "{completion}");
        }
    }

    #[test]
    fn names_are_parsed() {
        assert_eq!("last_number".parse(), Ok(Extract::LastNumber));
        assert!("Boxed".parse::<Extract>().is_err());
    }
}
