//! How small an algebraic number can be without being zero.
//!
//! For an expression of whole numbers, `+ - * /`, roots, i, and cosines and sines of rational parts of a
//! turn, write the value as `U / L` with algebraic integers `U`, `L`, whose conjugates are at most `u` and
//! `l` in magnitude, and let `D` be the degree of a field that holds them. The norm of `U` is a whole
//! number, so that `U` is zero or at least `u^(1-D)`, and the value is zero or at least `u^(1-D) / l`
//! (Burnikel, Fleischer, Mehlhorn, Schirra, "A strong and easily computable separation bound for arithmetic
//! expressions involving radicals", 2000). Each root has the conjugates of all its branches, so the bound
//! holds whatever branch is taken.

use num_rational::BigRational;
use num_traits::{Signed, ToPrimitive};

use crate::algebra::{Algebra, in_radians};
use crate::budget::Budget;
use crate::expr::{Constant, Expr, Function};

/// Largest degree of the field.
const MAX_DEGREE: i64 = 1 << 12;

/// Largest whole exponent.
const MAX_EXPONENT: i64 = 4096;

/// The largest bound that is of use, in bits.
const MAX_BOUND: f64 = 3900.0;

/// `n` such that the value of `expr` is zero or at least two to the minus `n`; none when it is not an
/// expression of this kind, or `n` is out of reach.
pub(crate) fn bound(expr: &Expr, budget: &Budget) -> Option<i64> {
    let mut field = Field { roots: Vec::new(), degree: 1, turn: 1, budget };
    let sizes = field.sizes(&in_radians(expr))?;
    let degree = field.degree.checked_mul(totient(field.turn)).filter(|degree| *degree <= MAX_DEGREE)?;
    let conjugates = degree.to_f64()? - 1.0;
    // Two bits against the rounding of logarithms.
    let bits = (sizes.over * conjugates + sizes.under) * 1.000_001 + 2.0;
    (bits <= MAX_BOUND).then(|| bits.ceil().to_i64()).flatten()
}

/// Logarithms to base two of bounds of the conjugates of both parts.
#[derive(Clone, Copy)]
struct Sizes {
    over: f64,
    under: f64,
}

/// The field that the numbers met so far are in.
struct Field<'a> {
    /// Radicands and indices met, so that each counts once.
    roots: Vec<(Expr, i64)>,
    degree: i64,
    /// The order of a root of unity for i and all cosines and sines.
    turn: i64,
    budget: &'a Budget,
}

impl Field<'_> {
    fn sizes(&mut self, expr: &Expr) -> Option<Sizes> {
        self.budget.spend(16)?;
        match expr {
            Expr::Number(number) => of_rational(&number.value),
            Expr::Constant(Constant::I) => self.turned(4, Sizes { over: 0.0, under: 0.0 }),
            Expr::Percent(inner) => {
                let inner = self.sizes(inner)?;
                Some(Sizes { under: inner.under + 7.0, ..inner })
            }
            Expr::Sum(terms) => {
                let mut sizes =
                    terms.iter().map(|term| self.sizes(term)).collect::<Option<Vec<_>>>()?.into_iter();
                let first = sizes.next()?;
                Some(sizes.fold(first, |a, b| Sizes {
                    over: (a.over + b.under).max(a.under + b.over) + 1.0,
                    under: a.under + b.under,
                }))
            }
            Expr::Product(factors) => {
                factors.iter().try_fold(Sizes { over: 0.0, under: 0.0 }, |a, factor| {
                    let b = self.sizes(factor)?;
                    Some(Sizes { over: a.over + b.over, under: a.under + b.under })
                })
            }
            Expr::Power(base, exponent) => self.power(base, exponent.as_rational()?),
            Expr::Call(Function::Abs, arguments) => {
                let [argument] = arguments.as_slice() else { return None };
                let is_real = !argument.any(&|part| *part == Expr::Constant(Constant::I));
                is_real.then(|| self.sizes(argument)).flatten()
            }
            Expr::Call(
                Function::Sin | Function::Cos | Function::Tan | Function::Cot | Function::Sec | Function::Csc,
                arguments,
            ) => self.angle(arguments.first()?),
            _ => None,
        }
    }

    fn power(&mut self, base: &Expr, exponent: &BigRational) -> Option<Sizes> {
        let (over, index) = (exponent.numer().to_i64()?, exponent.denom().to_i64()?);
        if over.abs() > MAX_EXPONENT || index > 64 {
            return None;
        }
        let inner = self.sizes(base)?;
        let is_new = index > 1 && !self.roots.iter().any(|(known, of)| known == base && *of == index);
        if is_new {
            self.roots.push((base.clone(), index));
            self.degree = self.degree.checked_mul(index).filter(|degree| *degree <= MAX_DEGREE)?;
        }
        let index = index.to_f64()?;
        let root = Sizes { over: (inner.over + (index - 1.0) * inner.under) / index, under: inner.under };
        let times = over.abs().to_f64()?;
        let power = Sizes { over: root.over * times, under: root.under * times };
        Some(if over < 0 { Sizes { over: power.under, under: power.over } } else { power })
    }

    /// A trigonometric function of a rational part of a turn: twice a sine or cosine is a sum of two roots
    /// of unity.
    fn angle(&mut self, argument: &Expr) -> Option<Sizes> {
        let mut algebra = Algebra::new(self.budget);
        let form = algebra.convert(argument)?;
        let turn = algebra.multiple_of_pi(&form)?;
        let order = turn.denom().to_i64().filter(|order| *order <= 1000)? * 4;
        self.turned(order, Sizes { over: 1.0, under: 1.0 })
    }

    fn turned(&mut self, order: i64, sizes: Sizes) -> Option<Sizes> {
        let (mut a, mut b) = (self.turn, order);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        self.turn = (self.turn / a).checked_mul(order).filter(|turn| *turn <= 1 << 20)?;
        Some(sizes)
    }
}

fn of_rational(value: &BigRational) -> Option<Sizes> {
    let bits = |magnitude: u64| magnitude.to_f64();
    Some(Sizes { over: bits(value.numer().abs().bits())?, under: bits(value.denom().bits())? })
}

/// The degree of the field of a primitive root of unity of this order.
fn totient(order: i64) -> i64 {
    let (mut rest, mut result, mut prime) = (order, order, 2);
    while prime * prime <= rest {
        if rest % prime == 0 {
            result -= result / prime;
            while rest % prime == 0 {
                rest /= prime;
            }
        }
        prime += 1;
    }
    if rest > 1 { result - result / rest } else { result }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_below_what_they_bound() {
        let sqrt = |n: i64| Expr::integer(n).root(Expr::integer(2));
        // 1/(√2 + √3) - (√3 - √2) is zero; √2 + √3 - √10 is about -0.016.
        let small = Expr::Sum(vec![sqrt(2), sqrt(3), sqrt(10).negated()]);
        let bits = bound(&small, &Budget::new()).expect("an algebraic number");
        assert!((6..200).contains(&bits), "{bits}");
        assert_eq!(bound(&Expr::Constant(Constant::Pi), &Budget::new()), None);
    }

    #[test]
    fn totients() {
        assert_eq!([1, 2, 4, 12, 20, 97].map(totient), [1, 1, 2, 4, 8, 96]);
    }
}
