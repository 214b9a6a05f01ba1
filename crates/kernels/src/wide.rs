//! The exponential function and the natural logarithm in f64 from IEEE operations alone, so that they have the same bits on every machine:
//! those of a system's mathematical library differ from one to the next.
//!
//! `cuda/common.cuh` has the same operations in the same order.

/// The upper digits of ln 2, whose products with exponents are exact, and the rest.
const LN_2: [f64; 2] = [0.693_147_180_369_123_8, 1.908_214_929_270_587_7e-10];

/// Added and taken away, it leaves a number rounded to an integer.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// e^x within 2 units in the last place; held at e^700 and e^-700.
fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    let x = x.clamp(-700.0, 700.0);
    let n = x.mul_add(std::f64::consts::LOG2_E, ROUND) - ROUND;
    let r = n.mul_add(-LN_2[1], n.mul_add(-LN_2[0], x));
    let p = (1..=14).rev().fold(1.0, |p: f64, i| p.mul_add(r / f64::from(i), 1.0));
    p * f64::from_bits(((n as i64 + 1023) as u64) << 52)
}

/// The natural logarithm of a normal number above 0, within 2 units in the last place.
pub(crate) fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut n = ((bits >> 52) as i64 - 1023) as f64;
    let mut m = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    if m > std::f64::consts::SQRT_2 {
        (m, n) = (m * 0.5, n + 1.0);
    }
    let s = (m - 1.0) / (m + 1.0);
    let q = s * s;
    let sum = (1..=10).rev().fold(0.0, |sum: f64, i| sum.mul_add(q, 1.0 / f64::from(2 * i + 1)));
    let tail = (2.0 * s).mul_add(sum * q, n * LN_2[1]);
    n.mul_add(LN_2[0], tail + 2.0 * s)
}

/// The logistic function, 1 / (1 + e^-x), computed in f64: how far the gate of a shared expert opens.
pub fn sigmoid(x: f32) -> f32 {
    (1.0 / (1.0 + exp(-f64::from(x)))) as f32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(found: f64, exact: f64) {
        let ulp = f64::EPSILON * exact.abs();
        assert!((found - exact).abs() <= 2.0 * ulp, "{found:e}, not {exact:e}");
    }

    proptest! {
        #[test]
        fn they_are_those_of_the_library(x in -700.0..700.0, small in 0.3..3.0, n in -300i32..300) {
            near(exp(x), x.exp());
            near(exp(small), small.exp());
            near(ln(small), small.ln());
            near(ln(small * 10f64.powi(n)), (small * 10f64.powi(n)).ln());
        }
    }

    #[test]
    fn their_ends_are_exact() {
        assert_eq!([exp(0.0), ln(1.0), ln(std::f64::consts::E)], [1.0, 0.0, 1.0]);
        assert!(exp(f64::NAN).is_nan() && exp(1e9).is_finite());
        assert_eq!([sigmoid(-1e30), sigmoid(0.0), sigmoid(200.0)], [0.0, 0.5, 1.0]);
        assert!(sigmoid(f32::NAN).is_nan());
    }
}
