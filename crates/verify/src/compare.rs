//! Is an answer the same as the known one: equal, different, or not known.
//!
//! `Unknown` is a verdict of its own, because a pipeline must be able to keep what was judged apart from
//! what was not. `Equal` and `Different` are said only when they are sure:
//!
//! - **Numbers are exact.** Integers, decimals, `1/2`, `\frac{1}{2}`, `1 1/2`, `2.5e-3`, `3 × 10^5`,
//!   `1.5 million`, `1,234`, `1 234` are rationals and compare as such, so `0.50` equals `1/2` and
//!   `0.3333` does not equal `1/3`. `1,22` is not read: it may be a list or a decimal comma.
//! - **Roundings.** When the shorter decimal, of at least one decimal and three significant digits, is the
//!   other number rounded to its digits (`0.333` and `1/3`), [`Compare::Math`] says `Unknown`, because a
//!   rounding is neither the value nor a mistake, and [`Compare::Numeric`] says `Equal`. Integers never
//!   round: `5` and `5.001` are different.
//! - **Percent.** `10%` equals `0.1`, which is what the sign means, and also a bare `10`, because known
//!   answers drop the sign when the question asks for a percentage. Two percentages compare as written.
//! - **Units.** A unit on one side only is left aside, since known answers are mostly bare. The same unit
//!   on both sides compares the numbers. Two different units are `Unknown`, also when the numbers agree:
//!   nothing is converted. A bare number that is off by a factor such as 60 or 100 from one with a unit
//!   (`0.5` and `50 cents`) is `Unknown` too. Money is a unit.
//! - **Text.** Answers that are the same after normalisation are equal. Other text is `Unknown`: it may be
//!   mathematics that is not decided here, and is never evaluated (`16-3`, `2^10`, `x=5`).
//! - **Bounds.** Answers above 4,096 bytes and numbers above 300 digits are compared as text only.

use std::fmt::{self, Display};
use std::str::FromStr;

use num_rational::BigRational;
use num_traits::Zero;

use crate::literal::is_rounding;
use crate::name::{UnknownName, parse_name};
use crate::normal::{normalise, text_key};
use crate::options::Options;
use crate::quantity::Quantity;
use crate::unit::Unit;

/// Longest answer that is read, in bytes.
const MAX_BYTES: usize = 4096;

/// Fewest significant digits of a decimal that may be taken for a rounding.
const MIN_ROUNDED_DIGITS: usize = 3;

/// Factors between common units: cents and dollars, minutes and hours, inches and feet, grams and kilograms.
const UNIT_RATIOS: &[u32] = &[3, 4, 7, 10, 12, 16, 24, 36, 52, 60, 100, 365, 1000, 3600];

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
    /// The rule that decided, one of a small fixed set: `number`, `percent`, `unit`, `rounding`, `text`,
    /// `empty`, `length`, `not a number`, `characters`.
    pub method: &'static str,
    /// One sentence for a person: the two values that were compared.
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
    let (outcome, method) = match options.mode {
        Compare::Exact => (either(gold.trim() == answer.trim()), "characters"),
        Compare::Math | Compare::Numeric => compare_math(gold, answer, options.mode),
    };
    Verdict { outcome, method, witness: witness(gold, answer, outcome) }
}

fn compare_math(gold: &str, answer: &str, how: Compare) -> (Outcome, &'static str) {
    if gold.len().max(answer.len()) > MAX_BYTES {
        return (if gold == answer { Outcome::Equal } else { Outcome::Unknown }, "length");
    }
    let (gold, answer) = (normalise(gold), normalise(answer));
    match (Quantity::parse(&gold), Quantity::parse(&answer)) {
        (Some(a), Some(b)) => compare_quantities(&a, &b, how),
        _ if how == Compare::Numeric => (Outcome::Unknown, "not a number"),
        _ if gold.is_empty() || answer.is_empty() => (Outcome::Unknown, "empty"),
        (None, None) if text_key(&gold) == text_key(&answer) => (Outcome::Equal, "text"),
        _ => (Outcome::Unknown, "text"),
    }
}

