//! Decimals that stand for a value that they are not, under the rule of the options.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

use super::unit_of_place;
use crate::ball::Ball;
use crate::compare::Outcome;
use crate::evaluate::Point;
use crate::expr::{Digits, Expr};
use crate::judge::{Decision, Judge};
use crate::options::Decimals;

/// Fewest significant digits of a decimal that may be taken for a rounding.
const MIN_SIGNIFICANT: usize = 3;

/// Bits in which a distance is measured.
const BITS: u32 = 256;

impl Judge<'_> {
    /// The verdict of the rule for decimals on two values that differ; none when it does not apply.
    pub(super) fn rounded(&self, a: &Expr, b: &Expr) -> Option<Decision> {
        if has_variables(a) || has_variables(b) {
            return None;
        }
        let outcome = match self.options.decimals {
            Decimals::Exact => return None,
            Decimals::Doubt => Outcome::Unknown,
            _ => Outcome::Equal,
        };
        let is_near = match self.options.decimals {
            Decimals::Places(places) => {
                let half = BigRational::new(BigInt::from(1), BigInt::from(2));
                has_decimal(a, b)
                    && self.is_within(a, b, &(unit_of_place(usize::try_from(places).ok()?)? * half))?
            }
            Decimals::Relative(places) => {
                has_decimal(a, b) && self.is_relatively_within(a, b, usize::try_from(places).ok()?)?
            }
            _ => self.is_rounding(a, b)? || self.is_rounding(b, a)?,
        };
        is_near.then(|| Decision::new(outcome, "rounding"))
    }

    /// Whether `a` is a decimal, `b` has more digits, and rounds to those of `a`.
    fn is_rounding(&self, a: &Expr, b: &Expr) -> Option<bool> {
        let Some((_, digits)) = written(a) else { return Some(false) };
        let is_shorter = written(b).is_none_or(|(_, other)| other.fraction > digits.fraction);
        let is_whole = b.as_rational().is_some_and(BigRational::is_integer);
        if !is_shorter || is_whole || digits.fraction == 0 || digits.significant < MIN_SIGNIFICANT {
            return Some(false);
        }
        let half = BigRational::new(BigInt::from(1), BigInt::from(2));
        self.is_within(a, b, &(unit_of_place(digits.fraction)? * half))
    }

    fn is_within(&self, a: &Expr, b: &Expr, tolerance: &BigRational) -> Option<bool> {
        if let (Some(x), Some(y)) = (exactly(a), exactly(b)) {
            return Some((x - y).abs() <= *tolerance);
        }
        let gap = Expr::Sum(vec![a.clone(), b.clone().negated()]);
        let gap = self.real_value(&gap)?;
        let magnitude = if gap.sign() == Some(Ordering::Less) { gap.negated() } else { gap };
        let excess = magnitude.minus(&Ball::rational(tolerance, BITS)?, BITS)?;
        Some(excess.sign() != Some(Ordering::Greater))
    }

    /// Whether the distance of `b` from `a` is at most ten to the minus `places` of `a`.
    fn is_relatively_within(&self, a: &Expr, b: &Expr, places: usize) -> Option<bool> {
        let value = match exactly(a) {
            Some(value) => Expr::rational(value),
            None => a.clone(),
        };
        let known = self.real_value(&value)?;
        let magnitude = if known.sign() == Some(Ordering::Less) { known.negated() } else { known };
        let tolerance = magnitude.times(&Ball::rational(&unit_of_place(places)?, BITS)?, BITS)?;
        let gap = self.real_value(&Expr::Sum(vec![a.clone(), b.clone().negated()]))?;
        let gap = if gap.sign() == Some(Ordering::Less) { gap.negated() } else { gap };
        Some(gap.minus(&tolerance, BITS)?.sign() != Some(Ordering::Greater))
    }

    fn real_value(&self, expr: &Expr) -> Option<Ball> {
        let point = Point { values: &[], computed: None, is_complex: true, bits: BITS, budget: self.budget };
        point.value(expr)?.real()
    }
}

fn has_variables(expr: &Expr) -> bool {
    expr.any(&|part| matches!(part, Expr::Symbol(_) | Expr::Apply(..) | Expr::Unit(_)))
}

fn has_decimal(a: &Expr, b: &Expr) -> bool {
    let is_decimal = |part: &Expr| matches!(part, Expr::Number(number) if number.digits.is_some());
    a.any(&is_decimal) || b.any(&is_decimal)
}

/// The exact value of a literal, its percent sign included.
fn exactly(expr: &Expr) -> Option<BigRational> {
    match expr {
        Expr::Number(number) => Some(number.value.clone()),
        Expr::Percent(inner) => Some(exactly(inner)? / BigRational::from_integer(BigInt::from(100))),
        _ => None,
    }
}

/// A decimal as written: its value and its digits, those of a percentage being two places further down.
fn written(expr: &Expr) -> Option<(BigRational, Digits)> {
    match expr {
        Expr::Number(number) if !number.value.is_zero() => Some((number.value.clone(), number.digits?)),
        Expr::Percent(inner) => {
            let (value, digits) = written(inner)?;
            let digits = Digits { fraction: digits.fraction + 2, ..digits };
            Some((value / BigRational::from_integer(BigInt::from(100)), digits))
        }
        _ => None,
    }
}
