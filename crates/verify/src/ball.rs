//! Real numbers with a proven error: a midpoint of many bits and a radius, rounded outward.
//!
//! A ball contains the number it stands for; every operation returns a ball that contains every result of
//! its arguments' members. Two balls that do not meet prove two numbers different. None of this is ever a
//! proof that two numbers are equal: see [`crate::separation`] for that.

pub(crate) mod elementary;
mod radius;

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

pub(crate) use radius::Radius;

/// Largest magnitude of an exponent of two.
const MAX_EXPONENT: i64 = 1 << 40;

/// `mid * 2^exponent`, give or take `radius`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Ball {
    mid: BigInt,
    exponent: i64,
    radius: Radius,
}

impl Ball {
    pub(crate) fn zero() -> Ball {
        Ball::from(BigInt::zero())
    }

    pub(crate) fn integer(value: i64) -> Ball {
        Ball::from(BigInt::from(value))
    }

    /// A rational to `bits` bits.
    pub(crate) fn rational(value: &BigRational, bits: u32) -> Option<Ball> {
        let over = Ball::from(value.numer().clone());
        if value.denom().is_one() {
            Some(over)
        } else {
            over.divided(&Ball::from(value.denom().clone()), bits)
        }
    }

    /// Whether it is zero, exactly.
    pub(crate) fn is_zero(&self) -> bool {
        self.mid.is_zero() && self.radius.is_zero()
    }

    /// Its sign; none when it may be zero or is.
    pub(crate) fn sign(&self) -> Option<Ordering> {
        self.floor_exponent()?;
        Some(if self.mid.is_negative() { Ordering::Less } else { Ordering::Greater })
    }

    /// An exponent of two below the magnitude of every member; none when that may be zero.
    fn floor_exponent(&self) -> Option<i64> {
        let top = self.top()?;
        let is_clear = self.radius.top().is_none_or(|radius| radius < top - 1);
        is_clear.then_some(top - 2)
    }

    /// One more than the exponent of two of the midpoint; none for zero.
    pub(crate) fn top(&self) -> Option<i64> {
        let bits = i64::try_from(self.mid.bits()).ok().filter(|bits| *bits > 0)?;
        Some(bits + self.exponent)
    }

    /// An upper bound of the magnitude of its members.
    pub(crate) fn magnitude(&self) -> Radius {
        Radius::above(&self.mid, self.exponent).plus(self.radius)
    }

    /// An exponent of two above the magnitude of its members; none when it is exactly zero.
    pub(crate) fn ceiling_exponent(&self) -> Option<i64> {
        self.magnitude().top()
    }

    /// Whether its radius is below two to the `exponent`.
    pub(crate) fn is_narrower_than(&self, exponent: i64) -> bool {
        self.radius.top().is_none_or(|top| top <= exponent)
    }

    pub(crate) fn negated(&self) -> Ball {
        Ball { mid: -&self.mid, ..self.clone() }
    }

    pub(crate) fn plus(&self, other: &Ball, bits: u32) -> Option<Ball> {
        if self.mid.is_zero() || other.mid.is_zero() {
            let (zero, other) = if self.mid.is_zero() { (self, other) } else { (other, self) };
            return Some(Ball { radius: zero.radius.plus(other.radius), ..other.clone() });
        }
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        let shift = high.exponent - low.exponent;
        let radius = high.radius.plus(low.radius);
        // The lower one is far below the last bit of the higher one: it is an error only.
        let (high_top, low_top) = (high.top()?, low.top()?);
        if high_top - low_top > i64::from(bits) + 8 && shift > 4 * i64::from(bits) {
            return Some(Ball { radius: radius.plus(Radius::above(&low.mid, low.exponent)), ..high.clone() });
        }
        if low_top - high_top > i64::from(bits) + 8 && shift > 4 * i64::from(bits) {
            return Some(Ball {
                radius: radius.plus(Radius::above(&high.mid, high.exponent)),
                ..low.clone()
            });
        }
        let shift = u64::try_from(shift).ok().filter(|shift| *shift < 1 << 22)?;
        let mid = (&high.mid << shift) + &low.mid;
        Some(Ball { mid, exponent: low.exponent, radius }.rounded(bits))
    }

    pub(crate) fn minus(&self, other: &Ball, bits: u32) -> Option<Ball> {
        self.plus(&other.negated(), bits)
    }

    pub(crate) fn times(&self, other: &Ball, bits: u32) -> Option<Ball> {
        let radius = self.magnitude().times(other.radius).plus(self.radius.times(other.magnitude()));
        let exponent = self.exponent + other.exponent;
        (exponent.abs() < MAX_EXPONENT)
            .then(|| Ball { mid: &self.mid * &other.mid, exponent, radius }.rounded(bits))
    }

    /// None when the divisor may be zero.
    pub(crate) fn divided(&self, other: &Ball, bits: u32) -> Option<Ball> {
        let floor = other.floor_exponent()?;
        let Some(top) = self.top() else {
            return Some(Ball { radius: self.radius.shifted(-floor), ..Ball::zero() });
        };
        let shift = (i64::from(bits) + 2 + other.top()? - other.exponent - (top - self.exponent)).max(0);
        let mid = (&self.mid << u64::try_from(shift).ok()?) / &other.mid;
        let exponent = self.exponent - other.exponent - shift;
        let quotient = Ball { mid, exponent, radius: Radius::power_of_two(exponent) };
        let error = quotient.magnitude().times(other.radius).plus(self.radius).shifted(-floor);
        let radius = quotient.radius.plus(error);
        (exponent.abs() < MAX_EXPONENT).then(|| Ball { radius, ..quotient }.rounded(bits))
    }

