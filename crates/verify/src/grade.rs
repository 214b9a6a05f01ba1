//! From a completion to a verdict: where its answer stands, and whether that is the known one.
//!
//! A [`Grader`] is an [`Extraction`] and the [`Options`] of a comparison. A preset sets both as a data set wants them;
//! single keys, by name and value as text, change it from there. Pipelines, the command line and Python all set their
//! graders in this way.

mod choice;
mod keys;

use std::borrow::Cow;

use crate::Compare;
use crate::compare::{Outcome, Verdict, compare_with};
use crate::extract::{Boxes, Extract, Extraction, Strictness};
use crate::name::{UnknownName, parse_name};
use crate::options::{Decimals, Options};

pub use keys::InvalidKey;

/// How completions are graded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grader {
    /// Where a completion states its answer.
    pub extraction: Extraction,
    /// What counts as the same answer.
    pub options: Options,
}

/// A completion's answer and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Graded<'a> {
    /// The answer that the completion states, if it does.
    pub extracted: Option<Cow<'a, str>>,
    /// What is known of it. A completion without an answer is `different`, by method `no answer`.
    pub verdict: Verdict,
}

/// The method of verdicts on completions that state no answer.
const NO_ANSWER: &str = "no answer";

/// The method of verdicts on rows without a known answer.
const NO_KNOWN_ANSWER: &str = "no known answer";

impl Grader {
    /// The names of the presets:
    ///
    /// - `gsm8k`: numbers in running text; the last one where nothing marks the answer.
    /// - `math`: mathematics, mostly in boxes; several boxes side by side are one answer.
    /// - `aime`: integers; decimals are exact.
    /// - `boxed`: in a box behind the reasoning, and nowhere else.
    /// - `numeric`: the last number, and roundings of the known one are right.
    /// - `choice`: the letter of a choice, or its text where the choices are known.
    /// - `exact`: the whole completion, by character.
    pub const PRESETS: &[&str] = &["gsm8k", "math", "aime", "boxed", "numeric", "choice", "exact"];

    /// The grader of a preset. Errs where there is none of this name.
    pub fn preset(name: &str) -> Result<Grader, UnknownName> {
        let makers: [fn() -> Grader; 7] = [gsm8k, Grader::default, aime, boxed, numeric, letters, exact];
        Ok(parse_name("preset", Grader::PRESETS, &makers, name)?())
    }

    /// What is known of `completion`, given the known answer. A known answer that is marked (in a box, behind `####`, in
    /// a tag or a phrase) is cut out of the text around it, except under `exact`. Without one, the verdict is unknown.
    pub fn grade<'a, 'g>(&self, gold: impl Into<Option<&'g str>>, completion: &'a str) -> Graded<'a> {
        let Some(gold) = gold.into() else {
            let extracted = self.extraction.find(completion).ok().map(|found| found.text);
            return Graded { extracted, verdict: nothing_known() };
        };
        if self.extraction.rule == Extract::Choice {
            return choice::grade(self, gold, completion);
        }
        match self.extraction.find(completion) {
            Ok(found) => {
                let verdict = compare_with(&self.known(gold), &found.text, &self.options);
                Graded { extracted: Some(found.text), verdict }
            }
            Err(missing) => missing_answer(missing.to_string()),
        }
    }

    /// The known answer without the text around it.
    fn known<'a>(&self, gold: &'a str) -> Cow<'a, str> {
        if self.options.mode == Compare::Exact {
            return Cow::Borrowed(gold);
        }
        let marked = Extraction { strictness: Strictness::Strict, ..Extraction::default() };
        marked.find(gold).map_or(Cow::Borrowed(gold), |found| found.text)
    }
}

fn nothing_known() -> Verdict {
    let witness = "there is nothing to compare with".to_owned();
    Verdict { outcome: Outcome::Unknown, method: NO_KNOWN_ANSWER, witness }
}

fn missing_answer(witness: String) -> Graded<'static> {
    let verdict = Verdict { outcome: Outcome::Different, method: NO_ANSWER, witness };
    Graded { extracted: None, verdict }
}

fn gsm8k() -> Grader {
    Grader { extraction: Extraction { boxes: Boxes::Last, ..Extraction::default() }, ..Grader::default() }
}

fn aime() -> Grader {
    let options = Options { decimals: Decimals::Exact, ..Options::default() };
    Grader { options, ..gsm8k() }
}

fn boxed() -> Grader {
    let extraction =
        Extraction { rule: Extract::Boxed, strictness: Strictness::Strict, ..Extraction::default() };
    Grader { extraction, ..Grader::default() }
}

fn numeric() -> Grader {
    Grader { extraction: Extract::LastNumber.into(), options: Options::new(Compare::Numeric) }
}

fn letters() -> Grader {
    Grader { extraction: Extract::Choice.into(), ..Grader::default() }
}

fn exact() -> Grader {
    Grader { extraction: Extract::Whole.into(), options: Options::new(Compare::Exact) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(preset: &str, gold: &str, completion: &str) -> Outcome {
        Grader::preset(preset).expect(preset).grade(gold, completion).verdict.outcome
    }

    #[test]
    fn presets_grade_as_their_data_sets_want() {
        use Outcome::{Different, Equal};
        let cases = [
            ("gsm8k", "18", "She makes 9*2=18 dollars", Equal),
            ("gsm8k", "9*2=18\n#### 18", "\\boxed{18}", Equal),
            ("gsm8k", "18", "\\boxed{19}", Different),
            ("math", "1, 2", "$\\boxed{1}$ and $\\boxed{2}$", Equal),
            ("math", "2", "<think>2</think>", Different),
            ("aime", "042", "the answer is 42", Equal),
            ("boxed", "4", "The answer is 4.", Different),
            ("boxed", "4", "<think>4</think> \\boxed{4}", Equal),
            ("numeric", "1/3", "about 0.333", Equal),
            ("exact", "B", " B ", Equal),
            ("exact", "4", "4.0", Different),
            ("choice", "B", "The answer is (b).", Equal),
            ("choice", "(B) red", "**B**", Equal),
            ("choice", "B", "A", Different),
            ("choice", "B", "no idea", Different),
        ];
        for (preset, gold, completion, expected) in cases {
            assert_eq!(outcome(preset, gold, completion), expected, "{preset}: {gold} and {completion}");
        }
        assert!(Grader::preset("gsm9k").is_err());
        assert_eq!(
            Grader::PRESETS.iter().filter(|name| Grader::preset(name).is_ok()).count(),
            Grader::PRESETS.len()
        );
    }

    #[test]
    fn a_missing_answer_is_told() {
        let graded = Grader::default().grade("4", "<think>4");
        assert_eq!((graded.extracted, graded.verdict.method), (None, "no answer"));
        assert_eq!(graded.verdict.witness, "no answer found: the reasoning never ends");
    }
}
