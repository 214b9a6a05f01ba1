//! The value of an expression at a point, with a proven error.
//!
//! Over the reals, an even root of a negative number and the logarithm of one have no value; an odd root of
//! a negative number is the real one, whatever the field. Over the complex numbers the principal value is
//! taken. None also where a function has no value or the arithmetic ran out of precision or budget.

use std::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive, Zero};

use crate::ball::{Ball, elementary};
use crate::budget::Budget;
use crate::complex::Complex;
use crate::exact::factorial;
use crate::expr::{Constant, Expr, Function};

/// Largest index of a root and denominator of an exponent that is computed as a root.
const MAX_INDEX: i64 = 64;

/// Where an expression is evaluated.
pub(crate) struct Point<'a> {
    /// The value of each variable, in the order of their names.
    pub values: &'a [(String, BigRational)],
    /// A value that is not rational, for one more variable.
    pub computed: Option<(&'a str, Complex)>,
    /// Whether even roots of negative numbers have a value.
    pub is_complex: bool,
    /// Bits of working precision.
    pub bits: u32,
    pub budget: &'a Budget,
}

impl Point<'_> {
    /// The value of `expr` here.
    pub(crate) fn value(&self, expr: &Expr) -> Option<Complex> {
        self.budget.spend_operations(1, u64::from(self.bits))?;
        match expr {
            Expr::Number(number) => Some(Ball::rational(&number.value, self.bits)?.into()),
            Expr::Symbol(name) => self.variable(name),
            Expr::Constant(constant) => self.constant(*constant),
            Expr::Unit(name) if name == "degree" => self.degree(),
            Expr::Sum(terms) => {
                let start = Complex::from(Ball::zero());
                terms.iter().try_fold(start, |sum, term| sum.plus(&self.value(term)?, self.bits))
            }
            Expr::Product(factors) => {
                let start = Complex::from(Ball::integer(1));
                factors
                    .iter()
                    .try_fold(start, |product, factor| product.times(&self.value(factor)?, self.bits))
            }
            Expr::Percent(inner) => {
                self.value(inner)?.times(&Ball::integer(100).into_inverse(self.bits)?, self.bits)
            }
            Expr::Power(base, exponent) => self.power(base, exponent),
            Expr::Call(function, arguments) => self.call(*function, arguments),
            Expr::Apply(name, arguments) => self.application(name, arguments),
            _ => None,
        }
    }

    fn variable(&self, name: &str) -> Option<Complex> {
        if let Some((computed, value)) = &self.computed
            && *computed == name
        {
            return Some(value.clone());
        }
        let at = self.values.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        Some(Ball::rational(&self.values[at].1, self.bits)?.into())
    }

    fn constant(&self, constant: Constant) -> Option<Complex> {
        match constant {
            Constant::Pi => Some(elementary::pi(self.bits)?.into()),
            Constant::E => {
                self.budget.spend_series(self.bits)?;
                Some(elementary::exp(&Ball::integer(1), self.bits)?.into())
            }
            Constant::I => Some(Complex::i()),
            Constant::Infinity => None,
        }
    }

    fn degree(&self) -> Option<Complex> {
        Some(elementary::pi(self.bits)?.divided(&Ball::integer(180), self.bits)?.into())
    }

    /// A product, when the name is not one of a function; none for a function, which is not known.
    fn application(&self, name: &str, arguments: &[Expr]) -> Option<Complex> {
        match arguments {
            [argument] if !crate::parse::is_function_name(name) => {
                self.variable(name)?.times(&self.value(argument)?, self.bits)
            }
            _ => None,
        }
    }

    fn power(&self, base: &Expr, exponent: &Expr) -> Option<Complex> {
        if let Some(exponent) = exponent.as_rational() {
            return self.rational_power(&self.value(base)?, exponent);
        }
        self.budget.spend_series(self.bits)?;
        if *base == Expr::Constant(Constant::E) {
            return self.value(exponent)?.exp(self.bits);
        }
        let (base, exponent) = (self.value(base)?, self.value(exponent)?);
        let is_positive =
            || base.is_real() && base.re.sign() == Some(Ordering::Greater) && exponent.is_real();
        if !self.is_complex && !is_positive() {
            return None;
        }
        exponent.times(&base.ln(self.bits)?, self.bits)?.exp(self.bits)
    }

    fn rational_power(&self, base: &Complex, exponent: &BigRational) -> Option<Complex> {
        if base.is_zero() {
            return if exponent.is_positive() { Some(base.clone()) } else { None };
        }
        let (over, under) = (exponent.numer(), exponent.denom().to_i64()?);
        let root = match under {
            1 => base.clone(),
            2 if self.is_complex => base.square_root(self.bits)?,
            _ if base.is_real() && under <= MAX_INDEX => self.real_root(&base.re, under)?,
            _ if self.is_complex => return self.principal_power(base, exponent),
            _ => return None,
        };
        let power = over.abs().to_u64()?;
        let squarings = u64::from(u64::BITS - power.leading_zeros());
        self.budget.spend_operations(squarings * 2, u64::from(self.bits))?;
        let value = root.power(power, self.bits)?;
        if over.is_negative() { value.inverse(self.bits) } else { Some(value) }
    }

    fn real_root(&self, base: &Ball, index: i64) -> Option<Complex> {
        self.budget.spend_operations(8, u64::from(self.bits) * index.unsigned_abs())?;
        let index = u32::try_from(index).ok()?;
        match (base.sign()?, index % 2) {
            (Ordering::Less, 1) => Some(base.negated().root(index, self.bits)?.negated().into()),
            (Ordering::Less, _) => None,
            _ => Some(base.root(index, self.bits)?.into()),
        }
    }

    fn principal_power(&self, base: &Complex, exponent: &BigRational) -> Option<Complex> {
        let exponent = Complex::from(Ball::rational(exponent, self.bits)?);
        exponent.times(&base.ln(self.bits)?, self.bits)?.exp(self.bits)
    }

    fn call(&self, function: Function, arguments: &[Expr]) -> Option<Complex> {
        self.budget.spend_series(self.bits)?;
        match (function, arguments) {
            (Function::Abs, [argument]) => Some(self.value(argument)?.magnitude(self.bits)?.into()),
            (Function::Log, [argument, base]) => {
                self.logarithm(argument)?.times(&self.logarithm(base)?.inverse(self.bits)?, self.bits)
            }
            (Function::Ln, [argument]) => self.logarithm(argument),
            (Function::Floor, [argument]) => self.whole(argument, Ball::floor),
            (Function::Ceil, [argument]) => self.whole(argument, |ball| Some(-ball.negated().floor()?)),
            (Function::Factorial, [argument]) => {
                let n = self.small_whole(argument)?;
                Some(Ball::from(factorial(n, self.budget)?).into())
            }
            (Function::Binomial, [n, k]) => self.binomial(n, k),
            (Function::Max, [first, rest @ ..]) => self.extreme(first, rest, Ordering::Greater),
            (Function::Min, [first, rest @ ..]) => self.extreme(first, rest, Ordering::Less),
            (function, [argument]) => self.trigonometric(function, &self.value(argument)?),
            _ => None,
        }
    }

    fn logarithm(&self, argument: &Expr) -> Option<Complex> {
        let value = self.value(argument)?;
        let is_positive = value.is_real() && value.re.sign()? == Ordering::Greater;
        (self.is_complex || is_positive).then(|| value.ln(self.bits)).flatten()
    }

    fn whole(&self, argument: &Expr, round: impl Fn(&Ball) -> Option<BigInt>) -> Option<Complex> {
        Some(Ball::from(round(&self.value(argument)?.real()?)?).into())
    }

    fn small_whole(&self, argument: &Expr) -> Option<u64> {
        let value = self.value(argument)?.real()?;
        let floor = value.floor()?;
        let is_whole = value.minus(&Ball::from(floor.clone()), self.bits)?.is_zero();
        is_whole.then(|| floor.to_u64()).flatten()
    }

    fn binomial(&self, n: &Expr, k: &Expr) -> Option<Complex> {
        let (n, k) = (self.value(n)?, self.small_whole(k)?);
        let mut product = Complex::from(Ball::integer(1));
        for i in 0..i64::try_from(k).ok().filter(|k| *k <= 500)? {
            self.budget.spend_operations(3, u64::from(self.bits))?;
            let factor = n.minus(&Ball::integer(i).into(), self.bits)?;
            let divided = factor.times(&Ball::integer(i + 1).into_inverse(self.bits)?, self.bits)?;
            product = product.times(&divided, self.bits)?;
        }
        Some(product)
    }

    fn extreme(&self, first: &Expr, rest: &[Expr], wanted: Ordering) -> Option<Complex> {
        let mut best = self.value(first)?.real()?;
        for other in rest {
            let other = self.value(other)?.real()?;
            let gap = other.minus(&best, self.bits)?;
            if gap.sign() == Some(wanted) {
                best = other;
            } else if gap.sign().is_none() && !gap.is_zero() {
                return None;
            }
        }
        Some(best.into())
    }

    fn trigonometric(&self, function: Function, x: &Complex) -> Option<Complex> {
        let bits = self.bits;
        let one = || Complex::from(Ball::integer(1));
        let (sin, cos) = match function {
            Function::Sin | Function::Cos | Function::Tan | Function::Cot | Function::Sec | Function::Csc => {
                sin_cos(x, bits)?
            }
            Function::Sinh | Function::Cosh | Function::Tanh => hyperbolic(x, bits)?,
            _ => return inverse(function, x.clone().real()?, bits).map(Complex::from),
        };
        match function {
            Function::Sin | Function::Sinh => Some(sin),
            Function::Cos | Function::Cosh => Some(cos),
            Function::Tan | Function::Tanh => sin.times(&cos.inverse(bits)?, bits),
            Function::Cot => cos.times(&sin.inverse(bits)?, bits),
            Function::Sec => one().times(&cos.inverse(bits)?, bits),
            _ => one().times(&sin.inverse(bits)?, bits),
        }
    }
}

