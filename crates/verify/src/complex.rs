//! Complex numbers with a proven error: a ball for each part. A part that is exactly zero stays so.

use std::cmp::Ordering;

use crate::ball::{Ball, elementary};

/// `re + im i`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Complex {
    pub re: Ball,
    pub im: Ball,
}

impl Complex {
    pub(crate) fn i() -> Complex {
        Complex { re: Ball::zero(), im: Ball::integer(1) }
    }

    pub(crate) fn is_real(&self) -> bool {
        self.im.is_zero()
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.re.is_zero() && self.im.is_zero()
    }

    /// Whether it is proven not to be zero.
    pub(crate) fn is_nonzero(&self) -> bool {
        self.re.sign().is_some() || self.im.sign().is_some()
    }

    /// Whether both radii are below two to the `exponent`.
    pub(crate) fn is_narrower_than(&self, exponent: i64) -> bool {
        self.re.is_narrower_than(exponent) && self.im.is_narrower_than(exponent)
    }

    pub(crate) fn real(self) -> Option<Ball> {
        self.im.is_zero().then_some(self.re)
    }

    pub(crate) fn negated(&self) -> Complex {
        Complex { re: self.re.negated(), im: self.im.negated() }
    }

    pub(crate) fn plus(&self, other: &Complex, bits: u32) -> Option<Complex> {
        Some(Complex { re: self.re.plus(&other.re, bits)?, im: self.im.plus(&other.im, bits)? })
    }

    pub(crate) fn minus(&self, other: &Complex, bits: u32) -> Option<Complex> {
        self.plus(&other.negated(), bits)
    }

    pub(crate) fn times(&self, other: &Complex, bits: u32) -> Option<Complex> {
        if self.is_real() && other.is_real() {
            return Some(self.re.times(&other.re, bits)?.into());
        }
        let re = self.re.times(&other.re, bits)?.minus(&self.im.times(&other.im, bits)?, bits)?;
        let im = self.re.times(&other.im, bits)?.plus(&self.im.times(&other.re, bits)?, bits)?;
        Some(Complex { re, im })
    }

    /// None when it may be zero.
    pub(crate) fn inverse(&self, bits: u32) -> Option<Complex> {
        let one = Ball::integer(1);
        if self.is_real() {
            return Some(one.divided(&self.re, bits)?.into());
        }
        let norm = self.norm_squared(bits)?;
        Some(Complex { re: self.re.divided(&norm, bits)?, im: self.im.negated().divided(&norm, bits)? })
    }

    pub(crate) fn power(&self, exponent: u64, bits: u32) -> Option<Complex> {
        if self.is_real() {
            return Some(self.re.power(exponent, bits)?.into());
        }
        let mut result = Complex::from(Ball::integer(1));
        for bit in (0..u64::BITS - exponent.leading_zeros()).rev() {
            result = result.times(&result, bits)?;
            if exponent >> bit & 1 == 1 {
                result = result.times(self, bits)?;
            }
        }
        Some(result)
    }

    pub(crate) fn magnitude(&self, bits: u32) -> Option<Ball> {
        if self.is_real() {
            return match self.re.sign() {
                Some(Ordering::Less) => Some(self.re.negated()),
                Some(_) => Some(self.re.clone()),
                None => self.re.is_zero().then(Ball::zero),
            };
        }
        self.norm_squared(bits)?.root(2, bits)
    }

    /// The principal square root.
    pub(crate) fn square_root(&self, bits: u32) -> Option<Complex> {
        if self.is_real() {
            return Some(match self.re.sign() {
                Some(Ordering::Less) => Complex { re: Ball::zero(), im: self.re.negated().root(2, bits)? },
                _ => self.re.root(2, bits)?.into(),
            });
        }
        let magnitude = self.magnitude(bits)?;
        let two = Ball::integer(2);
        let re = magnitude.plus(&self.re, bits)?.divided(&two, bits)?.root(2, bits)?;
        let im = magnitude.minus(&self.re, bits)?.divided(&two, bits)?.root(2, bits)?;
        let im = if self.im.sign()? == Ordering::Less { im.negated() } else { im };
        Some(Complex { re, im })
    }

    /// The principal logarithm of a number that is not zero, nor may be on both sides of the negative axis.
    pub(crate) fn ln(&self, bits: u32) -> Option<Complex> {
        let pi = || elementary::pi(bits);
        if self.is_real() {
            return Some(match self.re.sign()? {
                Ordering::Less => Complex { re: elementary::ln(&self.re.negated(), bits)?, im: pi()? },
                _ => elementary::ln(&self.re, bits)?.into(),
            });
        }
        let two = Ball::integer(2);
        let re = elementary::ln(&self.norm_squared(bits)?, bits)?.divided(&two, bits)?;
        // The angle, from the half plane whose sign is sure.
        let im = match (self.re.sign(), self.im.sign()) {
            (Some(Ordering::Greater), _) => elementary::atan(&self.im.divided(&self.re, bits)?, bits)?,
            (_, Some(side)) => {
                let half_pi = pi()?.divided(&two, bits)?;
                let rest = elementary::atan(&self.re.divided(&self.im, bits)?, bits)?;
                let quarter = if side == Ordering::Greater { half_pi } else { half_pi.negated() };
                quarter.minus(&rest, bits)?
            }
            _ => return None,
        };
        Some(Complex { re, im })
    }

    pub(crate) fn exp(&self, bits: u32) -> Option<Complex> {
        let magnitude = elementary::exp(&self.re, bits)?;
        if self.is_real() {
            return Some(magnitude.into());
        }
        let (sin, cos) = elementary::sin_cos(&self.im, bits)?;
        Some(Complex { re: magnitude.times(&cos, bits)?, im: magnitude.times(&sin, bits)? })
    }

    /// For a person: `1.5`, `1.5 + 2i`.
    pub(crate) fn approximation(&self) -> String {
        if self.is_real() {
            return self.re.approximation();
        }
        format!("{} + {}i", self.re.approximation(), self.im.approximation())
    }

    fn norm_squared(&self, bits: u32) -> Option<Ball> {
        self.re.power(2, bits)?.plus(&self.im.power(2, bits)?, bits)
    }
}

impl From<Ball> for Complex {
    fn from(re: Ball) -> Complex {
        Complex { re, im: Ball::zero() }
    }
}
