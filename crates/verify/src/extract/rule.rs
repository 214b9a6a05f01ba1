//! The rules by name.

use std::str::FromStr;

use super::json::{InvalidPath, JsonPath};
use super::pattern::Pattern;
use crate::name::{UnknownName, parse_name};

/// The rule that finds the answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Extract {
    /// `auto`: `boxed`, else `final_line`, else `tag`, else `phrase`, else `last_expression`.
    #[default]
    Auto,
    /// `boxed`: the content of the last `\boxed{...}`. One that never closes was cut off: no answer.
    Boxed,
    /// `final_line`: what follows the last `####` on its line.
    FinalLine,
    /// `tag`: the content of the last `<answer>...</answer>`.
    Tag,
    /// `phrase`: what follows the last "answer is", "answer:", line-initial "A:", 答案是, 答案为 and their like.
    Phrase,
    /// `last_line`: the last line that is not empty.
    LastLine,
    /// `last_number`: the last number in the text. A number inside an expression takes the expression with
    /// it (`x^2`, `5 * 1`), so that no operand is taken for an answer. In a text without digits, a number that is a word.
    LastNumber,
    /// `last_expression`: the last formula between delimiters (`$..$`, `\(..\)`, `\[..\]`), or the last number if that
    /// comes later.
    LastExpression,
    /// `choice`: the letter of a choice: in a box or phrase, at the start, or set apart as `(B)`, `**B**`, `option B`.
    Choice,
    /// `whole`: all of the text.
    Whole,
    /// `json:PATH`: the value at the path in the last JSON object or list of the text that has it.
    Json(JsonPath),
    /// `regex:PATTERN`: the last match: its group `answer`, else its first group, else all of it.
    Regex(Pattern),
}

/// A text that names no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExtract {
    /// There is no rule of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownName),
    /// What follows `json:` is no path.
    #[error(transparent)]
    Path(#[from] InvalidPath),
    /// What follows `regex:` is no pattern.
    #[error("invalid regex \"{pattern}\": {problem}")]
    Regex {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it, in one line.
        problem: String,
    },
}

impl Extract {
    /// Every name; the last two go on after their colon.
    pub const NAMES: &[&str] = &[
        "auto",
        "boxed",
        "final_line",
        "tag",
        "phrase",
        "last_line",
        "last_number",
        "last_expression",
        "choice",
        "whole",
        "json:PATH",
        "regex:PATTERN",
    ];

    /// The rules without arguments, in the order of their names.
    const PLAIN: &[Extract] = &[
        Extract::Auto,
        Extract::Boxed,
        Extract::FinalLine,
        Extract::Tag,
        Extract::Phrase,
        Extract::LastLine,
        Extract::LastNumber,
        Extract::LastExpression,
        Extract::Choice,
        Extract::Whole,
    ];

    /// The name, without arguments.
    pub fn name(&self) -> &'static str {
        match self {
            Extract::Json(_) => "json",
            Extract::Regex(_) => "regex",
            plain => {
                let at = Extract::PLAIN.iter().position(|rule| rule == plain);
                Extract::NAMES[at.expect("every rule without arguments is listed")]
            }
        }
    }
}

impl FromStr for Extract {
    type Err = InvalidExtract;

    fn from_str(text: &str) -> Result<Extract, InvalidExtract> {
        if let Some(path) = text.strip_prefix("json:") {
            return Ok(Extract::Json(path.parse()?));
        }
        if let Some(pattern) = text.strip_prefix("regex:") {
            return Ok(Extract::Regex(pattern.parse()?));
        }
        Ok(parse_name("extract", Extract::NAMES, Extract::PLAIN, text)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_return() {
        for name in &Extract::NAMES[..Extract::PLAIN.len()] {
            assert_eq!(name.parse::<Extract>().map(|rule| rule.name()), Ok(*name));
        }
        assert_eq!("json:a.b".parse::<Extract>().map(|rule| rule.name()), Ok("json"));
        assert_eq!("regex:x".parse::<Extract>().map(|rule| rule.name()), Ok("regex"));
    }

    #[test]
    fn mistakes_name_what_was_expected() {
        let told = |text: &str| text.parse::<Extract>().expect_err(text).to_string();
        assert!(
            told("Boxed").starts_with("unknown extract \"Boxed\", expected one of: auto, boxed, final_line")
        );
        assert!(told("regex:(").starts_with("invalid regex \"(\": "));
        assert_eq!(told("json:a["), "invalid JSON path \"a[\": expected `]`");
    }
}
