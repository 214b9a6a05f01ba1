//! Powers: whole ones, roots, and those with symbolic exponents.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive};

use super::{Algebra, Generator, MAX_POWER, Quotient};
use crate::exact;
use crate::expr::{Constant, Expr, Function};
use crate::poly::{Exponent, Monomial, Poly, small_exponent};

/// Largest index of a root.
const MAX_INDEX: i64 = 60;

impl Algebra<'_> {
    pub(super) fn power(&mut self, base: &Expr, exponent: &Expr) -> Option<Quotient> {
        if let Expr::Call(Function::Log, arguments) = exponent
            && let [value, own] = arguments.as_slice()
            && own == base
        {
            return self.convert(value);
        }
        let exponent = self.convert(exponent)?;
        let base = self.convert(base)?;
        match exponent.as_rational() {
            Some(exponent) => self.rational_power(&base, &exponent),
            None => self.symbolic_power(&base, &exponent),
        }
    }

    pub(super) fn rational_power(&mut self, base: &Quotient, exponent: &BigRational) -> Option<Quotient> {
        if exponent.is_integer() {
            return self.whole_power(base, exponent.numer().to_i64()?);
        }
        let exponent = small_exponent(exponent).filter(|exponent| *exponent.denom() <= MAX_INDEX)?;
        if base.over.is_zero() {
            return exponent.is_positive().then(|| Quotient::integer(0));
        }
        if base.under.is_one() {
            return self.root(&base.over, exponent);
        }
        // (n/d)^(p/q) = (n d^(q-1))^(p/q) / |d|^p, and d^p for an odd q.
        let index = *exponent.denom();
        let below = self.poly_power(&base.under, index - 1)?;
        let inside = self.multiply(&base.over, &below)?;
        let root = self.root(&inside, exponent)?;
        let under = Quotient::whole(base.under.clone());
        let under = if index % 2 == 0 { self.absolute(under)? } else { under };
        let under = self.whole_power(&under, -exponent.numer())?;
        self.times(&root, &under)
    }

    pub(super) fn whole_power(&mut self, base: &Quotient, exponent: i64) -> Option<Quotient> {
        if base.over.is_zero() {
            return (exponent > 0).then(|| Quotient::integer(0));
        }
        if exponent < 0 {
            let inverse = self.inverse(base)?;
            return self.whole_power(&inverse, exponent.checked_neg()?);
        }
        if exponent > MAX_POWER && (base.over.len() > 1 || base.under.len() > 1) {
            return None;
        }
        let over = self.poly_power(&base.over, exponent)?;
        let under = self.poly_power(&base.under, exponent)?;
        self.quotient(over, under)
    }

    /// A root of a polynomial that is not zero, with what is known to be positive taken out of it.
    fn root(&mut self, base: &Poly, exponent: Exponent) -> Option<Quotient> {
        let is_odd = exponent.denom() % 2 != 0;
        if let Some((monomial, coefficient)) = base.single() {
            let (monomial, coefficient) = (monomial.clone(), coefficient.clone());
            return self.root_of_term(&monomial, &coefficient, exponent);
        }
        let content = base.content();
        let mut primitive = base.scaled(&content.recip());
        let mut factor = self.root_of_positive(&content, exponent)?;
        if is_odd && primitive.leads_negative() {
            primitive = primitive.negated();
            if exponent.numer() % 2 != 0 {
                factor = factor.negated();
            }
        }
        let root = self.generated(Generator::Base(primitive), exponent)?;
        self.times(&factor, &root)
    }

    fn root_of_term(
        &mut self,
        monomial: &Monomial,
        coefficient: &BigRational,
        exponent: Exponent,
    ) -> Option<Quotient> {
        let is_odd = exponent.denom() % 2 != 0;
        let mut result = self.root_of_positive(&coefficient.abs(), exponent)?;
        let mut is_negative = coefficient.is_negative();
        if is_negative && is_odd {
            is_negative = false;
            if exponent.numer() % 2 != 0 {
                result = result.negated();
            }
        }
        // What is left under an even root: factors whose sign is not known.
        let mut left = Monomial::one();
        for (id, own) in monomial.factors() {
            let generator = self.generators[*id].clone();
            if generator == Generator::Constant(Constant::I) {
                return None;
            }
            if is_odd || self.is_positive(&generator) {
                let power = Monomial::generator(*id, *own * exponent);
                let power = self.multiply(&Poly::integer(1), &Poly::term(power, BigRational::one()))?;
                result = self.times(&result, &Quotient::whole(power))?;
            } else if own.numer() % 2 == 0 && own.is_integer() {
                let inner = Quotient::whole(Poly::term(
                    Monomial::generator(*id, Exponent::one()),
                    BigRational::one(),
                ));
                let inner = self.absolute(inner)?;
                let (absolute, one) = inner.over.single()?;
                if !one.is_one() {
                    return None;
                }
                let power = absolute.power(*own * exponent)?;
                result = self.times(&result, &Quotient::whole(Poly::term(power, BigRational::one())))?;
            } else {
                left = left.times(&Monomial::generator(*id, *own))?;
            }
        }
        let root = match (left.factors(), is_negative) {
            ([], false) => return Some(result),
            ([], true) if *exponent.denom() == 2 => {
                let i = self.generated(Generator::Constant(Constant::I), Exponent::one())?;
                self.whole_power(&i, *exponent.numer())?
            }
            ([(id, own)], false) => {
                Quotient::whole(Poly::term(Monomial::generator(*id, *own * exponent), BigRational::one()))
            }
            _ => {
                let sign = BigRational::from_integer(BigInt::from(if is_negative { -1 } else { 1 }));
                self.generated(Generator::Base(Poly::term(left, sign)), exponent)?
            }
        };
        self.times(&result, &root)
    }

    /// A positive rational to a power, as a product of roots of primes.
    fn root_of_positive(&mut self, value: &BigRational, exponent: Exponent) -> Option<Quotient> {
        let mut result = Quotient::integer(1);
        for (part, sign) in [(value.numer(), 1), (value.denom(), -1)] {
            for (prime, power) in exact::prime_factors(part, self.budget)? {
                let root =
                    self.generated(Generator::Whole(prime), exponent * Exponent::from(power * sign))?;
                result = self.times(&result, &root)?;
            }
        }
        Some(result)
    }

    fn is_positive(&self, generator: &Generator) -> bool {
        match generator {
            Generator::Constant(Constant::Pi | Constant::E) | Generator::Whole(_) | Generator::Unit(_) => {
                true
            }
            Generator::Call(Function::Abs, _) => true,
            Generator::Power(base, _) => base.as_rational().is_some_and(|value| value.is_positive()),
            _ => false,
        }
    }

    /// `base` to an exponent with generators in it: one factor for each term of the exponent.
    fn symbolic_power(&mut self, base: &Quotient, exponent: &Quotient) -> Option<Quotient> {
        if base.over.is_zero() {
            return None;
        }
        let Some((monomial, coefficient)) = base.over.single().filter(|_| base.under.is_one()) else {
            return self.power_of(base, exponent);
        };
        let (monomial, coefficient) = (monomial.clone(), coefficient.clone());
        let has_even = monomial
            .factors()
            .iter()
            .any(|(id, own)| own.numer() % 2 == 0 && !self.is_positive(&self.generators[*id]));
        if has_even {
            return self.power_of(base, exponent);
        }
        let mut result = Quotient::integer(1);
        for (part, sign) in [(coefficient.numer().abs(), 1), (coefficient.denom().clone(), -1)] {
            for (prime, power) in exact::prime_factors(&part, self.budget)? {
                let own = self.times(exponent, &Quotient::integer(power * sign))?;
                let factor = self.power_of(&Quotient::constant(BigRational::from_integer(prime)), &own)?;
                result = self.times(&result, &factor)?;
            }
        }
        if coefficient.is_negative() {
            let factor = self.power_of(&Quotient::integer(-1), exponent)?;
            result = self.times(&result, &factor)?;
        }
        for (id, own) in monomial.factors() {
            let own = BigRational::new((*own.numer()).into(), (*own.denom()).into());
            let exponent = self.times(exponent, &Quotient::constant(own))?;
            let inner = Poly::term(Monomial::generator(*id, Exponent::one()), BigRational::one());
            let factor = self.power_of(&Quotient::whole(inner), &exponent)?;
            result = self.times(&result, &factor)?;
        }
        Some(result)
    }

    fn power_of(&mut self, base: &Quotient, exponent: &Quotient) -> Option<Quotient> {
        if !exponent.under.is_one() {
            return self.generated(Generator::Power(base.clone(), exponent.clone()), Exponent::one());
        }
        let mut result = Quotient::integer(1);
        for (monomial, coefficient) in exponent.over.clone().terms() {
            let factor = if monomial.is_one() {
                self.rational_power(base, coefficient)?
            } else {
                self.power_of_term(base, monomial, coefficient)?
            };
            result = self.times(&result, &factor)?;
        }
        Some(result)
    }

    fn power_of_term(
        &mut self,
        base: &Quotient,
        monomial: &Monomial,
        coefficient: &BigRational,
    ) -> Option<Quotient> {
        let e = self.generated(Generator::Constant(Constant::E), Exponent::one())?;
        if *base == e
            && let Some(value) = self.exponential(monomial, coefficient)
        {
            return Some(value);
        }
        let unit = Quotient::whole(Poly::term(monomial.clone(), BigRational::one()));
        self.generated(Generator::Power(base.clone(), unit), small_exponent(coefficient)?)
    }

    /// `e^(c i π)` and `e^(c ln x)`.
    fn exponential(&mut self, monomial: &Monomial, coefficient: &BigRational) -> Option<Quotient> {
        let is = |algebra: &Self, id: usize, wanted: Constant| {
            algebra.generators[id] == Generator::Constant(wanted)
        };
        match monomial.factors() {
            [(id, exponent)] if exponent.is_one() => match self.generators[*id].clone() {
                Generator::Call(Function::Ln, arguments) => {
                    self.rational_power(arguments.first()?, coefficient)
                }
                _ => None,
            },
            [(a, x), (b, y)] if x.is_one() && y.is_one() => {
                let is_turn = is(self, *a, Constant::I) && is(self, *b, Constant::Pi)
                    || is(self, *b, Constant::I) && is(self, *a, Constant::Pi);
                if !is_turn {
                    return None;
                }
                let cosine = self.cosine_of_turn(coefficient)?;
                let half = BigRational::new(BigInt::one(), BigInt::from(2));
                let sine = self.cosine_of_turn(&(half - coefficient))?;
                let i = self.generated(Generator::Constant(Constant::I), Exponent::one())?;
                let sine = self.times(&sine, &i)?;
                self.plus(&cosine, &sine)
            }
            _ => None,
        }
    }
}
