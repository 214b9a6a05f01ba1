//! The letter of a choice.

use std::ops::Range;

use super::line::{first, tagged, whole};
use super::{Boxes, Strictness, boxed, phrase};

/// Words after which a letter names a choice.
const NOUNS: &[&str] = &["option ", "choice ", "answer ", "选项", "选择", "选"];

/// Commands and words that may stand before the letter of an answer.
const PREFIXES: &[&str] = &[
    "\\textbf", "\\textit", "\\text", "\\mathrm", "\\mathbf", "option ", "choice ", "Option ", "Choice ",
    "选项", "选",
];

/// Signs that may stand before the letter of an answer.
const OPENING: &[char] = &['$', '*', '{', '(', '[', '（', '`', '"'];

/// Signs behind a letter that names a choice.
const CLOSING: &[char] = &[')', '.', ':', '}', ']', '*', '$', '`', '"', '）', '、', '：', '\\'];

/// The letter that a completion chooses: of its box, tag or phrase, else at its start, else, unless strict, the last one
/// that is set apart, else, if lenient, the last lone capital. A box or phrase without a letter states no choice.
pub(super) fn letter(text: &str, strictness: Strictness) -> Option<Range<usize>> {
    let boxed = boxed::find(text, Boxes::Last).ok().map(|found| found.range);
    if let Some(stated) = boxed.or_else(|| tagged(text)).or_else(|| phrase::announced(text)) {
        return leading(text, stated);
    }
    let line = whole(text).map(|range| range.start..range.start + first(&text[range]).len());
    let start = line.and_then(|line| leading(text, line));
    match strictness {
        Strictness::Strict => start,
        Strictness::Normal => start.or_else(|| last_where(text, is_set_apart)),
        Strictness::Lenient => {
            start.or_else(|| last_where(text, is_set_apart)).or_else(|| last_where(text, is_lone))
        }
    }
}

/// The letter that the text in `range` begins with: `B`, `(b)`, `B.`, `B) 7`, `\text{(B)} 7`, `Option B`.
fn leading(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let mut rest = &text[range.clone()];
    while let Some(inside) = without_prefix(rest) {
        rest = inside;
    }
    let letter = rest.chars().next().filter(char::is_ascii_alphabetic)?;
    let (at, after) = (range.end - rest.len(), &rest[1..]);
    // A final period is no part of the range.
    let is_alone = after.trim().is_empty();
    let is_named = after.starts_with([' ', ',']) && letter.is_ascii_uppercase() && !is_article(letter, after);
    (is_alone || is_named || after.starts_with(CLOSING)).then_some(at..at + 1)
}

/// `text` without one thing that may stand before a letter; none where there is none.
fn without_prefix(text: &str) -> Option<&str> {
    let bare = text.trim_start();
    let prefix = || PREFIXES.iter().find_map(|prefix| bare.strip_prefix(prefix));
    bare.strip_prefix(OPENING).or_else(prefix).or((bare.len() < text.len()).then_some(bare))
}

/// The last letter of the text that `is` holds for, given what stands before and after it.
fn last_where(text: &str, is: impl Fn(&str, char, &str) -> bool) -> Option<Range<usize>> {
    let capitals = text.bytes().enumerate().rev().filter(|(_, byte)| byte.is_ascii_uppercase());
    let mut chosen = capitals.filter(|(at, byte)| is(&text[..*at], char::from(*byte), &text[at + 1..]));
    chosen.next().map(|(at, _)| at..at + 1)
}

/// `(B)`, `**B**`, `option B`.
fn is_set_apart(before: &str, _: char, after: &str) -> bool {
    let is_word = after.starts_with(|c: char| c.is_alphanumeric());
    let is_bold = before.ends_with("**") && after.starts_with("**");
    // `P(A)` is a probability.
    let opened = before.strip_suffix('(');
    let is_enclosed =
        after.starts_with(')') && opened.is_some_and(|head| !head.ends_with(char::is_alphanumeric));
    is_bold || is_enclosed || (!is_word && NOUNS.iter().any(|noun| before.ends_with(noun)))
}

/// A lone capital that is neither an article nor a pronoun nor far down the alphabet.
fn is_lone(before: &str, letter: char, after: &str) -> bool {
    let is_apart = !before.ends_with(char::is_alphanumeric)
        && !after.starts_with(|c: char| c.is_alphanumeric() || c == '\'');
    is_apart && letter <= 'J' && !is_article(letter, after)
}

fn is_article(letter: char, after: &str) -> bool {
    matches!(letter, 'A' | 'I') && after.trim_start().starts_with(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, strictness: Strictness) -> Option<&str> {
        letter(text, strictness).map(|range| &text[range])
    }

    #[test]
    fn letters_are_stated_in_many_ways() {
        let cases = [
            ("A", "A"),
            ("b", "b"),
            ("(C)", "C"),
            ("B. Paris", "B"),
            ("B) 7", "B"),
            ("**D**", "D"),
            ("A. Because B is not valid", "A"),
            ("The best answer is: (B) 05/31/2021.", "B"),
            ("The answer is A", "A"),
            ("The answer is U.", "U"),
            ("Answer: B Paris", "B"),
            ("so $\\boxed{\\text{(B) 25\\%}}$.", "B"),
            ("so $\\boxed{\\textbf{(A)} \\frac{5}{8}}$.", "A"),
            ("so \\boxed{C}", "C"),
            ("<answer>b</answer>", "b"),
            ("the best answer is:\n\n(A) No\n", "A"),
            ("所以选择C项，答案是C。", "C"),
            ("故选 B", "B"),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text, Strictness::Strict), Some(expected), "{text}");
        }
        for text in [
            "",
            "A nice dog",
            "The best answer is: Car",
            "The best answer is: (Animal)",
            "No answer here",
            "\\boxed{5}",
        ] {
            assert_eq!(found(text, Strictness::Lenient), None, "{text}");
        }
    }

    #[test]
    fn letters_that_are_set_apart_need_less_strictness() {
        for (text, expected) in [
            ("I think **B** is right", "B"),
            ("we choose option C here", "C"),
            ("It is (A) or rather (B)", "B"),
        ] {
            assert_eq!(
                (found(text, Strictness::Strict), found(text, Strictness::Normal)),
                (None, Some(expected)),
                "{text}"
            );
        }
        for text in ["Because B is valid", "P(A) and then B"] {
            assert_eq!(
                (found(text, Strictness::Normal), found(text, Strictness::Lenient)),
                (None, Some("B")),
                "{text}"
            );
        }
    }
}
