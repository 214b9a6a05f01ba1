//! Is an answer the same as the known one: equal, different, or not known.
//!
//! `Unknown` is a verdict of its own, because a pipeline must be able to keep what was judged apart from
//! what was not. `Equal` and `Different` are said only when they are sure:
//!
//! - **Numbers are exact.** Integers, decimals, `1/2`, `\frac{1}{2}`, `1 1/2`, `2.5e-3`, `3 × 10^5`,
//!   `1.5 million`, `1,234`, `1 234` are rationals and compare as such, so `0.50` equals `1/2` and
//!   `0.3333` does not equal `1/3`.
//! - **Roundings** follow [`Decimals`](crate::Decimals). By default, when the shorter decimal, of at least one
//!   decimal and three significant digits, is the other number rounded to its digits (`0.333` and `1/3`),
//!   the verdict is `Unknown`, because a rounding is neither the value nor a mistake.
//! - **Percent** follows [`Percent`](crate::Percent): `10%` equals `0.1`, which is what the sign means, and
//!   by default also a bare `10`. Two percentages compare as written.
//! - **Units** follow [`Units`](crate::Units). On one side only, a unit is left aside by default. On both
//!   sides it counts and is converted, exactly, within one kind (`1 m` and `100 cm`, `1 hour` and
//!   `3600 seconds`). Two counted things, `5 apples` and `5 pears`, are `Unknown`.
//! - **Mathematics** is decided by [`crate::judge`]: canonical forms, then values with proven errors.
//! - **Readings.** A list without brackets is a set of answers, in the order of the other side when that is
//!   a tuple. `x = 3` is `3`; working ends with its result; what stands behind `≈` is left aside. `log` is
//!   to base ten, but natural of powers of e. Roots of odd index of negative numbers are real.
//! - **Moments.** Dates and times of day are the same in any spelling; see [`crate::calendar`].
//! - **Text.** Answers that are the same after normalisation, case aside for words, are equal. Other text is
//!   `Unknown`, but for opposites such as `yes` and `no`, and letters of choices.
//! - **Bounds.** Answers above 4,096 bytes are compared as text only; work is counted and runs out.

use std::fmt::{self, Display};
use std::str::FromStr;

use crate::budget::Budget;
use crate::judge::{Decision, Judge};
use crate::name::{UnknownName, parse_name};
use crate::normal::normalise;
use crate::options::{Decimals, Options};
use crate::{calendar, parse, quantity, text};

/// Longest answer that is read, in bytes.
const MAX_BYTES: usize = 4096;

/// Excerpts in a witness are cut after this many characters.
const WITNESS_CHARS: usize = 48;

/// How two answers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compare {
    /// `math`: numbers by exact value, other text by its normal form.
    Math,
    /// `exact`: the same characters, white space at the ends aside. Never unknown.
    Exact,
    /// `numeric`: numbers only, and a rounded decimal equals what it was rounded from.
    Numeric,
}

impl Compare {
    /// Every name, in the order of the variants.
    pub const NAMES: &[&str] = &["math", "exact", "numeric"];
}

impl FromStr for Compare {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Compare, UnknownName> {
        parse_name("compare", Compare::NAMES, &[Compare::Math, Compare::Exact, Compare::Numeric], name)
    }
}

/// What is known of two answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// They are the same.
    Equal,
    /// They are not.
    Different,
    /// It cannot be said.
    Unknown,
}

impl Outcome {
    /// `equal`, `different` or `unknown`: the name of the port and the value of the column.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Equal => "equal",
            Outcome::Different => "different",
            Outcome::Unknown => "unknown",
        }
    }
}

impl Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The outcome of a comparison and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Equal, different or unknown.
    pub outcome: Outcome,
    /// The rule that decided, one of a small fixed set. For numbers: `number`, `percent`, `unit`, `rounding`,
    /// `base`. For moments: `time`, `date`. For expressions: `same form`, `algebra`, `value`, `algebraic number`, `point`,
    /// `identity at 12 points`, `infinity`. For the rest: `relation`, `interval`, `tuple`, `set`, `list`,
    /// `matrix`, `ratio`, `collection`, `choice`, `text`, `characters`, `empty`, `length`, `budget`, `not a number`.
    pub method: &'static str,
    /// One sentence for a person: the two answers, and what tells them apart, such as a point and both values.
    pub witness: String,
}