impl Ball {
    /// One over it, as a complex number.
    fn into_inverse(self, bits: u32) -> Option<Complex> {
        Complex::from(self).inverse(bits)
    }
}

fn sin_cos(x: &Complex, bits: u32) -> Option<(Complex, Complex)> {
    let (sin, cos) = elementary::sin_cos(&x.re, bits)?;
    if x.is_real() {
        return Some((sin.into(), cos.into()));
    }
    let (sinh, cosh) = hyperbolic(&x.im.clone().into(), bits)?;
    let (sinh, cosh) = (sinh.re, cosh.re);
    let complex = |re: Option<Ball>, im: Option<Ball>| Some(Complex { re: re?, im: im? });
    let sine = complex(sin.times(&cosh, bits), cos.times(&sinh, bits))?;
    let cosine = complex(cos.times(&cosh, bits), sin.times(&sinh, bits).map(|ball| ball.negated()))?;
    Some((sine, cosine))
}

/// Hyperbolic sine and cosine.
fn hyperbolic(x: &Complex, bits: u32) -> Option<(Complex, Complex)> {
    let half = Ball::integer(2).into_inverse(bits)?;
    let (up, down) = (x.exp(bits)?, x.negated().exp(bits)?);
    Some((up.minus(&down, bits)?.times(&half, bits)?, up.plus(&down, bits)?.times(&half, bits)?))
}

