//! Numbers inside an expression: decimals, repeating decimals, bases.

use num_bigint::BigInt;
use num_rational::BigRational;

use super::Parser;
use crate::expr::{Digits, Expr, Number};
use crate::literal::{self, power_of_ten};

/// Longest repeating part of a decimal, in digits.
const MAX_PERIOD: usize = 60;

impl Parser<'_> {
    /// A decimal literal, with what may stand directly behind it: a repeating part, dots, a base.
    pub(super) fn number(&mut self) -> Option<Expr> {
        let literal = literal::scan(self.rest)?;
        let grouped = literal.text.contains(',');
        // Inside brackets a comma separates: `(1,234)` is a pair.
        let text = if grouped && self.brackets > 0 && !self.has_thousands {
            literal.text.split(',').next()?
        } else {
            literal.text
        };
        let literal = if text.len() < literal.text.len() { literal::scan(text)? } else { literal };
        let value = literal.value()?;
        self.rest = &self.rest[literal.text.len()..];
        let is_decimal = literal.fraction_digits > 0 && !literal.text.contains(['e', 'E']);
        if (is_decimal || self.rest.starts_with(".\\overline"))
            && let Some(value) = self.repeating(literal.text, &value)
        {
            return Some(Expr::rational(value));
        }
        let digits = Digits { fraction: literal.fraction_digits, significant: literal.significant_digits() };
        let digits = is_decimal.then_some(digits);
        let base = self.base();
        match base {
            Some(base) => in_base(literal.text, base),
            None => Some(Expr::Number(Number { value, digits, base: None })),
        }
    }

    /// The exact value of `0.1\overline{6}`, `0.333...`, `0.1\dot{6}`, whose first digits are `written`.
    fn repeating(&mut self, written: &str, value: &BigRational) -> Option<BigRational> {
        let written = written.replace(',', "");
        for mark in ["\\overline{", "\\dot{", "\\bar{"] {
            let needs_point = !written.contains('.');
            let start = if needs_point { self.rest.strip_prefix('.') } else { Some(self.rest) };
            let Some(rest) = start.and_then(|rest| rest.strip_prefix(mark)) else { continue };
            let (period, rest) = rest.split_once('}')?;
            let is_digits = !period.is_empty() && period.bytes().all(|byte| byte.is_ascii_digit());
            if !is_digits || period.len() > MAX_PERIOD {
                return None;
            }
            self.rest = rest;
            let fraction = written.split_once('.').map_or(0, |(_, fraction)| fraction.len());
            return Some(value + repetition(period, fraction));
        }
        let rest = ["...", "…", "\\ldots", "\\dots", "\\cdots"]
            .iter()
            .find_map(|dots| self.rest.strip_prefix(dots))?;
        let fraction = written.split_once('.').map_or("", |(_, fraction)| fraction);
        let period = period(fraction)?;
        self.rest = rest;
        Some(value + repetition(period, fraction.len()))
    }

    /// The base after `_`: `204_5`, `204_{5}`, `1011_{\text{two}}`.
    fn base(&mut self) -> Option<u32> {
        let rest = self.rest.strip_prefix('_')?;
        let (digits, rest) = match rest.strip_prefix('{') {
            Some(inside) => inside.split_once('}')?,
            None => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        };
        let base = digits.trim().parse().ok().filter(|base| (2..=36).contains(base))?;
        self.rest = rest;
        Some(base)
    }
}

/// The integer that `text` spells in `base`; none when a digit does not belong to it.
fn in_base(text: &str, base: u32) -> Option<Expr> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value = BigInt::parse_bytes(text.as_bytes(), base)?;
    Some(Expr::Number(Number { value: BigRational::from_integer(value), digits: None, base: Some(base) }))
}

/// `period` over and over, after `places` decimals.
fn repetition(period: &str, places: usize) -> BigRational {
    let digits = BigInt::parse_bytes(period.as_bytes(), 10).unwrap_or_default();
    let length = u32::try_from(period.len()).unwrap_or(u32::MAX);
    let nines = power_of_ten(length) - BigInt::from(1);
    let shift = power_of_ten(u32::try_from(places).unwrap_or(u32::MAX));
    BigRational::new(digits, nines * shift)
}

/// The part that the digits before dots repeat: one digit three times, or two whole periods.
fn period(fraction: &str) -> Option<&str> {
    let len = fraction.len();
    let repeats = |period: usize, times: usize| {
        period * times <= len && {
            let tail = &fraction.as_bytes()[len - period * times..];
            tail.chunks(period).all(|chunk| chunk == &tail[..period])
        }
    };
    let found =
        if repeats(1, 3) { Some(1) } else { (2..=MAX_PERIOD.min(len)).find(|period| repeats(*period, 2)) };
    found.map(|period| &fraction[len - period..])
}