/// Compares the known answer with a given one. Symmetric in its outcome; time is bounded for any input.
pub fn compare(gold: &str, answer: &str, how: Compare) -> Verdict {
    compare_with(gold, answer, &Options::new(how))
}

/// Compares the known answer with a given one under stated rules. Symmetric in its outcome, but for
/// [`Decimals::Relative`](crate::Decimals::Relative), which is relative to the known answer; time is bounded
/// for any input.
pub fn compare_with(gold: &str, answer: &str, options: &Options) -> Verdict {
    compare_within(gold, answer, options, &Budget::new())
}

/// The same as part of a question that has spent of its budget before.
pub(crate) fn compare_within(gold: &str, answer: &str, options: &Options, budget: &Budget) -> Verdict {
    let decision = match options.mode {
        Compare::Exact => Decision::new(either(gold.trim() == answer.trim()), "characters"),
        Compare::Math | Compare::Numeric => compare_math(gold, answer, options, budget),
    };
    Verdict { outcome: decision.outcome, method: decision.method, witness: witness(gold, answer, &decision) }
}

fn compare_math(gold: &str, answer: &str, options: &Options, budget: &Budget) -> Decision {
    if gold.len().max(answer.len()) > MAX_BYTES {
        return Decision::new(if gold == answer { Outcome::Equal } else { Outcome::Unknown }, "length");
    }
    let (gold, answer) = (normalise(gold), normalise(answer));
    if let Some(decision) = quantity::compare(&gold, &answer, options) {
        let may_be_converted = decision.method == "unit" && decision.outcome == Outcome::Unknown;
        let converted = may_be_converted.then(|| compare_trees(&gold, &answer, options, budget));
        return converted.filter(|converted| converted.outcome == Outcome::Equal).unwrap_or(decision);
    }
    if options.mode == Compare::Numeric {
        return Decision::new(Outcome::Unknown, "not a number");
    }
    if gold.is_empty() || answer.is_empty() {
        let is_both = gold.is_empty() && answer.is_empty();
        return Decision::new(if is_both { Outcome::Unknown } else { Outcome::Different }, "empty");
    }
    if let Some(decision) = calendar::compare(&gold, &answer) {
        return decision;
    }
    text::compare(&gold, &answer, options).unwrap_or_else(|| compare_trees(&gold, &answer, options, budget))
}

/// Two normalised answers as mathematics, under the reading that makes them equal if one does.
fn compare_trees(gold: &str, answer: &str, options: &Options, budget: &Budget) -> Decision {
    // Only a relative tolerance asks which of the two is known; otherwise one order gives one verdict.
    let is_directed = matches!(options.decimals, Decimals::Relative(_));
    let (gold, answer) = if is_directed || gold <= answer { (gold, answer) } else { (answer, gold) };
    let judged = |gold: &str, answer: &str, letters_are_units: bool| {
        let (gold, answer) =
            (parse::parse(gold, letters_are_units)?, parse::parse(answer, letters_are_units)?);
        Some(Judge::new(options, budget).judge(&gold, &answer))
    };
    let plain = judged(gold, answer, false).unwrap_or_else(|| Decision::new(Outcome::Unknown, "text"));
    if plain.outcome == Outcome::Equal {
        return plain;
    }
    let with_units = || {
        let may_have_units = [gold, answer].iter().any(|text| text::ends_in_letter_unit(text));
        may_have_units.then(|| judged(gold, answer, true)).flatten()
    };
    let with_point = || {
        let (pointed_gold, pointed_answer) = (text::with_point(gold), text::with_point(answer));
        let is_changed = pointed_gold.is_some() || pointed_answer.is_some();
        let gold = pointed_gold.as_deref().unwrap_or(gold);
        let answer = pointed_answer.as_deref().unwrap_or(answer);
        is_changed.then(|| judged(gold, answer, false)).flatten()
    };
    let is_equal = |decision: &Decision| decision.outcome == Outcome::Equal;
    with_units().filter(is_equal).or_else(|| with_point().filter(is_equal)).unwrap_or(plain)
}

fn either(equal: bool) -> Outcome {
    if equal { Outcome::Equal } else { Outcome::Different }
}

