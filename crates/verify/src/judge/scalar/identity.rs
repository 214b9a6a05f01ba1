//! Two expressions with variables: apart at a point, or together at many.
//!
//! The points are fixed, so that a verdict is reproducible; they are rationals without pattern, of both
//! signs, inside and outside the unit interval, and a few whole numbers. Agreement to thirty digits at
//! [`POINTS`] of them is taken for equality of the expressions, wherever both are defined. It is not taken
//! for that where a function is constant in pieces, since such may agree at points and differ between.

use num_bigint::BigInt;
use num_rational::BigRational;

use crate::evaluate::Point;
use crate::expr::{Constant, Expr, Function};
use crate::judge::{Decision, Judge};

/// Points at which agreement is asked for.
pub(super) const POINTS: usize = 12;

/// Points that are tried.
const TRIES: usize = 96;

/// Width, as an exponent of two, to which values must agree: thirty digits.
const WIDTH: i64 = -100;

/// What a coordinate of a point costs, in steps.
const COORDINATE: u64 = 15;

/// Working precisions, in bits: the first is enough for ordinary expressions.
const PRECISIONS: [u32; 2] = [160, 640];

impl Judge<'_> {
    pub(super) fn identity(&self, a: &Expr, b: &Expr) -> Decision {
        let (a, b) = (with_unit_symbols(a), with_unit_symbols(b));
        let mut names = a.symbols();
        names.extend(b.symbols());
        names.sort();
        names.dedup();
        let is_complex = is_complex(&a) || is_complex(&b);
        let mut agreeing = 0;
        for index in 0..TRIES {
            let Some(values) = self.point(&names, index) else { break };
            match self.at_point(&a, &b, &values, is_complex) {
                Some(AtPoint::Apart(witness)) => return Decision::different("point").with(witness),
                Some(AtPoint::Together) => agreeing += 1,
                None => {}
            }
            if agreeing == POINTS {
                let is_piecewise = has_pieces(&a) || has_pieces(&b);
                return if is_piecewise {
                    Decision::unknown("point")
                } else {
                    Decision::equal("identity at 12 points")
                };
            }
        }
        Decision::unknown("point")
    }

    /// The point of this index: one value for each name, in the order of the names.
    pub(in crate::judge) fn point(
        &self,
        names: &[String],
        index: usize,
    ) -> Option<Vec<(String, BigRational)>> {
        self.budget.spend(1 + names.len() as u64 * COORDINATE)?;
        let coordinates = names.iter().enumerate();
        Some(coordinates.map(|(variable, name)| (name.clone(), coordinate(variable, index))).collect())
    }

    fn at_point(
        &self,
        a: &Expr,
        b: &Expr,
        values: &[(String, BigRational)],
        is_complex: bool,
    ) -> Option<AtPoint> {
        for bits in PRECISIONS {
            let point = Point { values, computed: None, is_complex, bits, budget: self.budget };
            let (x, y) = (point.value(a)?, point.value(b)?);
            let gap = x.minus(&y, bits)?;
            if gap.is_nonzero() {
                let (x, y) = (x.approximation(), y.approximation());
                return Some(AtPoint::Apart(format!("at {}: {x} and {y}", described(values))));
            }
            if gap.is_narrower_than(WIDTH) {
                return Some(AtPoint::Together);
            }
        }
        None
    }
}

enum AtPoint {
    Apart(String),
    Together,
}

/// A value that depends on the variable and the point, without pattern.
fn coordinate(variable: usize, index: usize) -> BigRational {
    let mut seed = (variable as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (index as u64 + 1).wrapping_mul(0xd1b5_4a32_d192_ed03);
    let mut next = |bound: u64| {
        seed ^= seed >> 29;
        seed = seed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
        seed ^= seed >> 32;
        seed % bound
    };
    let (over, under) = match index / 2 % 4 {
        // Inside the unit interval, a little above one, larger, and whole.
        0 => (1 + next(96), 97),
        1 => (72 + next(200), 71),
        2 => (100 + next(900), 89),
        _ => (2 + next(9), 1),
    };
    // Every other point is of positive numbers, where roots and logarithms have values.
    let is_negative = index % 2 == 1 && next(2) == 0;
    let value = BigRational::new(BigInt::from(over), BigInt::from(under));
    if is_negative { -value } else { value }
}

fn described(values: &[(String, BigRational)]) -> String {
    values.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ")
}

pub(in crate::judge) fn is_complex(expr: &Expr) -> bool {
    expr.any(&|part| *part == Expr::Constant(Constant::I))
}

fn has_pieces(expr: &Expr) -> bool {
    expr.any(&|part| {
        matches!(
            part,
            Expr::Call(
                Function::Floor
                    | Function::Ceil
                    | Function::Max
                    | Function::Min
                    | Function::Gcd
                    | Function::Lcm,
                _
            )
        )
    })
}

/// Units as variables, in terms of the base unit of their kind.
fn with_unit_symbols(expr: &Expr) -> Expr {
    match expr {
        Expr::Unit(name) => {
            let factors = crate::unit::parts(name).into_iter().map(|(part, power)| {
                let (base, factor) = crate::unit::measure(part).unwrap_or((part, crate::expr::one()));
                let unit = Expr::rational(factor).times(Expr::Symbol(format!("unit {base}")));
                unit.power(Expr::integer(i64::from(power)))
            });
            Expr::Product(factors.collect())
        }
        Expr::Call(..) => expr.clone(),
        other => other.map(&mut |child| with_unit_symbols(child)),
    }
}
