//! Exponential, logarithm, sine, cosine and arc tangent of balls, by Taylor series in fixed point.
//!
//! Each reduces its argument, sums a series with more working bits than asked for, and widens the result by
//! a bound of its own error, 2^-(bits + 8), which is far above what the extra bits lose.

use std::cmp::Ordering;
use std::sync::LazyLock;

use num_bigint::BigInt;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::{Ball, Radius};

/// Working bits of the stored constants.
const STORED_BITS: u32 = 4800;

/// Extra working bits of every function.
const EXTRA_BITS: u32 = 48;

/// Halvings of an argument before its series.
const HALVINGS: u32 = 8;

/// Largest argument, as an exponent of two, that is reduced.
const MAX_TOP: i64 = 60;

static PI: LazyLock<BigInt> = LazyLock::new(|| {
    let arc = |x: u32| inverse_arc_tangent(x, STORED_BITS + 32);
    (arc(5) * 16 - arc(239) * 4) >> 32_u32
});

static LN_2: LazyLock<BigInt> = LazyLock::new(|| {
    let one = BigInt::one() << (STORED_BITS + 32);
    (atanh(&(one / 3), STORED_BITS + 32) * 2) >> 32_u32
});

/// The number π.
pub(crate) fn pi(bits: u32) -> Option<Ball> {
    from_fixed(stored(&PI, bits + EXTRA_BITS)?, bits + EXTRA_BITS, bits)
}

/// e to the `x`; none when that is out of proportion.
pub(crate) fn exp(x: &Ball, bits: u32) -> Option<Ball> {
    let top = x.top().unwrap_or(-MAX_TOP);
    let is_wide = !x.radius.is_zero() && x.radius.top().is_some_and(|top| top > 0);
    if top > 38 || is_wide {
        return None;
    }
    let places = bits + EXTRA_BITS + u32::try_from(top.max(0)).ok()?;
    let ln_2 = stored(&LN_2, places)?;
    let fixed = x.fixed(places)?;
    let turns = floor_quotient(&fixed, &ln_2);
    let rest = (fixed - &turns * ln_2) >> HALVINGS;
    let one = BigInt::one() << places;
    let (mut sum, mut term) = (one.clone(), one);
    let mut n = 1_u32;
    while !term.is_zero() {
        term = ((term * &rest) >> places) / n;
        sum += &term;
        n += 1;
    }
    for _ in 0..HALVINGS {
        sum = (&sum * &sum) >> places;
    }
    let turns = turns.to_i64()?;
    let value = Ball { mid: sum, exponent: turns - i64::from(places), radius: Radius::ZERO };
    let value = value.widened(turns - i64::from(bits) - 8);
    let error = value.magnitude().times(x.radius).shifted(1);
    let radius = value.radius.plus(error);
    Some(Ball { radius, ..value }.rounded(bits))
}

/// The natural logarithm of a positive number.
pub(crate) fn ln(x: &Ball, bits: u32) -> Option<Ball> {
    if x.sign()? != Ordering::Greater {
        return None;
    }
    let top = x.top()?;
    let places = bits + EXTRA_BITS + (i64::BITS - top.abs().leading_zeros());
    let one = BigInt::one() << places;
    // Between one half and one, then close to one by square roots.
    let mut mantissa =
        Ball { exponent: x.exponent - top, radius: Radius::ZERO, ..x.clone() }.fixed(places)?;
    for _ in 0..HALVINGS {
        mantissa = (mantissa << places).sqrt();
    }
    let z = ((&mantissa - &one) << places) / (mantissa + one);
    let logarithm = (atanh(&z, places) << (HALVINGS + 1)) + stored(&LN_2, places)? * top;
    let value = from_fixed(logarithm, places, bits)?;
    let radius = value.radius.plus(x.radius.shifted(-x.floor_exponent()?));
    Some(Ball { radius, ..value })
}

/// Sine and cosine.
pub(crate) fn sin_cos(x: &Ball, bits: u32) -> Option<(Ball, Ball)> {
    let top = x.top().unwrap_or(-MAX_TOP);
    if top > MAX_TOP {
        return None;
    }
    let places = bits + EXTRA_BITS + u32::try_from(top.max(0)).ok()?;
    let quarter = stored(&PI, places)? >> 1_u32;
    let fixed = x.fixed(places)?;
    let turns = floor_quotient(&(&fixed + (&quarter >> 1_u32)), &quarter);
    let rest = fixed - &turns * quarter;
    let square = (&rest * &rest) >> places;
    let sine = alternating(rest, &square, places, 2);
    let cosine = alternating(BigInt::one() << places, &square, places, 1);
    let (sine, cosine) = match (turns % 4_i32 + 4_i32).to_i32()? % 4 {
        0 => (sine, cosine),
        1 => (cosine, -sine),
        2 => (-sine, -cosine),
        _ => (-cosine, sine),
    };
    let widen = |fixed: BigInt| {
        let value = from_fixed(fixed, places, bits)?;
        let radius = value.radius.plus(x.radius);
        Some(Ball { radius, ..value })
    };
    Some((widen(sine)?, widen(cosine)?))
}

