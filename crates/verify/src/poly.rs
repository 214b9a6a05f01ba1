//! Sparse polynomials over the rationals in numbered generators, with rational exponents of either sign.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::{BigRational, Ratio};
use num_traits::{One, Signed, Zero};

use crate::exact::{greatest_common_divisor, product, sum};

/// An exponent of a generator.
pub(crate) type Exponent = Ratio<i64>;

/// Largest numerator and denominator of an exponent.
const MAX_EXPONENT: i64 = 1_000_000;

/// A product of powers of generators: their numbers in order, no exponent zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Monomial(Vec<(usize, Exponent)>);

impl Monomial {
    pub(crate) fn one() -> Monomial {
        Monomial::default()
    }

    pub(crate) fn generator(id: usize, exponent: Exponent) -> Monomial {
        Monomial(if exponent.is_zero() { Vec::new() } else { vec![(id, exponent)] })
    }

    pub(crate) fn is_one(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn factors(&self) -> &[(usize, Exponent)] {
        &self.0
    }

    pub(crate) fn exponent(&self, id: usize) -> Exponent {
        self.0.iter().find(|(known, _)| *known == id).map_or_else(Exponent::zero, |(_, exponent)| *exponent)
    }

    /// None when an exponent grows out of proportion.
    pub(crate) fn times(&self, other: &Monomial) -> Option<Monomial> {
        let mut factors = Vec::with_capacity(self.0.len() + other.0.len());
        let (mut left, mut right) = (self.0.iter().peekable(), other.0.iter().peekable());
        loop {
            match (left.peek(), right.peek()) {
                (Some(a), Some(b)) if a.0 == b.0 => {
                    let exponent = bounded(a.1 + b.1)?;
                    if !exponent.is_zero() {
                        factors.push((a.0, exponent));
                    }
                    left.next();
                    right.next();
                }
                (Some(a), b) if b.is_none_or(|b| a.0 < b.0) => factors.extend(left.next().copied()),
                (_, Some(_)) => factors.extend(right.next().copied()),
                (_, None) => return Some(Monomial(factors)),
            }
        }
    }

    /// None when an exponent grows out of proportion.
    pub(crate) fn power(&self, exponent: Exponent) -> Option<Monomial> {
        if exponent.is_zero() {
            return Some(Monomial::one());
        }
        let factors = self.0.iter().map(|(id, own)| Some((*id, bounded(*own * exponent)?)));
        factors.collect::<Option<Vec<_>>>().map(Monomial)
    }
}

fn bounded(exponent: Exponent) -> Option<Exponent> {
    let fits = exponent.numer().abs() <= MAX_EXPONENT && *exponent.denom() <= MAX_EXPONENT;
    fits.then_some(exponent)
}

/// `exponent` as a small ratio.
pub(crate) fn small_exponent(value: &BigRational) -> Option<Exponent> {
    let (over, under) = (i64::try_from(value.numer()).ok()?, i64::try_from(value.denom()).ok()?);
    bounded(Exponent::new(over, under))
}

/// A sum of monomials with coefficients, none of them zero.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Poly {
    terms: BTreeMap<Monomial, BigRational>,
}

impl Poly {
    pub(crate) fn constant(value: BigRational) -> Poly {
        Poly::term(Monomial::one(), value)
    }

    pub(crate) fn integer(value: i64) -> Poly {
        Poly::constant(BigRational::from_integer(BigInt::from(value)))
    }

    pub(crate) fn term(monomial: Monomial, coefficient: BigRational) -> Poly {
        let mut poly = Poly::default();
        poly.add_term(monomial, coefficient);
        poly
    }

    pub(crate) fn terms(&self) -> impl DoubleEndedIterator<Item = (&Monomial, &BigRational)> {
        self.terms.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.terms.len()
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.terms.is_empty()
    }

    pub(crate) fn is_one(&self) -> bool {
        self.as_constant().is_some_and(|value| value.is_one())
    }