/// Inverse trigonometric functions of a real number; the arc cotangent is between 0 and π.
fn inverse(function: Function, x: Ball, bits: u32) -> Option<Ball> {
    let half_pi = elementary::pi(bits)?.divided(&Ball::integer(2), bits)?;
    match function {
        Function::Asin => arc_sine(&x, bits),
        Function::Acos => half_pi.minus(&arc_sine(&x, bits)?, bits),
        Function::Atan => elementary::atan(&x, bits),
        Function::Acot => half_pi.minus(&elementary::atan(&x, bits)?, bits),
        Function::Acsc => arc_sine(&Ball::integer(1).divided(&x, bits)?, bits),
        Function::Asec => half_pi.minus(&arc_sine(&Ball::integer(1).divided(&x, bits)?, bits)?, bits),
        _ => None,
    }
}

fn arc_sine(x: &Ball, bits: u32) -> Option<Ball> {
    let rest = Ball::integer(1).minus(&x.power(2, bits)?, bits)?;
    if rest.is_zero() {
        let half_pi = elementary::pi(bits)?.divided(&Ball::integer(2), bits)?;
        return Some(if x.sign()? == Ordering::Less { half_pi.negated() } else { half_pi });
    }
    elementary::atan(&x.divided(&rest.root(2, bits)?, bits)?, bits)
}

/// Whether `expr` is proven not to be zero; none when that is not known. It has no variables.
pub(crate) fn sign_of(expr: &Expr, budget: &Budget) -> Option<Ordering> {
    if let Some(value) = expr.as_rational() {
        return Some(value.cmp(&BigRational::zero()));
    }
    [64, 256, 1024].into_iter().find_map(|bits| {
        let point = Point { values: &[], computed: None, is_complex: true, bits, budget };
        point.value(expr)?.real()?.sign()
    })
}

/// The floor or ceiling of an expression without variables.
pub(crate) fn whole_part(expr: &Expr, up: bool, budget: &Budget) -> Option<BigInt> {
    [64, 256, 1024].into_iter().find_map(|bits| {
        let point = Point { values: &[], computed: None, is_complex: true, bits, budget };
        let value = point.value(expr)?.real()?;
        if up { Some(-value.negated().floor()?) } else { value.floor() }
    })
}