fn compare_quantities(a: &Quantity, b: &Quantity, how: Compare) -> (Outcome, &'static str) {
    match (&a.unit, &b.unit) {
        (Unit::Percent, Unit::Bare) => compare_percent(a, b, how),
        (Unit::Bare, Unit::Percent) => compare_percent(b, a, how),
        (Unit::Bare, Unit::Named(_)) | (Unit::Named(_), Unit::Bare) => compare_with_unit(a, b, how),
        (left, right) if left == right => compare_values(a, b, how),
        _ => (Outcome::Unknown, "unit"),
    }
}

fn compare_values(a: &Quantity, b: &Quantity, how: Compare) -> (Outcome, &'static str) {
    if a.value == b.value {
        (Outcome::Equal, "number")
    } else if is_rounded(a, b) || is_rounded(b, a) {
        (if how == Compare::Numeric { Outcome::Equal } else { Outcome::Unknown }, "rounding")
    } else {
        (Outcome::Different, "number")
    }
}

/// A percentage against a bare number, which may be its hundredth or a percentage without its sign.
fn compare_percent(percent: &Quantity, bare: &Quantity, how: Compare) -> (Outcome, &'static str) {
    let hundredth = Quantity {
        value: &percent.value / BigRational::from_integer(100.into()),
        precision: percent.precision.map(|mut precision| {
            precision.fraction_digits += 2;
            precision
        }),
        unit: Unit::Bare,
    };
    let as_written = compare_values(percent, bare, how).0;
    let as_value = compare_values(&hundredth, bare, how).0;
    let best = [Outcome::Equal, Outcome::Unknown].into_iter().find(|o| *o == as_written || *o == as_value);
    (best.unwrap_or(Outcome::Different), "percent")
}

/// A number with a unit against one without.
fn compare_with_unit(a: &Quantity, b: &Quantity, how: Compare) -> (Outcome, &'static str) {
    match compare_values(a, b, how) {
        (Outcome::Different, _) if may_be_converted(&a.value, &b.value) => (Outcome::Unknown, "unit"),
        verdict => verdict,
    }
}

fn may_be_converted(a: &BigRational, b: &BigRational) -> bool {
    if a.is_zero() || b.is_zero() {
        return false;
    }
    let (up, down) = (a / b, b / a);
    [up, down]
        .iter()
        .any(|ratio| ratio.is_integer() && UNIT_RATIOS.iter().any(|known| *ratio.numer() == (*known).into()))
}

/// Whether `a`, a decimal, is `b` rounded to the digits of `a`, of which `b` has more.
fn is_rounded(a: &Quantity, b: &Quantity) -> bool {
    let Some(precision) = a.precision else { return false };
    let is_shorter = b.precision.is_none_or(|other| other.fraction_digits > precision.fraction_digits);
    let is_decimal = precision.fraction_digits > 0 && precision.significant_digits >= MIN_ROUNDED_DIGITS;
    is_shorter && is_decimal && is_rounding(&a.value, precision.fraction_digits, &b.value)
}

fn either(equal: bool) -> Outcome {
    if equal { Outcome::Equal } else { Outcome::Different }
}

fn witness(gold: &str, answer: &str, outcome: Outcome) -> String {
    let relation = match outcome {
        Outcome::Equal => "is",
        Outcome::Different => "is not",
        Outcome::Unknown => "may or may not be",
    };
    let (gold, answer) = (excerpt(gold), excerpt(answer));
    ["`", answer, "` ", relation, " `", gold, "`"].concat()
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
        ];
        for (gold, answer) in different {
            assert_eq!(outcome(gold, answer, Compare::Math), Outcome::Different, "{gold} and {answer}");
        }
        let unknown = [
            ("1/3", "0.333"),
            ("2.667", "2.66667"),
            ("5 cm", "5 inches"),
            ("0.5", "50 cents"),
            ("3", "3x"),
            ("3", "3 or more"),
            ("13", "16-3"),
            ("220", "4 - 20i"),
            ("1,22", "1.22"),
            ("1, 200", "1,200"),
            ("1200", "1\n200"),
            ("1200", "1\\quad 200"),
            ("1200", "1\\\\200"),
            ("23", "2**3"),
            ("2300", "2 ** 300"),
            ("56", "5$6$"),
            ("56", "5\\(6\\)"),
            ("47/23", "2½3"),
            ("2", "2 point five"),
            ("\\frac{a}{bc}", "\\frac{ab}{c}"),
            ("\\sqrt{2}3", "\\sqrt{23}"),
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