    /// The positive `index`-th root of a positive number.
    pub(crate) fn root(&self, index: u32, bits: u32) -> Option<Ball> {
        if self.is_zero() {
            return Some(Ball::zero());
        }
        if self.sign()? != Ordering::Greater {
            return None;
        }
        let wanted = i64::from(index) * (i64::from(bits) + 2);
        let mut shift = (wanted - i64::try_from(self.mid.bits()).ok()?).max(0);
        shift += (self.exponent - shift).rem_euclid(i64::from(index));
        let mid = (&self.mid << u64::try_from(shift).ok()?).nth_root(index);
        let exponent = (self.exponent - shift) / i64::from(index);
        let root = Ball { mid, exponent, radius: Radius::power_of_two(exponent) };
        let error = root.magnitude().times(self.radius).shifted(-self.floor_exponent()?);
        let radius = root.radius.plus(error);
        Some(Ball { radius, ..root }.rounded(bits))
    }

    /// A whole power by squaring.
    pub(crate) fn power(&self, exponent: u64, bits: u32) -> Option<Ball> {
        let mut result = Ball::integer(1);
        for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
            result = result.times(&result, bits)?;
            if exponent >> bit & 1 == 1 {
                result = result.times(self, bits)?;
            }
        }
        Some(result)
    }

    /// The whole number at or below every member; none when members disagree.
    pub(crate) fn floor(&self) -> Option<BigInt> {
        let radius = self.radius.as_integer_shift(self.exponent)?;
        let floor = |mid: BigInt| {
            if self.exponent >= 0 {
                mid << u64::try_from(self.exponent).ok().filter(|shift| *shift < 1 << 20).unwrap_or(0)
            } else {
                mid >> u64::try_from(-self.exponent).unwrap_or(u64::MAX).min(1 << 24)
            }
        };
        if self.exponent >= 1 << 20 {
            return None;
        }
        let (low, high) = (floor(&self.mid - &radius), floor(&self.mid + &radius));
        (low == high).then_some(low)
    }

    /// As a person would read it, to about eight digits.
    pub(crate) fn approximation(&self) -> String {
        let Some(top) = self.top() else { return "0".to_owned() };
        if !(-200..200).contains(&top) {
            let sign = if self.mid.is_negative() { "-" } else { "" };
            #[expect(clippy::cast_precision_loss, reason = "a rough order of magnitude for a person")]
            let decimal = (top as f64 * std::f64::consts::LOG10_2).round();
            return format!("about {sign}10^{decimal}");
        }
        let shift = self.mid.bits().saturating_sub(64);
        let mantissa = (&self.mid >> shift).to_f64().unwrap_or(f64::NAN);
        let exponent = self.exponent + i64::try_from(shift).unwrap_or(0);
        let value = mantissa * 2_f64.powi(i32::try_from(exponent).unwrap_or(0));
        let text = format!("{value:.8}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        if matches!(text, "0" | "-0") { format!("{value:.3e}") } else { text.to_owned() }
    }

    fn rounded(self, bits: u32) -> Ball {
        let excess = self.mid.bits().saturating_sub(u64::from(bits));
        if excess == 0 {
            return self;
        }
        let exponent = self.exponent + i64::try_from(excess).unwrap_or(0);
        Ball { mid: self.mid >> excess, exponent, radius: self.radius.plus(Radius::power_of_two(exponent)) }
    }

    /// With the radius grown by two to the `exponent`.
    fn widened(self, exponent: i64) -> Ball {
        Ball { radius: self.radius.plus(Radius::power_of_two(exponent)), ..self }
    }

    /// The midpoint as a whole number of two to the minus `places`, rounded down.
    fn fixed(&self, places: u32) -> Option<BigInt> {
        let shift = self.exponent + i64::from(places);
        if shift >= 0 {
            let shift = u64::try_from(shift).ok().filter(|shift| *shift < 1 << 20)?;
            return Some(&self.mid << shift);
        }
        let shift = u64::try_from(-shift).ok()?;
        Some(if shift > self.mid.bits() + 1 {
            BigInt::from(if self.mid.sign() == Sign::Minus { -1 } else { 0 })
        } else {
            &self.mid >> shift
        })
    }
}

impl From<BigInt> for Ball {
    fn from(mid: BigInt) -> Ball {
        Ball { mid, exponent: 0, radius: Radius::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ratio(a: i64, b: i64) -> BigRational {
        BigRational::new(a.into(), b.into())
    }

    #[test]
    fn arithmetic_contains_the_exact_result() {
        for (a, b, c, d) in [(1, 3, 2, 7), (-5, 9, 1, 1_000_003), (22, 7, -355, 113), (1, 10, 1, 10)] {
            let (x, y) = (ratio(a, b), ratio(c, d));
            let ball = |value: &BigRational| Ball::rational(value, 64).expect("a rational");
            let (left, right) = (ball(&x), ball(&y));
            let results = [
                (left.plus(&right, 64), &x + &y),
                (left.minus(&right, 64), &x - &y),
                (left.times(&right, 64), &x * &y),
                (left.divided(&right, 64), &x / &y),
            ];
            for (result, exact) in results {
                let result = result.expect("a ball");
                let gap = result.minus(&ball(&exact), 256).expect("a ball");
                assert_eq!(gap.sign(), None, "{x} and {y}");
                assert!(gap.is_narrower_than(-30));
            }
        }
    }

    #[test]
    fn roots_are_squared_back() {
        let two = Ball::integer(2);
        for index in [2, 3, 5] {
            let root = two.root(index, 200).expect("a root");
            let back = root.power(u64::from(index), 200).expect("a power").minus(&two, 200).expect("a ball");
            assert_eq!(back.sign(), None);
            assert!(back.is_narrower_than(-190));
        }
    }
}
