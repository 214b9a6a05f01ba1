//! One value against another: readings of units, percent and bases, then proof.
//!
//! The proof is tried in this order, and stops at the first that decides:
//! 1. rational numbers, exactly;
//! 2. canonical forms: equal forms are equal values wherever both are defined;
//! 3. values with proven error: of numbers, with rising precision; of expressions with variables, at fixed
//!    points. Values that do not meet prove a difference;
//! 4. for algebraic numbers, a bound below which only zero lies; for expressions with variables, agreement
//!    at [`identity::POINTS`] points to thirty digits.

mod constant;
mod identity;
mod rounding;

pub(super) use identity::is_complex;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

use super::{Decision, Judge};
use crate::algebra::{Algebra, in_radians};
use crate::compare::Outcome;
use crate::expr::{Constant, Expr, Function};
use crate::options::{Percent, Units};
use crate::unit;

impl Judge<'_> {
    pub(super) fn scalars(&self, a: &Expr, b: &Expr) -> Decision {
        if let Some(decision) = self.infinities(a, b) {
            return decision;
        }
        match (has_unit(a), has_unit(b)) {
            (false, false) => self.unitless(a, b),
            (true, true) => self.both_with_units(a, b),
            (true, false) => self.one_with_unit(a, b, false),
            (false, true) => self.one_with_unit(b, a, true),
        }
    }

    fn infinities(&self, a: &Expr, b: &Expr) -> Option<Decision> {
        match (a.infinity(), b.infinity()) {
            (Some(a), Some(b)) if a == b => Some(Decision::equal("infinity")),
            (None, None) => {
                let is_infinite = |expr: &Expr| expr.any(&|part| *part == Expr::Constant(Constant::Infinity));
                (is_infinite(a) || is_infinite(b)).then(|| Decision::unknown("infinity"))
            }
            (Some(1), None) if self.is_pole(b) => Some(Decision::equal("infinity")),
            (None, Some(1)) if self.is_pole(a) => Some(Decision::equal("infinity")),
            _ => Some(Decision::different("infinity")),
        }
    }

    /// Whether `expr` is a trigonometric function at a pole, such as `tan 90°`, which school books call infinite.
    fn is_pole(&self, expr: &Expr) -> bool {
        let Expr::Call(function, arguments) = expr else { return false };
        let under = match function {
            Function::Tan | Function::Sec => Function::Cos,
            Function::Cot | Function::Csc => Function::Sin,
            _ => return false,
        };
        let value = Algebra::new(self.budget).convert(&Expr::Call(under, arguments.clone()));
        value.and_then(|value| value.as_rational()).is_some_and(|value| value.is_zero())
    }

    fn both_with_units(&self, a: &Expr, b: &Expr) -> Decision {
        if in_degrees_only(a) && in_degrees_only(b) && units_of(a) != units_of(b) {
            return Decision { method: "unit", ..self.unitless(&in_radians(a), &in_radians(b)) };
        }
        let exact = self.unitless(a, b);
        if exact.outcome != Outcome::Different {
            return Decision { method: "unit", ..exact };
        }
        let are_known = [a, b]
            .iter()
            .all(|expr| !expr.any(&|part| matches!(part, Expr::Unit(name) if !is_measure(name))));
        if are_known || units_of(a) == units_of(b) {
            return Decision { method: "unit", ..exact };
        }
        Decision::unknown("unit")
    }

    /// A value with a unit against one without, in the given order when `swapped`.
    fn one_with_unit(&self, with: &Expr, bare: &Expr, swapped: bool) -> Decision {
        let ordered = |a: &Expr, b: &Expr| if swapped { self.unitless(b, a) } else { self.unitless(a, b) };
        if in_degrees_only(with) {
            let radians = ordered(&in_radians(with), bare);
            if radians.is_equal() {
                return Decision { method: "unit", ..radians };
            }
        } else if self.options.units == Units::Required {
            return Decision::different("unit");
        }
        Decision { method: "unit", ..ordered(&without_units(with), bare) }
    }

    /// Values whose units, if any, are factors like others.
    fn unitless(&self, a: &Expr, b: &Expr) -> Decision {
        let (in_a, in_b) = (has_percent(a), has_percent(b));
        if in_a == in_b {
            return self.bases(a, b);
        }
        let value = self.bases(a, b);
        let sign = || self.bases(&without_percent(a), &without_percent(b));
        let decision = match self.options.percent {
            Percent::Value => value,
            Percent::Sign => sign(),
            Percent::Either if value.is_equal() => value,
            Percent::Either => {
                let sign = sign();
                if sign.is_different() && !value.is_different() { value } else { sign }
            }
        };
        Decision { method: "percent", ..decision }
    }

    /// A base on one side only may have been left out on the other.
    fn bases(&self, a: &Expr, b: &Expr) -> Decision {
        let decision = self.proven(a, b);
        if let (Expr::Number(x), Expr::Number(y)) = (a, b)
            && x.base != y.base
            && decision.is_different()
        {
            let (base, based, bare) = match (x.base, y.base) {
                (Some(base), None) => (base, x, y),
                (None, Some(base)) => (base, y, x),
                _ => return decision,
            };
            if based.value.numer().to_str_radix(base) == bare.value.to_string() {
                return Decision::unknown("base");
            }
        }
        decision
    }

    /// The proof itself.
    pub(super) fn proven(&self, a: &Expr, b: &Expr) -> Decision {
        if a == b {
            return Decision::equal("same form");
        }
        let mut algebra = Algebra::new(self.budget);
        let forms = (algebra.convert(a), algebra.convert(b));
        let mut is_free = false;
        if let (Some(x), Some(y)) = &forms {
            if let (Some(x), Some(y)) = (x.as_rational(), y.as_rational()) {
                return self.rationals(a, b, &x, &y);
            }
            match algebra.equal(x, y) {
                Some(true) => return Decision::equal("algebra"),
                Some(false) => is_free = algebra.is_free(x) && algebra.is_free(y),
                None => {}
            }
        }
        if let Some(decision) = self.rounded(a, b) {
            return decision;
        }
        let has_symbols = !a.symbols().is_empty() || !b.symbols().is_empty();
        let decision = if has_symbols || has_unit(a) { self.identity(a, b) } else { self.constants(a, b) };
        match decision.outcome {
            // Two reduced forms without laws differ as functions, whether or not a point was found.
            Outcome::Unknown if is_free => Decision::different("algebra"),
            _ => decision,
        }
    }

    fn rationals(&self, a: &Expr, b: &Expr, x: &BigRational, y: &BigRational) -> Decision {
        if x == y {
            return Decision::equal("number");
        }
        self.rounded(a, b).unwrap_or_else(|| Decision::different("number"))
    }
}