fn witness(gold: &str, answer: &str, decision: &Decision) -> String {
    let relation = match decision.outcome {
        Outcome::Equal => "is",
        Outcome::Different => "is not",
        Outcome::Unknown => "may or may not be",
    };
    let (gold, answer) = (excerpt(gold), excerpt(answer));
    let because = if decision.witness.is_empty() { "" } else { ": " };
    ["`", answer, "` ", relation, " `", gold, "`", because, &decision.witness].concat()
}

fn excerpt(text: &str) -> &str {
    let text = text.trim();
    text.char_indices().nth(WITNESS_CHARS).map_or(text, |(end, _)| &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(gold: &str, answer: &str, how: Compare) -> Outcome {
        let outcome = compare(gold, answer, how).outcome;
        assert_eq!(outcome, compare(answer, gold, how).outcome, "symmetric on {gold} and {answer}");
        outcome
    }

    #[test]
    fn math_decides_as_documented() {
        let equal = [
            ("18", "18.00"),
            ("1/2", "0.5"),
            ("0.5", "$\\frac{2}{4}$"),
            ("1000", "1e3"),
            ("2125", "$2,125.00"),
            ("10%", "10"),
            ("10%", "0.1"),
            ("10%", "10 percent"),
            ("18", "18 dollars per day"),
            ("$18", "18 dollars"),
            ("5 cm", "5 centimeters"),
            ("-3", "−3"),
            ("x+1", "$x + 1$"),
            ("\\text{odd}", "odd"),
            ("1.5 million", "1500000"),
            ("13", "16-3"),
            ("1,22", "1.22"),
            ("1 m", "100 cm"),
        ];
        for (gold, answer) in equal {
            assert_eq!(outcome(gold, answer, Compare::Math), Outcome::Equal, "{gold} and {answer}");
        }
        let different = [
            ("18", "19"),
            ("5", "5.001"),
            ("10%", "1"),
            ("10%", "20%"),
            ("2", "2 million"),
            ("18", "17 eggs"),
            ("-3", "3"),
            ("5 cm", "5 inches"),
            ("13", "16-4"),
            ("3", "3x"),
            ("220", "4 - 20i"),
            ("1, 200", "1,200"),
            ("23", "2**3"),
            ("2300", "2 ** 300"),
            ("\\frac{a}{bc}", "\\frac{ab}{c}"),
            ("\\sqrt{2}3", "\\sqrt{23}"),
        ];
        for (gold, answer) in different {
            assert_eq!(outcome(gold, answer, Compare::Math), Outcome::Different, "{gold} and {answer}");
        }
        let unknown = [
            ("1/3", "0.333"),
            ("2.667", "2.66667"),
            ("0.5", "50 cents"),
            ("3", "3 or more"),
            ("1200", "1\n200"),
            ("1200", "1\\quad 200"),
            ("1200", "1\\\\200"),
            ("56", "5$6$"),
            ("56", "5\\(6\\)"),
            ("47/23", "2½3"),
            ("2", "2 point five"),
            ("", ""),
            ("4", "four"),
        ];
        for (gold, answer) in unknown {
            assert_eq!(outcome(gold, answer, Compare::Math), Outcome::Unknown, "{gold} and {answer}");
        }
    }

    #[test]
    fn numeric_accepts_roundings_and_only_numbers() {
        for (gold, answer) in [("1/3", "0.333"), ("33.3", "100/3"), ("2.67", "2.6667"), ("18", "18.0")] {
            assert_eq!(outcome(gold, answer, Compare::Numeric), Outcome::Equal, "{gold} and {answer}");
        }
        for (gold, answer) in
            [("1/3", "0.33"), ("8.75", "8.8"), ("5", "5.001"), ("1200", "1200.4"), ("0.334", "1/3")]
        {
            assert_eq!(outcome(gold, answer, Compare::Numeric), Outcome::Different, "{gold} and {answer}");
        }
        assert_eq!(outcome("x", "x", Compare::Numeric), Outcome::Unknown);
    }

    #[test]
    fn exact_is_by_character() {
        assert_eq!(outcome(" B ", "B", Compare::Exact), Outcome::Equal);
        assert_eq!(outcome("18", "18.0", Compare::Exact), Outcome::Different);
    }

    #[test]
    fn names_are_parsed() {
        assert_eq!("numeric".parse(), Ok(Compare::Numeric));
        let error = "maths".parse::<Compare>().expect_err("not a name");
        assert_eq!(error.to_string(), "unknown compare \"maths\", expected one of: math, exact, numeric");
    }
}
