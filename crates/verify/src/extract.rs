//! Where a completion states its final answer.
//!
//! An [`Extract`] says where to look, [`Strictness`] how clearly the answer must be marked. What is found is a slice of the
//! completion (several boxes and escaped JSON texts are written anew); what is not found is a [`NoAnswer`] that says
//! why, never an empty string. A slice ends before a final period, closing emphasis and special tokens such as
//! `<|eot_id|>`; signs of money, thousands separators and units stay in it, because
//! [`compare`](crate::compare()) understands them. Calculator annotations (`<<48/2=24>>`) are not text.
//!
//! **Reasoning.** What stands before the last `</think>` (or `</thinking>`, `</reasoning>`) is not stated as an answer,
//! and reasoning that never ends was cut off. Only [`Strictness::Lenient`] looks there too.
//!
//! **Length.** Every rule takes time linear in what it reads, and but for `whole` that is the last 64 KiB: an answer
//! stands at the end.

mod boxed;
mod braces;
mod choice;
mod expression;
mod json;
mod line;
mod number;
mod pattern;
mod phrase;
mod reasoning;
mod rule;
mod sentence;
mod word;

use std::borrow::Cow;
use std::ops::Range;
use std::str::FromStr;

use crate::name::{UnknownName, parse_name};

pub use boxed::Boxes;
pub use json::JsonPath;
pub use pattern::Pattern;
pub use rule::{Extract, InvalidExtract};
pub(crate) use sentence::is_sentence;

/// So many bytes at the end of a completion are looked through, which bounds the time that any text takes.
const MAX_BYTES: usize = 64 * 1024;

/// How clearly an answer must be marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strictness {
    /// `strict`: by a mark that is there for answers. `auto` does not fall back on the last expression, `choice` not on
    /// a letter that stands somewhere.
    Strict,
    /// `normal`: by a mark, else by its place at the end.
    #[default]
    Normal,
    /// `lenient`: also in reasoning, in a box that never closes, and as any last line.
    Lenient,
}

impl Strictness {
    /// Every name, in the order of the variants.
    pub const NAMES: &[&str] = &["strict", "normal", "lenient"];
}

impl FromStr for Strictness {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Strictness, UnknownName> {
        let values = [Strictness::Strict, Strictness::Normal, Strictness::Lenient];
        parse_name("strictness", Strictness::NAMES, &values, name)
    }
}

/// Where to look for an answer, and how.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Extraction {
    /// The rule; `auto` by default.
    pub rule: Extract,
    /// How clearly the answer must be marked.
    pub strictness: Strictness,
    /// What several boxes mean.
    pub boxes: Boxes,
}

/// An answer and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extracted<'a> {
    /// The answer, never empty: as written, except that several boxes are joined by `, `, escapes in JSON are resolved
    /// and a number that is a word ("Four eggs") is in digits.
    pub text: Cow<'a, str>,
    /// Its place in the completion, in bytes; that of several boxes reaches from the first to the last.
    pub range: Range<usize>,
    /// The name of the rule that found it, never `auto`.
    pub method: &'static str,
}

/// Why no answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoAnswer {
    /// There is nothing to look at.
    #[error("no answer found: the completion is empty")]
    Empty,
    /// `<think>` without `</think>`.
    #[error("no answer found: the reasoning never ends")]
    Unfinished,
    /// `\boxed{` without its brace: the completion was cut off.
    #[error("no answer found: the last box never closes")]
    OpenBox,
    /// There is a box and nothing in it.
    #[error("no answer found: the box is empty")]
    EmptyBox,
    /// The rule of this name found nothing.
    #[error("no answer found by `{0}`")]
    Unstated(&'static str),
}

/// The final answer of a completion by a rule alone; none when it states none. See [`Extraction::find`].
pub fn extract(text: &str, rule: Extract) -> Option<Extracted<'_>> {
    Extraction::from(rule).find(text).ok()
}

impl From<Extract> for Extraction {
    fn from(rule: Extract) -> Self {
        Self { rule, ..Self::default() }
    }
}

