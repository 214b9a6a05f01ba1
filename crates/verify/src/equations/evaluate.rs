//! The value of one side of an equation, in exact rationals.
//!
//! ```text
//! sum     = product (("+" | "-") product)*
//! product = signed (("*" | "/" | "of") signed | group)*      a group right after an operand multiplies
//! signed  = ("+" | "-")* power
//! power   = postfix ("^" signed)?
//! postfix = primary "%"* unit*
//! primary = number | number number "/" number | group | "\frac" group group
//! ```

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, Signed, ToPrimitive, Zero};

use super::lexer::{Kind, Token, bits};
use crate::budget::Budget;

/// Most symbols of a side.
const MAX_TOKENS: usize = 64;
/// Deepest nesting of groups and signs.
const MAX_DEPTH: usize = 16;
/// Largest numerator or denominator, in bits.
const MAX_BITS: u64 = 1024;
/// What a result costs for each square of its words of 64 bits: a greatest common divisor.
const STEPS_OF_SQUARE: u64 = 6;
/// Largest exponent.
const MAX_POWER: u32 = 64;

/// The value of `tokens`, all of them; none when they are no expression, too large, or divide by zero.
///
/// `percent` is what a percent sign multiplies by: a hundredth, or one to read it as a unit. None also when the budget does
/// not suffice.
pub(super) fn evaluate(tokens: &[Token<'_>], percent: &BigRational, budget: &Budget) -> Option<BigRational> {
    if tokens.len() > MAX_TOKENS {
        return None;
    }
    let mut parser = Parser { tokens, percent, budget };
    let value = parser.sum(0)?;
    parser.tokens.is_empty().then_some(value)
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    percent: &'a BigRational,
    budget: &'a Budget,
}

impl Parser<'_> {
    fn sum(&mut self, depth: usize) -> Option<BigRational> {
        let mut value = self.product(depth)?;
        loop {
            value = match self.peek() {
                Some(Kind::Plus) => value + self.next_operand(depth, Parser::product)?,
                Some(Kind::Minus) => value - self.next_operand(depth, Parser::product)?,
                _ => return Some(value),
            };
            value = self.bounded(value)?;
        }
    }

    fn product(&mut self, depth: usize) -> Option<BigRational> {
        let mut value = self.signed(depth)?;
        loop {
            value = match self.peek() {
                Some(Kind::Times) => value * self.next_operand(depth, Parser::signed)?,
                Some(Kind::Word) if self.at_of() => value * self.next_operand(depth, Parser::signed)?,
                Some(Kind::Over) => {
                    let divisor = self.next_operand(depth, Parser::signed)?;
                    (!divisor.is_zero()).then(|| value / divisor)?
                }
                Some(Kind::Open) if self.tokens[0].glued => value * self.power(depth)?,
                _ => return Some(value),
            };
            value = self.bounded(value)?;
        }
    }

    fn signed(&mut self, depth: usize) -> Option<BigRational> {
        match self.peek() {
            _ if depth > MAX_DEPTH => None,
            Some(Kind::Minus) => Some(-self.next_operand(depth + 1, Parser::signed)?),
            Some(Kind::Plus) => self.next_operand(depth + 1, Parser::signed),
            _ => self.power(depth),
        }
    }

    fn power(&mut self, depth: usize) -> Option<BigRational> {
        let base = self.postfix(depth)?;
        if self.peek() != Some(&Kind::Power) {
            return Some(base);
        }
        let exponent = self.next_operand(depth + 1, Parser::signed)?;
        self.bounded(raised(base, &exponent)?)
    }

    fn postfix(&mut self, depth: usize) -> Option<BigRational> {
        let mut value = self.primary(depth)?;
        while self.peek() == Some(&Kind::Percent) {
            self.skip();
            value = self.bounded(value * self.percent)?;
        }
        while self.peek() == Some(&Kind::Word) && !self.at_of() {
            self.skip();
        }
        self.bounded(value)
    }

    fn primary(&mut self, depth: usize) -> Option<BigRational> {
        match self.peek()? {
            Kind::Number { value, is_plain, .. } => {
                let (value, is_plain) = (value.clone(), *is_plain);
                self.skip();
                let part = if is_plain { self.proper_fraction() } else { None };
                Some(part.map_or_else(|| value.clone(), |part| &value + part))
            }
            Kind::Open => self.group(depth),
            Kind::Fraction => {
                self.skip();
                let (over, under) = (self.group(depth)?, self.group(depth)?);
                (!under.is_zero()).then(|| over / under)
            }
            _ => None,
        }
    }

    fn group(&mut self, depth: usize) -> Option<BigRational> {
        if depth >= MAX_DEPTH || self.peek() != Some(&Kind::Open) {
            return None;
        }
        let value = self.next_operand(depth + 1, Parser::sum)?;
        let closes = self.peek() == Some(&Kind::Close);
        self.skip();
        closes.then_some(value)
    }

    /// The `3/4` of `2 3/4`, written without spaces around the slash.
    fn proper_fraction(&mut self) -> Option<BigRational> {
        let [over, slash, under, ..] = self.tokens else { return None };
        let (Kind::Number { value: a, is_plain: true, .. }, Kind::Number { value: b, is_plain: true, .. }) =
            (&over.kind, &under.kind)
        else {
            return None;
        };
        let is_written_close = slash.kind == Kind::Over && slash.glued && under.glued && !over.glued;
        let value = (is_written_close && a < b).then(|| a / b)?;
        self.tokens = &self.tokens[3..];
        Some(value)
    }

    /// Whether the next word is the `of` of `20% of 50`.
    fn at_of(&self) -> bool {
        matches!(self.tokens, [of, next, ..] if of.text == "of" && next.begins_operand())
    }

    /// `value` if it is not too large, and the budget bears what it took to bring it to lowest terms.
    fn bounded(&self, value: BigRational) -> Option<BigRational> {
        let words = bits(&value) / 64;
        self.budget.spend(STEPS_OF_SQUARE * words * words)?;
        (bits(&value) <= MAX_BITS).then_some(value)
    }

    fn peek(&self) -> Option<&Kind> {
        self.tokens.first().map(|token| &token.kind)
    }

    fn skip(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    /// Skips the operator and reads what follows it.
    fn next_operand(
        &mut self,
        depth: usize,
        read: fn(&mut Self, usize) -> Option<BigRational>,
    ) -> Option<BigRational> {
        self.skip();
        read(self, depth)
    }
}

fn raised(base: BigRational, exponent: &BigRational) -> Option<BigRational> {
    let exponent = exponent.is_integer().then(|| exponent.numer().to_i32()).flatten()?;
    let power = exponent.unsigned_abs();
    if power > MAX_POWER || bits(&base) * u64::from(power) > MAX_BITS || (base.is_zero() && exponent <= 0) {
        return None;
    }
    // Powers of what is in lowest terms are.
    let raised = BigRational::new_raw(base.numer().pow(power), base.denom().pow(power));
    Some(if exponent < 0 { raised.recip() } else { raised })
}

/// Most decimals of a value that is shown as a decimal.
const MAX_DECIMALS: usize = 6;

/// A value as a person writes it: an integer, a short decimal, else a fraction.
pub(super) fn show(value: &BigRational) -> String {
    let scale = BigInt::from(10_u32).pow(MAX_DECIMALS);
    let scaled = value.numer().abs() * scale;
    if value.is_integer() || !(&scaled % value.denom()).is_zero() {
        return value.to_string();
    }
    let text = format!("{:0>width$}", (scaled / value.denom()).to_string(), width = MAX_DECIMALS + 1);
    let (whole, decimals) = text.split_at(text.len() - MAX_DECIMALS);
    let sign = if value.is_negative() { "-" } else { "" };
    format!("{sign}{whole}.{}", decimals.trim_end_matches('0'))
}

/// What a percent sign multiplies by in each of its readings: a hundredth, and as a unit.
pub(super) fn percent_readings() -> [BigRational; 2] {
    [BigRational::new(BigInt::one(), BigInt::from(100_u32)), BigRational::one()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_shown_as_people_write_them() {
        let shown = |over: i64, under: i64| show(&BigRational::new(over.into(), under.into()));
        let cases = [
            (4, 2),
            (1, 2),
            (-1, 8),
            (1, 3),
            (-22, 7),
            (123_456_789, 1_000_000),
            (1, 1_000_000),
            (1, 10_000_000),
        ];
        let expected = ["2", "0.5", "-0.125", "1/3", "-22/7", "123.456789", "0.000001", "1/10000000"];
        assert_eq!(cases.map(|(over, under)| shown(over, under)), expected);
    }
}
