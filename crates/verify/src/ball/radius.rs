//! An upper bound of an error: 32 bits and an exponent, every operation rounded up.

use num_bigint::BigInt;
use num_traits::{One, ToPrimitive, Zero};

/// `mantissa * 2^exponent`; the mantissa is zero or has exactly 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Radius {
    mantissa: u64,
    exponent: i64,
}

impl Radius {
    pub(super) const ZERO: Radius = Radius { mantissa: 0, exponent: 0 };

    pub(super) fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    pub(super) fn power_of_two(exponent: i64) -> Radius {
        Radius { mantissa: 1 << 31, exponent: exponent - 31 }
    }

    /// At or above `|mid| * 2^exponent`.
    pub(super) fn above(mid: &BigInt, exponent: i64) -> Radius {
        let excess = mid.bits().saturating_sub(63);
        let top = (mid.magnitude() >> excess).to_u64().unwrap_or(u64::MAX);
        let rounded = top + u64::from(excess > 0);
        Radius::normal(u128::from(rounded), exponent + i64::try_from(excess).unwrap_or(i64::MAX / 4))
    }

    /// One more than the exponent of two of its first bit; none for zero.
    pub(super) fn top(self) -> Option<i64> {
        (self.mantissa > 0).then(|| self.exponent + 32)
    }

    pub(super) fn plus(self, other: Radius) -> Radius {
        let (high, low) = if self.exponent >= other.exponent { (self, other) } else { (other, self) };
        if high.is_zero() || low.is_zero() {
            return if high.is_zero() { low } else { high };
        }
        let shift = high.exponent - low.exponent;
        if shift > 64 {
            return Radius::normal(u128::from(high.mantissa) + 1, high.exponent);
        }
        Radius::normal((u128::from(high.mantissa) << shift) + u128::from(low.mantissa), low.exponent)
    }

    pub(super) fn times(self, other: Radius) -> Radius {
        Radius::normal(u128::from(self.mantissa) * u128::from(other.mantissa), self.exponent + other.exponent)
    }

    /// Times two to the `exponent`.
    pub(super) fn shifted(self, exponent: i64) -> Radius {
        Radius { exponent: self.exponent + exponent, ..self }
    }

    /// A whole number of two to the `exponent` at or above it; none when that is out of proportion.
    pub(super) fn as_integer_shift(self, exponent: i64) -> Option<BigInt> {
        if self.is_zero() {
            return Some(BigInt::zero());
        }
        let shift = self.exponent - exponent;
        if shift > 1 << 16 {
            return None;
        }
        let mantissa = BigInt::from(self.mantissa);
        Some(match u64::try_from(shift) {
            Ok(shift) => mantissa << shift,
            Err(_) => (mantissa >> u64::try_from(-shift).unwrap_or(u64::MAX).min(64)) + BigInt::one(),
        })
    }

    fn normal(mantissa: u128, exponent: i64) -> Radius {
        if mantissa == 0 {
            return Radius::ZERO;
        }
        let bits = i64::from(u128::BITS - mantissa.leading_zeros());
        let shift = bits - 32;
        if shift <= 0 {
            let mantissa = u64::try_from(mantissa << -shift).expect("32 bits");
            return Radius { mantissa, exponent: exponent + shift };
        }
        let floor = mantissa >> shift;
        let is_exact = floor << shift == mantissa;
        let rounded = u64::try_from(floor).expect("32 bits") + u64::from(!is_exact);
        let carries = rounded >> 32 == 1;
        Radius {
            mantissa: if carries { 1 << 31 } else { rounded },
            exponent: exponent + shift + i64::from(carries),
        }
    }
}