    /// Its value, when no generator is in it.
    pub(crate) fn as_constant(&self) -> Option<BigRational> {
        match self.single() {
            None if self.is_zero() => Some(BigRational::zero()),
            Some((monomial, value)) if monomial.is_one() => Some(value.clone()),
            _ => None,
        }
    }

    /// Its only term.
    pub(crate) fn single(&self) -> Option<(&Monomial, &BigRational)> {
        if self.terms.len() == 1 { self.terms.iter().next() } else { None }
    }

    pub(crate) fn add_term(&mut self, monomial: Monomial, coefficient: BigRational) {
        if coefficient.is_zero() {
            return;
        }
        match self.terms.entry(monomial) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(coefficient);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => {
                let sum = sum(entry.get(), &coefficient);
                *entry.get_mut() = sum;
                if entry.get().is_zero() {
                    entry.remove();
                }
            }
        }
    }

    pub(crate) fn add(&mut self, other: &Poly) {
        for (monomial, coefficient) in &other.terms {
            self.add_term(monomial.clone(), coefficient.clone());
        }
    }

    pub(crate) fn negated(&self) -> Poly {
        Poly { terms: self.terms.iter().map(|(monomial, value)| (monomial.clone(), -value)).collect() }
    }

    pub(crate) fn scaled(&self, factor: &BigRational) -> Poly {
        Poly {
            terms: self
                .terms
                .iter()
                .map(|(monomial, value)| (monomial.clone(), product(value, factor)))
                .collect(),
        }
    }

    /// The positive rational whose quotient has whole coefficients without a common divisor.
    pub(crate) fn content(&self) -> BigRational {
        let mut numer = BigInt::zero();
        let mut denom = BigInt::one();
        for value in self.terms.values() {
            numer = greatest_common_divisor(&numer, value.numer());
            let common = greatest_common_divisor(&denom, value.denom());
            denom = denom / common * value.denom();
        }
        if numer.is_zero() { BigRational::one() } else { BigRational::new(numer, denom) }
    }

    /// The coefficient of its first term in the order of monomials.
    pub(crate) fn leading(&self) -> Option<&BigRational> {
        self.terms.values().next_back()
    }

    /// Whether every coefficient is a whole number.
    pub(crate) fn is_whole(&self) -> bool {
        self.terms.values().all(BigRational::is_integer)
    }

    /// The bits of its longest coefficient.
    pub(crate) fn bits(&self) -> u64 {
        self.terms.values().map(|value| value.numer().bits() + value.denom().bits()).max().unwrap_or(0)
    }

    /// The smallest exponent of a generator in any term.
    pub(crate) fn least_exponent(&self, id: usize) -> Exponent {
        self.terms.keys().map(|monomial| monomial.exponent(id)).min().unwrap_or_else(Exponent::zero)
    }

    /// The largest exponent of a generator in any term.
    pub(crate) fn greatest_exponent(&self, id: usize) -> Exponent {
        self.terms.keys().map(|monomial| monomial.exponent(id)).max().unwrap_or_else(Exponent::zero)
    }

    /// Whether a generator is in any term.
    pub(crate) fn contains(&self, id: usize) -> bool {
        self.terms.keys().any(|monomial| !monomial.exponent(id).is_zero())
    }

    /// Whether `factor * self` is `other` for some rational `factor`, and which.
    pub(crate) fn ratio(&self, other: &Poly) -> Option<BigRational> {
        if self.len() != other.len() || self.is_zero() {
            return None;
        }
        let factor = product(other.leading()?, &self.leading()?.recip());
        let is_multiple =
            self.terms.iter().zip(&other.terms).all(|((a, x), (b, y))| a == b && product(x, &factor) == *y);
        is_multiple.then_some(factor)
    }

    /// Whether its leading coefficient is negative.
    pub(crate) fn leads_negative(&self) -> bool {
        self.leading().is_some_and(Signed::is_negative)
    }
}
