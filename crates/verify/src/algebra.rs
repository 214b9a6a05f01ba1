//! Canonical quotients of polynomials over the rationals, in generators that know their own laws.
//!
//! Variables, π, e, i, prime numbers under a root, other radicands, powers with symbolic exponents and
//! values of functions are generators. Laws are applied as products are formed: `i² = -1`, `√2² = 2`,
//! `√(x+1)² = x+1`, `sin² = 1 - cos²`, `|x|² = x²`. When the difference of two expressions comes out as zero
//! they are equal wherever both are defined. That it does not come out as zero proves nothing, except for
//! expressions without such laws, see [`Algebra::is_free`].

mod convert;
mod function;
mod power;

pub(crate) use function::in_radians;

use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use crate::budget::Budget;
use crate::exact;
use crate::expr::{Constant, Function};
use crate::poly::{Exponent, Monomial, Poly};

/// Most terms of a polynomial.
const MAX_TERMS: usize = 400;

/// Longest coefficients that are multiplied, in bits.
const MAX_BITS: u64 = 1 << 16;

/// Largest power of a sum that is multiplied out.
const MAX_POWER: i64 = 60;

/// What a polynomial is made of.
#[derive(Clone, Debug, PartialEq)]
enum Generator {
    Symbol(String),
    Constant(Constant),
    Unit(String),
    /// A whole number without known factors, under a root: its exponent is between 0 and 1.
    Whole(num_bigint::BigInt),
    /// A sum or product under a root.
    Base(Poly),
    /// A base to a symbolic exponent.
    Power(Quotient, Quotient),
    Call(Function, Vec<Quotient>),
    Apply(String, Vec<Quotient>),
}

/// `over / under`; `under` is 1 unless it has several terms.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quotient {
    pub over: Poly,
    pub under: Poly,
}

impl Quotient {
    fn whole(over: Poly) -> Quotient {
        Quotient { over, under: Poly::integer(1) }
    }

    pub(crate) fn constant(value: BigRational) -> Quotient {
        Quotient::whole(Poly::constant(value))
    }

    pub(crate) fn integer(value: i64) -> Quotient {
        Quotient::whole(Poly::integer(value))
    }

    /// Its value, when it has no generators.
    pub(crate) fn as_rational(&self) -> Option<BigRational> {
        if self.under.is_one() { self.over.as_constant() } else { None }
    }

    pub(crate) fn negated(&self) -> Quotient {
        Quotient { over: self.over.negated(), under: self.under.clone() }
    }
}

/// The generators of one comparison, and what may still be spent on it.
pub(crate) struct Algebra<'a> {
    generators: Vec<Generator>,
    budget: &'a Budget,
}

