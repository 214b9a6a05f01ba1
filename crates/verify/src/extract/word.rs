//! Numbers written as words, for texts that have no digits.

use std::ops::Range;

/// Words up to twenty by value; "one" is left out, because it mostly counts nothing.
const SMALL: &[&str] = &[
    "zero",
    "",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
];

/// Words of tens, from twenty.
const TENS: &[&str] = &["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/// The only number that is written as a word in a text without digits, and its place; none where there are several.
pub(super) fn only_number(text: &str) -> Option<(usize, Range<usize>)> {
    if text.bytes().any(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let is_end = |c: char| !(c.is_alphanumeric() || c == '-' || c == '\'');
    let mut found = None;
    let mut at = 0;
    for word in text.split(is_end) {
        if let Some(value) = value(word) {
            if found.is_some() {
                return None;
            }
            found = Some((value, at..at + word.len()));
        }
        at += word.len() + text[at + word.len()..].chars().next().map_or(0, char::len_utf8);
    }
    found
}

/// The value of `word`, such as `Four` or `twenty-one`.
fn value(word: &str) -> Option<usize> {
    let position = |words: &[&str], word: &str| {
        words.iter().position(|known| !known.is_empty() && known.eq_ignore_ascii_case(word))
    };
    let tens = |word: &str| Some(20 + 10 * position(TENS, word)?);
    match word.split_once('-') {
        None => position(SMALL, word).or_else(|| tens(word)),
        Some((left, right)) => {
            let digit =
                if right.eq_ignore_ascii_case("one") { Some(1) } else { position(&SMALL[..10], right) };
            Some(tens(left)? + digit.filter(|digit| *digit > 0)?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_word_that_is_a_number_is_found() {
        let cases = [
            ("Four containers were imported on the second day.", Some((4, "Four"))),
            ("She is twenty-one.", Some((21, "twenty-one"))),
            ("ninety", Some((90, "ninety"))),
            ("Two or three", None),
            ("one of them", None),
            ("Two of 5", None),
            ("often", None),
            ("é", None),
            ("", None),
        ];
        for (text, expected) in cases {
            let found = only_number(text).map(|(value, range)| (value, &text[range]));
            assert_eq!(found, expected, "{text}");
        }
    }
}
