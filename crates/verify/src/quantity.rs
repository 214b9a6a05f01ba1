//! A whole answer read as one exact number with its unit.

mod compare;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

use crate::literal::{self, Literal, power_of_ten};
use crate::unit::{self, Unit};

pub(crate) use compare::compare;

/// Words that multiply the number before them, with the power of ten they stand for.
pub(crate) const MAGNITUDES: &[(&str, i32)] =
    &[("hundred", 2), ("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12)];

/// Signs of money that stand before a number.
const CURRENCIES: &[&str] = &["$", "€", "£", "¥", "₹"];

/// An exact number and how it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantity {
    /// The value, percent signs and units left aside.
    pub value: BigRational,
    /// How precisely it was written, when it is a plain decimal.
    pub precision: Option<Precision>,
    /// What it counts.
    pub unit: Unit,
}

/// The digits of a plain decimal, which say how far it may have been rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Precision {
    /// Digits after the point.
    pub fraction_digits: usize,
    /// Digits from the first that is not zero.
    pub significant_digits: usize,
}

impl Quantity {
    /// Reads `text`, already normalised, as a number: the whole of it, or nothing.
    pub(crate) fn parse(text: &str) -> Option<Quantity> {
        let mut reader = Reader { rest: text };
        let (negative, currency) = reader.sign_and_currency();
        let (mut value, precision) = reader.number()?;
        let exponent = reader.power_of_ten()?.saturating_add(reader.magnitude());
        if exponent != 0 {
            value = shifted(value, exponent)?;
        }
        let precision = precision.filter(|_| exponent == 0);
        let spaced = reader.skip_spaces();
        let money = currency.map(|sign| unit::known(sign).unwrap_or(sign));
        let unit = match (money, unit::parse(reader.rest, spaced)?) {
            (None, unit) => unit,
            (Some(money), Unit::Bare) => Unit::Named(money.into()),
            (Some(money), unit) => Some(unit).filter(|unit| *unit == Unit::Named(money.into()))?,
        };
        Some(Quantity { value: if negative { -value } else { value }, precision, unit })
    }
}

/// What is still to be read of an answer.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// Whether a minus stands before the number, and the sign of money, in either order.
    fn sign_and_currency(&mut self) -> (bool, Option<&'static str>) {
        let mut negative = self.sign();
        let currency = CURRENCIES.iter().find(|sign| self.take(sign)).copied();
        if currency.is_some() {
            self.skip_spaces();
            negative = negative.or_else(|| self.sign());
        }
        (negative == Some(true), currency)
    }

    /// True after a minus, false after a plus.
    fn sign(&mut self) -> Option<bool> {
        let negative = if self.take("-") {
            true
        } else if self.take("+") {
            false
        } else {
            return None;
        };
        self.skip_spaces();
        Some(negative)
    }

    /// A decimal, a fraction or a mixed number, without its sign.
    fn number(&mut self) -> Option<(BigRational, Option<Precision>)> {
        if self.rest.starts_with("\\frac") {
            return Some((self.latex_fraction()?, None));
        }
        let literal = self.literal()?;
        if let Some(value) = self.spaced_thousands(literal) {
            return Some((value, None));
        }
        let value = literal.value()?;
        let before = self.rest;
        let spaced = self.skip_spaces();
        if self.take("/") {
            self.skip_spaces();
            return Some((quotient(value, self.literal()?.value()?)?, None));
        }
        let part = if self.rest.starts_with("\\frac") {
            self.latex_fraction()
        } else if spaced && self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            self.plain_fraction()
        } else {
            self.rest = before;
            let precision = Precision {
                fraction_digits: literal.fraction_digits,
                significant_digits: literal.significant_digits(),
            };
            return Some((value, Some(precision)));
        };
        mixed(value, literal, part?).map(|value| (value, None))
    }

    fn literal(&mut self) -> Option<Literal<'a>> {
        let literal = literal::scan(self.rest)?;
        self.rest = &self.rest[literal.text.len()..];
        Some(literal)
    }

    /// `1 000 000`: groups of exactly three after a first group of one to three.
    fn spaced_thousands(&mut self, first: Literal<'_>) -> Option<BigRational> {
        if !first.is_plain_integer() || first.text.len() > 3 || first.text.starts_with('0') {
            return None;
        }
        let mut digits = first.text.to_owned();
        let mut rest = self.rest;
        while let Some(group) = rest.strip_prefix(' ').and_then(literal::scan) {
            if !group.is_plain_integer() || group.text.len() != 3 {
                break;
            }
            digits.push_str(group.text);
            rest = &rest[1 + group.text.len()..];
        }
        let is_whole_number = digits.len() > first.text.len() && !rest.starts_with(['/', '.', ',']);
        let value = is_whole_number.then(|| literal::scan(&digits)?.value()).flatten()?;
        self.rest = rest;
        Some(value)
    }

    /// `1/2`, digits on both sides.
    fn plain_fraction(&mut self) -> Option<BigRational> {
        let over = self.literal().filter(Literal::is_plain_integer)?;
        if !self.take("/") {
            return None;
        }
        let under = self.literal().filter(Literal::is_plain_integer)?;
        quotient(over.value()?, under.value()?)
    }

    /// `\frac{-3}{4}`, `\frac34`, `\frac3{4}`.
    fn latex_fraction(&mut self) -> Option<BigRational> {
        self.take("\\frac");
        self.skip_spaces();
        let over = self.latex_argument()?;
        self.skip_spaces();
        let under = self.latex_argument()?;
        quotient(over, under)
    }

    /// A number in braces, or the single digit that LaTeX takes without them.
    fn latex_argument(&mut self) -> Option<BigRational> {
        if !self.take("{") {
            let digit = self.rest.chars().next()?.to_digit(10)?;
            self.rest = &self.rest[1..];
            return Some(BigRational::from_integer(digit.into()));
        }
        self.skip_spaces();
        let negative = self.sign() == Some(true);
        let value = self.literal()?.value()?;
        self.skip_spaces();
        self.take("}").then_some(if negative { -value } else { value })
    }

    /// The exponent of `× 10^5`, `x 10^{-3}`; zero when there is none, none when it is malformed.
    fn power_of_ten(&mut self) -> Option<i32> {
        let trimmed = self.rest.trim_start_matches(' ');
        let Some(rest) = trimmed.strip_prefix(['×', '·', 'x', '*']) else { return Some(0) };
        self.rest = rest.trim_start_matches(' ').strip_prefix("10^")?;
        let braced = self.take("{");
        let negative = self.sign() == Some(true);
        let exponent: i32 = self.literal().filter(Literal::is_plain_integer)?.text.parse().ok()?;
        if braced && !self.take("}") {
            return None;
        }
        Some(if negative { -exponent } else { exponent })
    }

    /// The power of ten of a word such as `million`; zero when there is none.
    fn magnitude(&mut self) -> i32 {
        let trimmed = self.rest.trim_start_matches(' ');
        let ends_word = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric());
        for (word, power) in MAGNITUDES {
            if let Some(rest) = trimmed.strip_prefix(word).filter(|rest| ends_word(rest)) {
                self.rest = rest;
                return *power;
            }
        }
        0
    }

    fn take(&mut self, prefix: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(prefix) else { return false };
        self.rest = rest;
        true
    }

    /// Whether there were spaces to skip.
    fn skip_spaces(&mut self) -> bool {
        let trimmed = self.rest.trim_start_matches(' ');
        let skipped = trimmed.len() < self.rest.len();
        self.rest = trimmed;
        skipped
    }
}