impl<'a> Algebra<'a> {
    pub(crate) fn new(budget: &'a Budget) -> Algebra<'a> {
        Algebra { generators: Vec::new(), budget }
    }

    pub(crate) fn plus(&mut self, a: &Quotient, b: &Quotient) -> Option<Quotient> {
        if a.under == b.under {
            let mut over = a.over.clone();
            over.add(&b.over);
            self.budget.spend(1 + b.over.len() as u64)?;
            return (over.len() <= MAX_TERMS).then(|| Quotient { over, under: a.under.clone() });
        }
        let mut over = self.multiply(&a.over, &b.under)?;
        over.add(&self.multiply(&b.over, &a.under)?);
        let under = self.multiply(&a.under, &b.under)?;
        self.quotient(over, under)
    }

    pub(crate) fn minus(&mut self, a: &Quotient, b: &Quotient) -> Option<Quotient> {
        self.plus(a, &b.negated())
    }

    pub(crate) fn times(&mut self, a: &Quotient, b: &Quotient) -> Option<Quotient> {
        let over = self.multiply(&a.over, &b.over)?;
        let under = self.multiply(&a.under, &b.under)?;
        self.quotient(over, under)
    }

    /// None for zero.
    pub(crate) fn inverse(&mut self, a: &Quotient) -> Option<Quotient> {
        self.quotient(a.under.clone(), a.over.clone())
    }

    /// Whether `a` is zero by the laws of its generators.
    pub(crate) fn is_zero(&mut self, a: &Quotient) -> Option<bool> {
        let mut over = a.over.clone();
        for id in 0..self.generators.len() {
            let has_law = matches!(
                &self.generators[id],
                Generator::Base(_) | Generator::Call(Function::Sin | Function::Abs, _)
            );
            let least = over.least_exponent(id);
            if has_law && least.is_negative() {
                over =
                    self.multiply(&over, &Poly::term(Monomial::generator(id, -least), BigRational::one()))?;
            }
        }
        Some(over.is_zero())
    }

    pub(crate) fn equal(&mut self, a: &Quotient, b: &Quotient) -> Option<bool> {
        if a == b {
            return Some(true);
        }
        let gap = self.minus(a, b)?;
        self.is_zero(&gap)
    }

    /// Whether two numerators differ by a rational factor only, and which; for equations with zero.
    pub(crate) fn ratio(&mut self, a: &Quotient, b: &Quotient) -> Option<BigRational> {
        let (a, b) = (self.without_negative_powers(&a.over)?, self.without_negative_powers(&b.over)?);
        a.ratio(&b)
    }

    /// `poly` times what makes the exponent of every generator at least zero, and of one zero where it was negative.
    fn without_negative_powers(&mut self, poly: &Poly) -> Option<Poly> {
        let mut cleared = poly.clone();
        for id in 0..self.generators.len() {
            let least = cleared.least_exponent(id);
            if least.is_negative() {
                let factor = Poly::term(Monomial::generator(id, -least), BigRational::one());
                cleared = self.multiply(&cleared, &factor)?;
            }
        }
        Some(cleared)
    }

    /// Whether two different canonical forms over variables only are proven different: no generator of `a`
    /// has a law.
    pub(crate) fn is_free(&self, a: &Quotient) -> bool {
        (0..self.generators.len()).all(|id| {
            let is_symbol = matches!(&self.generators[id], Generator::Symbol(_));
            let is_whole = |poly: &Poly| poly.terms().all(|(monomial, _)| monomial.exponent(id).is_integer());
            let is_absent = !a.over.contains(id) && !a.under.contains(id);
            is_absent || is_symbol && is_whole(&a.over) && is_whole(&a.under)
        })
    }

    /// The coefficients of one symbol in a polynomial that is linear in it: `a` and `b` of `a x + b`.
    pub(crate) fn linear_in(&mut self, name: &str, poly: &Quotient) -> Option<(Quotient, Quotient)> {
        let id =
            self.generators.iter().position(|known| matches!(known, Generator::Symbol(n) if n == name))?;
        let over = self.without_negative_powers(&poly.over)?;
        let is_linear = !over.least_exponent(id).is_negative() && over.greatest_exponent(id).is_one();
        let mentions = |known: &Generator| self.mentions(known, id);
        let is_inside = (0..self.generators.len())
            .any(|other| other != id && over.contains(other) && mentions(&self.generators[other]));
        if !is_linear || is_inside {
            return None;
        }
        let (mut factor, mut rest) = (Poly::default(), Poly::default());
        for (monomial, coefficient) in over.terms() {
            if monomial.exponent(id).is_one() {
                let without = monomial.times(&Monomial::generator(id, -Exponent::one()))?;
                factor.add_term(without, coefficient.clone());
            } else if monomial.exponent(id).is_zero() {
                rest.add_term(monomial.clone(), coefficient.clone());
            } else {
                return None;
            }
        }
        Some((Quotient::whole(factor), Quotient::whole(rest)))
    }

    /// Whether a generator is made of the one numbered `id`.
    fn mentions(&self, generator: &Generator, id: usize) -> bool {
        let in_poly = |poly: &Poly| {
            (0..self.generators.len()).any(|other| {
                poly.contains(other) && (other == id || self.mentions(&self.generators[other], id))
            })
        };
        let in_quotient = |quotient: &Quotient| in_poly(&quotient.over) || in_poly(&quotient.under);
        match generator {
            Generator::Base(poly) => in_poly(poly),
            Generator::Power(a, b) => in_quotient(a) || in_quotient(b),
            Generator::Call(_, arguments) | Generator::Apply(_, arguments) => {
                arguments.iter().any(in_quotient)
            }
            _ => false,
        }
    }

    /// `over / under`, a single term below taken up; none for a division by zero.
    fn quotient(&mut self, over: Poly, under: Poly) -> Option<Quotient> {
        if under.is_zero() {
            return None;
        }
        if over.is_zero() {
            return Some(Quotient::integer(0));
        }
        if under.is_one() {
            return Some(Quotient::whole(over));
        }
        if let Some((monomial, coefficient)) = under.single() {
            let inverse = Poly::term(monomial.power(-Exponent::one())?, coefficient.recip());
            return Some(Quotient::whole(self.multiply(&over, &inverse)?));
        }
        if let Some(factor) = under.ratio(&over) {
            return Some(Quotient::constant(factor));
        }
        Some(Quotient { over, under })
    }

    /// The product, with the laws of generators applied; none when it grows too long.
    fn multiply(&mut self, a: &Poly, b: &Poly) -> Option<Poly> {
        if a.is_one() {
            return Some(b.clone());
        }
        if b.is_one() {
            return Some(a.clone());
        }
        let (x, y) = (a.bits(), b.bits());
        if x + y > MAX_BITS {
            return None;
        }
        // Fractions are brought to lowest terms after every step, which costs most of it.
        let reduction = if a.is_whole() && b.is_whole() { 0 } else { 30 + (x + y) * 3 / 2 };
        self.budget.spend(a.len() as u64 * b.len() as u64 * (12 + reduction + (x / 64) * (y / 64) / 16))?;
        let mut product = Poly::default();
        for (left, x) in a.terms() {
            for (right, y) in b.terms() {
                let monomial = left.times(right)?;
                match self.reducible(&monomial) {
                    None => product.add_term(monomial, exact::product(x, y)),
                    Some(id) => product.add(&self.reduced(monomial, exact::product(x, y), id)?),
                }
                if product.len() > MAX_TERMS {
                    return None;
                }
            }
        }
        Some(product)
    }

    /// A generator whose law applies to `monomial`.
    fn reducible(&self, monomial: &Monomial) -> Option<usize> {
        let applies = |generator: &Generator, exponent: &Exponent| match generator {
            Generator::Whole(_) => *exponent < Exponent::zero() || *exponent >= Exponent::one(),
            Generator::Constant(Constant::I) => !exponent.is_one(),
            Generator::Base(_) => *exponent >= Exponent::one(),
            Generator::Call(Function::Sin | Function::Abs, _) => *exponent >= Exponent::from(2),
            _ => false,
        };
        monomial
            .factors()
            .iter()
            .find(|(id, exponent)| applies(&self.generators[*id], exponent))
            .map(|(id, _)| *id)
    }

    /// `coefficient * monomial` after the law of the generator `id`, and any further ones.
    fn reduced(&mut self, monomial: Monomial, coefficient: BigRational, id: usize) -> Option<Poly> {
        self.budget.spend(16)?;
        let exponent = monomial.exponent(id);
        let rest = monomial.times(&Monomial::generator(id, -exponent))?;
        let whole = exponent.floor().to_integer();
        let fraction = exponent - exponent.floor();
        let (kept, factor) = match self.generators[id].clone() {
            Generator::Whole(value) => {
                let value = BigRational::from_integer(value);
                (fraction, Poly::constant(exact::power(&value, whole, self.budget)?))
            }
            Generator::Constant(Constant::I) => {
                let sign = if whole.rem_euclid(4) >= 2 { -1 } else { 1 };
                (Exponent::from(whole.rem_euclid(2)), Poly::integer(sign))
            }
            Generator::Base(base) => (fraction, self.poly_power(&base, whole)?),
            Generator::Call(Function::Sin, arguments) => {
                let cosine = self.generator(Generator::Call(Function::Cos, arguments))?;
                let mut square = Poly::integer(1);
                square.add_term(Monomial::generator(cosine, Exponent::from(2)), -BigRational::one());
                (exponent - Exponent::from(whole / 2 * 2), self.poly_power(&square, whole / 2)?)
            }
            Generator::Call(_, arguments) => {
                let argument = arguments.into_iter().next()?;
                if !argument.under.is_one() {
                    return Some(Poly::term(monomial, coefficient));
                }
                (exponent - Exponent::from(whole / 2 * 2), self.poly_power(&argument.over, whole / 2 * 2)?)
            }
            _ => return Some(Poly::term(monomial, coefficient)),
        };
        let rest = Poly::term(rest.times(&Monomial::generator(id, kept))?, coefficient);
        let rest = match self.rest_reducible(&rest) {
            Some((monomial, coefficient, id)) => self.reduced(monomial, coefficient, id)?,
            None => rest,
        };
        self.multiply(&rest, &factor)
    }

    fn rest_reducible(&self, rest: &Poly) -> Option<(Monomial, BigRational, usize)> {
        let (monomial, coefficient) = rest.single()?;
        self.reducible(monomial).map(|id| (monomial.clone(), coefficient.clone(), id))
    }

    fn poly_power(&mut self, base: &Poly, exponent: i64) -> Option<Poly> {
        if exponent > MAX_POWER && base.len() > 1 {
            return None;
        }
        if let Some((monomial, coefficient)) = base.single() {
            let monomial = monomial.power(Exponent::from(exponent))?;
            let coefficient = exact::power(coefficient, exponent, self.budget)?;
            return match self.reducible(&monomial) {
                Some(id) => self.reduced(monomial, coefficient, id),
                None => Some(Poly::term(monomial, coefficient)),
            };
        }
        let mut result = Poly::integer(1);
        for _ in 0..exponent.to_u64()? {
            result = self.multiply(&result, base)?;
        }
        Some(result)
    }

    /// The number of a generator, a new one when none is equal to it.
    fn generator(&mut self, wanted: Generator) -> Option<usize> {
        self.budget.spend(self.generators.len() as u64 / 4)?;
        if let Some(id) = self.generators.iter().position(|known| *known == wanted) {
            return Some(id);
        }
        if matches!(wanted, Generator::Call(..) | Generator::Apply(..) | Generator::Power(..)) {
            for id in 0..self.generators.len() {
                if self.same(&self.generators[id].clone(), &wanted)? {
                    return Some(id);
                }
            }
        }
        self.generators.push(wanted);
        Some(self.generators.len() - 1)
    }

    fn same(&mut self, a: &Generator, b: &Generator) -> Option<bool> {
        match (a, b) {
            (Generator::Call(f, x), Generator::Call(g, y)) if f == g && x.len() == y.len() => {
                self.all_equal(x, y)
            }
            (Generator::Apply(f, x), Generator::Apply(g, y)) if f == g && x.len() == y.len() => {
                self.all_equal(x, y)
            }
            (Generator::Power(a, x), Generator::Power(b, y)) => Some(self.equal(a, b)? && self.equal(x, y)?),
            _ => Some(false),
        }
    }

    fn all_equal(&mut self, a: &[Quotient], b: &[Quotient]) -> Option<bool> {
        for (a, b) in a.iter().zip(b) {
            if !self.equal(a, b)? {
                return Some(false);
            }
        }
        Some(true)
    }

    /// A generator to a power, as a quotient.
    fn generated(&mut self, generator: Generator, exponent: Exponent) -> Option<Quotient> {
        let id = self.generator(generator)?;
        let monomial = Monomial::generator(id, exponent);
        Some(Quotient::whole(match self.reducible(&monomial) {
            Some(id) => self.reduced(monomial, BigRational::one(), id)?,
            None => Poly::term(monomial, BigRational::one()),
        }))
    }
}
