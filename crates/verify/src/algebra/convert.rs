//! Expressions to canonical quotients.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

use super::{Algebra, Generator, Quotient};
use crate::expr::{Constant, Expr};
use crate::parse::is_function_name;
use crate::poly::Exponent;
use crate::unit;

impl Algebra<'_> {
    /// The canonical form of a scalar; none when it has none within bounds, or divides by zero.
    pub(crate) fn convert(&mut self, expr: &Expr) -> Option<Quotient> {
        self.budget.spend(8)?;
        match expr {
            Expr::Number(number) => Some(Quotient::constant(number.value.clone())),
            Expr::Symbol(name) => self.generated(Generator::Symbol(name.clone()), Exponent::one()),
            Expr::Constant(Constant::Infinity) => None,
            Expr::Constant(constant) => self.generated(Generator::Constant(*constant), Exponent::one()),
            Expr::Unit(name) => self.unit(name),
            Expr::Sum(terms) => terms.iter().try_fold(Quotient::integer(0), |sum, term| {
                let term = self.convert(term)?;
                self.plus(&sum, &term)
            }),
            Expr::Product(factors) => factors.iter().try_fold(Quotient::integer(1), |product, factor| {
                let factor = self.convert(factor)?;
                self.times(&product, &factor)
            }),
            Expr::Percent(inner) => {
                let hundredth = BigRational::new(BigInt::one(), BigInt::from(100));
                let inner = self.convert(inner)?;
                self.times(&inner, &Quotient::constant(hundredth))
            }
            Expr::Power(base, exponent) => self.power(base, exponent),
            Expr::Call(function, arguments) => self.call(*function, arguments),
            Expr::Apply(name, arguments) => self.application(name, arguments),
            _ => None,
        }
    }

    fn application(&mut self, name: &str, arguments: &[Expr]) -> Option<Quotient> {
        let arguments =
            arguments.iter().map(|argument| self.convert(argument)).collect::<Option<Vec<_>>>()?;
        match arguments.as_slice() {
            [argument] if !is_function_name(name) => {
                let factor = self.generated(Generator::Symbol(name.to_owned()), Exponent::one())?;
                self.times(&factor, argument)
            }
            _ => self.generated(Generator::Apply(name.to_owned(), arguments), Exponent::one()),
        }
    }

    /// A unit in terms of the base unit of its kind.
    fn unit(&mut self, name: &str) -> Option<Quotient> {
        let mut product = Quotient::integer(1);
        for (name, power) in unit::parts(name) {
            let (base, factor) = unit::measure(name).unwrap_or((name, BigRational::one()));
            let unit = self.generated(Generator::Unit(base.to_owned()), Exponent::one())?;
            let unit = self.times(&unit, &Quotient::constant(factor))?;
            let unit = if power < 0 { self.inverse(&unit)? } else { unit };
            product = self.times(&product, &unit)?;
        }
        Some(product)
    }

    /// Whether a canonical form is a rational multiple of π, and of which size.
    pub(crate) fn multiple_of_pi(&self, quotient: &Quotient) -> Option<BigRational> {
        if quotient.over.is_zero() {
            return Some(BigRational::zero());
        }
        let (monomial, coefficient) = quotient.over.single().filter(|_| quotient.under.is_one())?;
        let [(id, exponent)] = monomial.factors() else { return None };
        let is_pi = self.generators[*id] == Generator::Constant(Constant::Pi) && exponent.is_one();
        is_pi.then(|| coefficient.clone())
    }
}
