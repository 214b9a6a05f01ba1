//! From a completion to a verdict: where its answer stands, and whether that is the known one.
//!
//! A [`Grader`] is an [`Extraction`] and the [`Options`] of a comparison. A preset sets both as a data set wants them;
//! single keys, by name and value as text, change it from there. Pipelines, the command line and Python all set their
//! graders in this way.

mod choice;
mod keys;

use std::borrow::Cow;

use crate::Compare;
use crate::budget::Budget;
use crate::compare::{Outcome, Verdict, compare_within};
use crate::extract::{Boxes, Extract, Extraction, NoAnswer, Strictness, is_sentence};
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
        self.grade_within(gold.into(), completion, &Budget::new())
    }

    fn grade_within<'a>(&self, gold: Option<&str>, completion: &'a str, budget: &Budget) -> Graded<'a> {
        let found = self.extraction.find(completion);
        match gold {
            None => Graded { extracted: found.ok().map(|found| found.text), verdict: nothing_known() },
            Some(gold) if self.extraction.rule == Extract::Choice => {
                choice::grade(self, gold, completion, budget)
            }
            Some(gold) => match found {
                Ok(found) => self.compare(gold, found.text, budget),
                Err(missing) => missing_answer(missing.to_string()),
            },
        }
    }

    /// The same for an answer alone: what is marked in it, else all of it, is compared as it stands.
    pub fn grade_bare<'a, 'g>(&self, gold: impl Into<Option<&'g str>>, answer: &'a str) -> Graded<'a> {
        self.grade_bare_within(gold.into(), answer, &Budget::new())
    }

    fn grade_bare_within<'a>(&self, gold: Option<&str>, answer: &'a str, budget: &Budget) -> Graded<'a> {
        let stated = self.unmarked(answer);
        match gold {
            None => Graded { extracted: Some(stated), verdict: nothing_known() },
            Some(_) if stated.trim().is_empty() => missing_answer(NoAnswer::Empty.to_string()),
            Some(gold) if self.extraction.rule == Extract::Choice => {
                choice::grade(self, gold, answer, budget)
            }
            Some(gold) => self.compare(gold, stated, budget),
        }
    }

    /// The same where it is not said whether `text` is an answer alone or a completion. Sentences are completions, unless
    /// all of them is the known answer; anything else is an answer, unless that decides nothing.
    pub fn grade_any<'a, 'g>(&self, gold: impl Into<Option<&'g str>>, text: &'a str) -> Graded<'a> {
        let (gold, budget) = (gold.into(), Budget::new());
        let bare = self.grade_bare_within(gold, text, &budget);
        let is_decided = match bare.verdict.outcome {
            Outcome::Equal => true,
            Outcome::Different => !is_sentence(text),
            Outcome::Unknown => false,
        };
        if is_decided || gold.is_none() {
            return bare;
        }
        let graded = self.grade_within(gold, text, &budget);
        if graded.extracted.is_some() { graded } else { bare }
    }

    fn compare<'a>(&self, gold: &str, stated: Cow<'a, str>, budget: &Budget) -> Graded<'a> {
        let verdict = compare_within(&self.unmarked(gold), &stated, &self.options, budget);
        Graded { extracted: Some(stated), verdict }
    }

    /// An answer without the text around it, where it is marked.
    fn unmarked<'a>(&self, answer: &'a str) -> Cow<'a, str> {
        if self.options.mode == Compare::Exact {
            return Cow::Borrowed(answer);
        }
        let marked = Extraction { strictness: Strictness::Strict, ..Extraction::default() };
        marked.find(answer).map_or(Cow::Borrowed(answer), |found| found.text)
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
    fn answers_may_stand_alone() {
        let grader = Grader::default();
        let bare = |gold: &str, text: &str| grader.grade_bare(gold, text).verdict.outcome;
        let any = |gold: &str, text: &str| grader.grade_any(gold, text).verdict.outcome;
        for (gold, text) in [("x+1", "1+x"), ("1/2", "\\boxed{0.5}"), ("5 cm", "5 cm")] {
            assert_eq!(
                (bare(gold, text), any(gold, text)),
                (Outcome::Equal, Outcome::Equal),
                "{gold} and {text}"
            );
        }
        assert_eq!(any("42", "We get 10 + 32 = 42 of them"), Outcome::Equal);
        for text in
            ["60% of the students enrolled in dance.", "Answer \\( 50 + 10 \\)", "The largest $n$ is 60"]
        {
            assert_eq!(any("60", text), Outcome::Equal, "{text}");
        }
        assert_ne!(any("2", "x+2"), Outcome::Equal);
        assert_eq!(bare("2", ""), Outcome::Different);
        assert_eq!(grader.grade_any(None, "2").verdict.method, "no known answer");
    }

    #[test]
    fn a_missing_answer_is_told() {
        let graded = Grader::default().grade("4", "<think>4");
        assert_eq!((graded.extracted, graded.verdict.method), (None, "no answer"));
        assert_eq!(graded.verdict.witness, "no answer found: the reasoning never ends");
    }
}
