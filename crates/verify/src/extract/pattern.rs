//! Answers by a regular expression of the user's.

use std::ops::Range;
use std::str::FromStr;

use super::InvalidExtract;

/// So many bytes at the end of a text are searched; matches that overlap cost more than one pass.
const MAX_BYTES: usize = 32 * 1024;

/// Largest compiled pattern, in bytes.
const MAX_PATTERN: usize = 1 << 20;

/// A regular expression in the syntax of the `regex` crate, which has no backreferences and takes linear time.
#[derive(Clone, Debug)]
pub struct Pattern(regex::Regex);

impl Pattern {
    /// The group `answer` of the last match, else its first group, else all of it; none if that is empty.
    pub(super) fn last(&self, text: &str) -> Option<Range<usize>> {
        let start = text.ceil_char_boundary(text.len().saturating_sub(MAX_BYTES));
        let text = &text[start..];
        let last = self.0.find_iter(text).last()?;
        let found = self.0.captures_at(text, last.start())?;
        let group = found.name("answer").or_else(|| found.get(1)).or_else(|| found.get(0))?;
        (!group.is_empty()).then(|| start + group.start()..start + group.end())
    }
}

impl FromStr for Pattern {
    type Err = InvalidExtract;

    fn from_str(pattern: &str) -> Result<Self, InvalidExtract> {
        let regex = regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
        let problem = |error: regex::Error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            InvalidExtract::Regex {
                pattern: pattern.to_owned(),
                problem: last.trim_start_matches("error: ").to_owned(),
            }
        };
        regex.map(Pattern).map_err(problem)
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_match_says_its_group() {
        let cases = [
            (r"\d+", "1 and 2", Some("2")),
            (r"x=(\d+)", "x=1, x=2", Some("2")),
            (r"(a)?(?P<answer>\d)", "a1 2", Some("2")),
            (r"x=(\d*)", "x=1 x=", None),
            (r"\d", "none", None),
        ];
        for (pattern, text, expected) in cases {
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(pattern.last(text).map(|range| &text[range]), expected, "{text}");
        }
    }

    #[test]
    fn long_texts_are_searched_at_their_end() {
        let pattern: Pattern = "[a-z]+".parse().unwrap();
        let text = format!("abc {} xyz é", "é ".repeat(MAX_BYTES));
        assert_eq!(pattern.last(&text).map(|range| &text[range]), Some("xyz"));
        assert_eq!(pattern.last(&text[.."abc é".len()]).map(|range| &text[range]), Some("abc"));
    }
}