impl Extraction {
    /// The final answer of a completion. Errs with the reason when it states none in the way asked for.
    pub fn find<'a>(&self, text: &'a str) -> Result<Extracted<'a>, NoAnswer> {
        if text.trim().is_empty() {
            return Err(NoAnswer::Empty);
        }
        let stated = reasoning::end(text).map_err(|_| NoAnswer::Unfinished);
        let found = stated.and_then(|start| self.find_from(text, start));
        match found {
            Err(_) if self.strictness == Strictness::Lenient => self.find_from(text, 0),
            found => found,
        }
    }

    /// The answer in what follows the byte `start`.
    fn find_from<'a>(&self, text: &'a str, start: usize) -> Result<Extracted<'a>, NoAnswer> {
        let start = match self.rule {
            Extract::Whole => start,
            _ => start.max(text.ceil_char_boundary(text.len().saturating_sub(MAX_BYTES))),
        };
        let mut found = self.apply(&text[start..])?;
        found.range = found.range.start + start..found.range.end + start;
        Ok(found)
    }

    fn apply<'a>(&self, text: &'a str) -> Result<Extracted<'a>, NoAnswer> {
        let name = self.rule.name();
        let slice = |range: Option<Range<usize>>| found(text, range, name).ok_or(NoAnswer::Unstated(name));
        match &self.rule {
            Extract::Auto => self.auto(text),
            Extract::Boxed => self.boxed(text),
            Extract::FinalLine => slice(line::after_hashes(text)),
            Extract::Tag => slice(line::tagged(text)),
            Extract::Phrase => slice(announced(text)),
            Extract::LastLine => slice(line::last(text)),
            Extract::LastNumber => {
                slice(number::last_number(text)).or_else(|missing| in_words(text, name).ok_or(missing))
            }
            Extract::LastExpression => {
                slice(expression::last(text)).or_else(|missing| in_words(text, name).ok_or(missing))
            }
            Extract::Choice => slice(choice::letter(text, self.strictness)),
            Extract::Whole => slice(line::whole(text)),
            Extract::Json(path) => path.find(text).ok_or(NoAnswer::Unstated(name)),
            Extract::Regex(pattern) => slice(pattern.last(text)),
        }
    }

    fn boxed<'a>(&self, text: &'a str) -> Result<Extracted<'a>, NoAnswer> {
        match boxed::find(text, self.boxes) {
            Err(NoAnswer::OpenBox) if self.strictness == Strictness::Lenient => {
                found(text, boxed::open(text), Extract::Boxed.name()).ok_or(NoAnswer::OpenBox)
            }
            found => found,
        }
    }

    /// A box, unless a final answer is announced behind it; else `####`, else a tag, else a phrase; then, unless strict,
    /// the last expression, and the last line if lenient.
    fn auto<'a>(&self, text: &'a str) -> Result<Extracted<'a>, NoAnswer> {
        match self.boxed(text) {
            Err(NoAnswer::Unstated(_)) => {}
            Ok(boxed) => return Ok(final_answer(text, boxed.range.end).unwrap_or(boxed)),
            missing => return missing,
        }
        let rules: &[Extract] = match self.strictness {
            Strictness::Strict => &[Extract::FinalLine, Extract::Tag, Extract::Phrase],
            Strictness::Normal => {
                &[Extract::FinalLine, Extract::Tag, Extract::Phrase, Extract::LastExpression]
            }
            Strictness::Lenient => &[
                Extract::FinalLine,
                Extract::Tag,
                Extract::Phrase,
                Extract::LastExpression,
                Extract::LastLine,
            ],
        };
        let by = |rule: &Extract| Extraction { rule: rule.clone(), ..*self }.apply(text).ok();
        rules.iter().find_map(by).ok_or(NoAnswer::Unstated(Extract::Auto.name()))
    }
}

/// The final answer that is announced behind the byte `start`.
fn final_answer(text: &str, start: usize) -> Option<Extracted<'_>> {
    let range = phrase::final_answer(&text[start..])?;
    found(text, Some(range.start + start..range.end + start), Extract::Phrase.name())
}

/// What a phrase announces; of a sentence, its last formula or number.
fn announced(text: &str) -> Option<Range<usize>> {
    let range = phrase::announced(text)?;
    let inner = Some(&text[range.clone()]).filter(|stated| is_sentence(stated)).and_then(expression::last);
    Some(inner.map_or(range.clone(), |inner| range.start + inner.start..range.start + inner.end))
}

/// A number that is written as a word, in digits.
fn in_words(text: &str, method: &'static str) -> Option<Extracted<'static>> {
    let (value, range) = word::only_number(text)?;
    Some(Extracted { text: value.to_string().into(), range, method })
}

fn found<'a>(text: &'a str, range: Option<Range<usize>>, method: &'static str) -> Option<Extracted<'a>> {
    range.map(|range| Extracted { text: text[range.clone()].into(), range, method })
}

#[cfg(test)]
mod tests;