/// `over / under`; none for a zero denominator.
fn quotient(over: BigRational, under: BigRational) -> Option<BigRational> {
    (!under.is_zero()).then(|| over / under)
}

/// `2 3/4`; none unless the parts are a whole number and a proper fraction.
fn mixed(value: BigRational, whole: Literal<'_>, part: BigRational) -> Option<BigRational> {
    let is_proper = part.is_positive() && part < BigRational::from_integer(BigInt::from(1));
    (is_proper && whole.is_plain_integer()).then(|| value + part)
}

/// `value` times ten to the `exponent`; none when that is out of proportion.
fn shifted(value: BigRational, exponent: i32) -> Option<BigRational> {
    if exponent.abs() > 300 {
        return None;
    }
    let power = power_of_ten(exponent.unsigned_abs());
    Some(if exponent > 0 { value * power } else { value / power })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal::normalise;

    fn read(text: &str) -> Option<String> {
        Quantity::parse(&normalise(text)).map(|quantity| quantity.value.to_string())
    }

    #[test]
    fn numbers_in_many_spellings() {
        let cases = [
            ("18", "18"),
            ("-18.50", "-37/2"),
            ("+7", "7"),
            ("$1,200.00", "1200"),
            ("-$5", "-5"),
            ("$-5", "-5"),
            ("\\$10", "10"),
            ("1/2", "1/2"),
            ("-\\frac{1}{2}", "-1/2"),
            ("\\frac{-1}{2}", "-1/2"),
            ("\\tfrac83", "8/3"),
            ("\\frac1{72}", "1/72"),
            ("1 1/2", "3/2"),
            ("-1 1/2", "-3/2"),
            ("918\\frac{1}{2}", "1837/2"),
            ("1 000 000", "1000000"),
            ("3 \\times 10^{5}", "300000"),
            ("2.5 x 10^-2", "1/40"),
            ("1.5 million dollars", "1500000"),
            ("$2 million", "2000000"),
            ("10\\text{ units}", "10"),
            ("72 °", "72"),
            ("33 eggs.", "33"),
            ("5%", "5"),
        ];
        for (text, expected) in cases {
            assert_eq!(read(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_not_one_number_is_not_read() {
        let texts = [
            "",
            "-",
            "$",
            "x",
            "5x",
            "5 x",
            "2\\pi",
            "1/0",
            "1, 2",
            "1,22",
            "3-5",
            "10+John's age",
            "4 - 20i",
            "2^3",
            "1/2/3",
            "1 3/2",
            "1.5 1/2",
            "--5",
            "-$-5",
            "5!",
            "x = 5",
            "\\frac{1}{0}",
            "\\frac{x}{2}",
            "\\frac{1}",
            "1e9999",
            "3 x 10^",
            "3 × 10^9999",
            "5 or 6",
            "1 0000",
            "$5%",
            "$5 euros",
            "2 dozen",
            "5 more",
            "5\\text{ and }6",
        ];
        for text in texts {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