fn is_measure(name: &str) -> bool {
    unit::parts(name).iter().all(|(part, _)| unit::measure(part).is_some())
}

/// Whether a unit stands in `expr`, the degrees of an angle inside a function aside.
fn has_unit(expr: &Expr) -> bool {
    match expr {
        Expr::Unit(_) => true,
        Expr::Call(..) => false,
        other => other.children().into_iter().any(has_unit),
    }
}

fn units_of(expr: &Expr) -> Vec<String> {
    let mut units = Vec::new();
    collect_units(expr, &mut units);
    units.sort();
    units.dedup();
    units
}

fn collect_units(expr: &Expr, units: &mut Vec<String>) {
    if let Expr::Unit(name) = expr {
        units.push(name.clone());
    }
    for child in expr.children() {
        collect_units(child, units);
    }
}

fn in_degrees_only(expr: &Expr) -> bool {
    !expr.any(&|part| matches!(part, Expr::Unit(name) if name != "degree" && name != "radian"))
}

fn without_units(expr: &Expr) -> Expr {
    match expr {
        Expr::Unit(_) => Expr::integer(1),
        Expr::Call(..) => expr.clone(),
        Expr::Product(factors) => {
            let mut left: Vec<Expr> =
                factors.iter().filter(|factor| !is_unit_power(factor)).map(without_units).collect();
            if left.len() == 1 { left.remove(0) } else { Expr::Product(left) }
        }
        other => other.map(&mut |child| without_units(child)),
    }
}

fn is_unit_power(expr: &Expr) -> bool {
    match expr {
        Expr::Unit(_) => true,
        Expr::Power(base, _) => is_unit_power(base),
        _ => false,
    }
}

fn has_percent(expr: &Expr) -> bool {
    match expr {
        Expr::Percent(_) => true,
        Expr::Product(factors) => factors.iter().any(has_percent),
        _ => false,
    }
}

fn without_percent(expr: &Expr) -> Expr {
    match expr {
        Expr::Percent(inner) => (**inner).clone(),
        Expr::Product(factors) => Expr::Product(factors.iter().map(without_percent).collect()),
        other => other.clone(),
    }
}

/// Ten to the minus `places`.
fn unit_of_place(places: usize) -> Option<BigRational> {
    let places = u32::try_from(places.min(1000)).ok()?;
    Some(BigRational::new(BigInt::from(1), crate::literal::power_of_ten(places)))
}