/// The arc tangent.
pub(crate) fn atan(x: &Ball, bits: u32) -> Option<Ball> {
    if x.is_zero() {
        return Some(Ball::zero());
    }
    if x.mid.is_negative() {
        return Some(atan(&x.negated(), bits)?.negated());
    }
    if x.top().is_some_and(|top| top > 1) {
        let half_pi = pi(bits + 8)?.divided(&Ball::integer(2), bits + 8)?;
        let inverse = Ball::integer(1).divided(x, bits + 8)?;
        return half_pi.minus(&atan(&inverse, bits + 8)?, bits);
    }
    let places = bits + EXTRA_BITS;
    let one = BigInt::one() << places;
    let mut fixed = x.fixed(places)?;
    for _ in 0..HALVINGS {
        let hypotenuse = ((&fixed * &fixed) + (&one << places)).sqrt();
        fixed = (fixed << places) / (&one + hypotenuse);
    }
    let square = (&fixed * &fixed) >> places;
    let (mut sum, mut power) = (BigInt::zero(), fixed);
    let mut n = 1_u32;
    while !power.is_zero() {
        if n % 4 == 1 {
            sum += &power / n;
        } else {
            sum -= &power / n;
        }
        power = (power * &square) >> places;
        n += 2;
    }
    let value = from_fixed(sum << HALVINGS, places, bits)?;
    let radius = value.radius.plus(x.radius);
    Some(Ball { radius, ..value })
}

/// `first - first x²/(k(k+1)) + ...`: the series of sine (from 2) and cosine (from 1).
fn alternating(first: BigInt, square: &BigInt, places: u32, from: u32) -> BigInt {
    let (mut sum, mut term) = (first.clone(), first);
    let mut n = from;
    loop {
        term = -(((term * square) >> places) / (n * (n + 1)));
        // A negative term never reaches zero by shifting down.
        if term.bits() <= 1 {
            return sum;
        }
        sum += &term;
        n += 2;
    }
}

/// The series of the inverse hyperbolic tangent of a small `z`.
fn atanh(z: &BigInt, places: u32) -> BigInt {
    let square = (z * z) >> places;
    let (mut sum, mut power) = (BigInt::zero(), z.clone());
    let mut n = 1_u32;
    while power.bits() > 1 {
        sum += &power / n;
        power = (power * &square) >> places;
        n += 2;
    }
    sum
}

/// The arc tangent of `1/x`.
fn inverse_arc_tangent(x: u32, places: u32) -> BigInt {
    let mut power = (BigInt::one() << places) / x;
    let (mut sum, mut n) = (BigInt::zero(), 1_u32);
    while !power.is_zero() {
        if n % 4 == 1 {
            sum += &power / n;
        } else {
            sum -= &power / n;
        }
        power /= x * x;
        n += 2;
    }
    sum
}

fn stored(constant: &BigInt, places: u32) -> Option<BigInt> {
    STORED_BITS.checked_sub(places).map(|excess| constant >> excess)
}

fn from_fixed(value: BigInt, places: u32, bits: u32) -> Option<Ball> {
    let ball = Ball { mid: value, exponent: -i64::from(places), radius: Radius::ZERO };
    Some(ball.widened(-i64::from(bits) - 8).rounded(bits + 8))
}

fn floor_quotient(a: &BigInt, b: &BigInt) -> BigInt {
    let quotient = a / b;
    if a.is_negative() { quotient - 1 } else { quotient }
}

#[cfg(test)]
mod tests {
    use super::*;
    use num_rational::BigRational;

    fn ball(a: i64, b: i64) -> Ball {
        Ball::rational(&BigRational::new(a.into(), b.into()), 300).expect("a rational")
    }

    /// Whether two balls meet and are both narrow.
    fn meets(a: &Ball, b: &Ball) -> bool {
        let gap = a.minus(b, 300).expect("a ball");
        gap.sign().is_none() && gap.is_narrower_than(-150)
    }

    #[test]
    fn known_values() {
        let near = |ball: &Ball, value: f64| {
            let text = ball.approximation();
            assert!((text.parse::<f64>().expect("a number") - value).abs() < 1e-7, "{text} and {value}");
        };
        near(&pi(200).expect("pi"), std::f64::consts::PI);
        for x in [-30, -7, -1, 0, 1, 2, 5, 13] {
            let value = f64::from(i32::try_from(x).expect("small"));
            let (sin, cos) = sin_cos(&ball(x, 3), 200).expect("a sine");
            near(&sin, (value / 3.0).sin());
            near(&cos, (value / 3.0).cos());
            near(&atan(&ball(x, 3), 200).expect("an arc tangent"), (value / 3.0).atan());
            near(&exp(&ball(x, 3), 200).expect("a power"), (value / 3.0).exp());
        }
        for x in [1, 2, 3, 10, 1000] {
            let value = f64::from(i32::try_from(x).expect("small"));
            near(&ln(&ball(x, 7), 200).expect("a logarithm"), (value / 7.0).ln());
        }
    }

    #[test]
    fn identities_hold_to_many_bits() {
        for (a, b) in [(1, 3), (22, 7), (-5, 2), (100, 9), (1, 1000)] {
            let x = ball(a, b);
            let (sin, cos) = sin_cos(&x, 200).expect("a sine");
            let squares = sin.power(2, 200).and_then(|s| s.plus(&cos.power(2, 200)?, 200)).expect("a sum");
            assert!(meets(&squares, &Ball::integer(1)));
            let back = exp(&x, 200).and_then(|power| ln(&power, 200)).expect("a logarithm");
            assert!(meets(&back, &x));
            let tangent = sin.divided(&cos, 200).expect("a tangent");
            let (again, _) = sin_cos(&atan(&tangent, 200).expect("an angle"), 200).expect("a sine");
            let expected = if cos.sign() == Some(Ordering::Less) { sin.negated() } else { sin };
            assert!(meets(&again, &expected));
        }
    }
}
