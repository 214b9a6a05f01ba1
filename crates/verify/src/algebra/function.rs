//! Functions: their exact values, and the laws that hold wherever they are defined.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, ToPrimitive, Zero};

use super::{Algebra, Generator, Quotient};
use crate::evaluate;
use crate::exact;
use crate::expr::{Constant, Expr, Function};
use crate::poly::{Exponent, Monomial, Poly};

/// The cosine of a part of half a turn: a quarter of `a √b + c √d`, the pairs being `(a, b)` and `(c, d)`.
struct ExactCosine {
    turn: (i64, i64),
    parts: [(i64, i64); 2],
}

const EXACT_COSINES: &[ExactCosine] = &[
    ExactCosine { turn: (0, 1), parts: [(4, 1), (0, 1)] },
    ExactCosine { turn: (1, 12), parts: [(1, 6), (1, 2)] },
    ExactCosine { turn: (1, 6), parts: [(2, 3), (0, 1)] },
    ExactCosine { turn: (1, 4), parts: [(2, 2), (0, 1)] },
    ExactCosine { turn: (1, 3), parts: [(2, 1), (0, 1)] },
    ExactCosine { turn: (5, 12), parts: [(1, 6), (-1, 2)] },
    ExactCosine { turn: (1, 2), parts: [(0, 1), (0, 1)] },
];

fn ratio(over: i64, under: i64) -> BigRational {
    BigRational::new(BigInt::from(over), BigInt::from(under))
}

impl Algebra<'_> {
    pub(super) fn call(&mut self, function: Function, arguments: &[Expr]) -> Option<Quotient> {
        if function == Function::Abs || function == Function::Floor || function == Function::Ceil {
            let [argument] = arguments else { return None };
            return self.rounded(function, argument);
        }
        let values = arguments
            .iter()
            .map(|argument| self.convert(&in_radians(argument)))
            .collect::<Option<Vec<_>>>()?;
        match (function, values.as_slice()) {
            (Function::Sin, [x]) => self.sine(x),
            (Function::Cos, [x]) => self.cosine(x),
            (Function::Tan, [x]) => self.quotient_of(Function::Sin, Function::Cos, x),
            (Function::Cot, [x]) => self.quotient_of(Function::Cos, Function::Sin, x),
            (Function::Sec, [x]) => {
                let cosine = self.cosine(x)?;
                self.inverse(&cosine)
            }
            (Function::Csc, [x]) => {
                let sine = self.sine(x)?;
                self.inverse(&sine)
            }
            (Function::Asin | Function::Acos | Function::Atan, [x]) => self.arc(function, x),
            (Function::Asec, [x]) => {
                let inverse = self.inverse(x)?;
                self.arc(Function::Acos, &inverse)
            }
            (Function::Acsc, [x]) => {
                let inverse = self.inverse(x)?;
                self.arc(Function::Asin, &inverse)
            }
            (Function::Ln, [x]) => self.logarithm(x),
            (Function::Log, [x, base]) => {
                let base = self.logarithm(base)?;
                let value = self.logarithm(x)?;
                let inverse = self.inverse(&base)?;
                self.times(&value, &inverse)
            }
            (Function::Sinh | Function::Cosh | Function::Tanh, [x]) => self.hyperbolic(function, x),
            (Function::Factorial, [x]) => match small(x) {
                Some(n) => Some(integer(exact::factorial(n, self.budget)?)),
                None => self.generated(Generator::Call(function, values), Exponent::one()),
            },
            (Function::Binomial, [n, k]) => match (small(n), small(k)) {
                (Some(n), Some(k)) => Some(integer(exact::binomial(n, k, self.budget)?)),
                _ => self.generated(Generator::Call(function, values), Exponent::one()),
            },
            (Function::Max | Function::Min | Function::Gcd | Function::Lcm, _) => {
                self.of_numbers(function, &values)
            }
            _ => self.generated(Generator::Call(function, values), Exponent::one()),
        }
    }

    /// Sine and cosine as one generator and its cofunction, so that signs and `π/2` fall away.
    fn sine(&mut self, x: &Quotient) -> Option<Quotient> {
        if let Some(turn) = self.multiple_of_pi(x) {
            return self.cosine_of_turn(&(ratio(1, 2) - turn));
        }
        if let Some(inner) = self.argument_of(Function::Asin, x) {
            return Some(inner);
        }
        if x.over.leads_negative() {
            return Some(
                self.generated(Generator::Call(Function::Sin, vec![x.negated()]), Exponent::one())?.negated(),
            );
        }
        self.generated(Generator::Call(Function::Sin, vec![x.clone()]), Exponent::one())
    }

    fn cosine(&mut self, x: &Quotient) -> Option<Quotient> {
        if let Some(turn) = self.multiple_of_pi(x) {
            return self.cosine_of_turn(&turn);
        }
        if let Some(inner) = self.argument_of(Function::Acos, x) {
            return Some(inner);
        }
        let x = if x.over.leads_negative() { x.negated() } else { x.clone() };
        self.generated(Generator::Call(Function::Cos, vec![x]), Exponent::one())
    }

    /// The inside of `x`, when `x` is `function` of something.
    fn argument_of(&self, function: Function, x: &Quotient) -> Option<Quotient> {
        let (monomial, coefficient) = x.over.single().filter(|_| x.under.is_one())?;
        let [(id, exponent)] = monomial.factors() else { return None };
        match &self.generators[*id] {
            Generator::Call(known, arguments)
                if *known == function && exponent.is_one() && coefficient.is_one() =>
            {
                arguments.first().cloned()
            }
            _ => None,
        }
    }

    fn quotient_of(&mut self, over: Function, under: Function, x: &Quotient) -> Option<Quotient> {
        if over == Function::Sin
            && let Some(inner) = self.argument_of(Function::Atan, x)
        {
            return Some(inner);
        }
        let of = |algebra: &mut Self, function| match function {
            Function::Sin => algebra.sine(x),
            _ => algebra.cosine(x),
        };
        let (over, under) = (of(self, over)?, of(self, under)?);
        let inverse = self.inverse(&under)?;
        self.times(&over, &inverse)
    }

    /// `cos(turn π)`: exact for multiples of π/12, else a generator of an angle between 0 and π/2.
    pub(super) fn cosine_of_turn(&mut self, turn: &BigRational) -> Option<Quotient> {
        let two = ratio(2, 1);
        let mut turn = turn - (turn / &two).floor() * &two;
        if turn > ratio(1, 1) {
            turn = &two - turn;
        }
        let is_negative = turn > ratio(1, 2);
        if is_negative {
            turn = ratio(1, 1) - turn;
        }
        let exact = EXACT_COSINES.iter().find(|known| ratio(known.turn.0, known.turn.1) == turn);
        let value = match exact {
            Some(known) => {
                let mut sum = Quotient::integer(0);
                for (factor, radicand) in &known.parts {
                    let root = self.rational_power(&Quotient::integer(*radicand), &ratio(1, 2))?;
                    let part = self.times(&root, &Quotient::constant(ratio(*factor, 4)))?;
                    sum = self.plus(&sum, &part)?;
                }
                sum
            }
            None => {
                let pi = self.generated(Generator::Constant(Constant::Pi), Exponent::one())?;
                let angle = self.times(&pi, &Quotient::constant(turn))?;
                self.generated(Generator::Call(Function::Cos, vec![angle]), Exponent::one())?
            }
        };
        Some(if is_negative { value.negated() } else { value })
    }

    /// Inverse functions at the values of the table of exact cosines and tangents.
    fn arc(&mut self, function: Function, x: &Quotient) -> Option<Quotient> {
        if x.as_rational().is_some() || !self.is_free(x) {
            for twelfths in -12_i64..=12 {
                let turn = ratio(twelfths, 12);
                let in_range = match function {
                    Function::Acos => twelfths >= 0,
                    Function::Asin => twelfths.abs() <= 6,
                    _ => twelfths.abs() < 6,
                };
                if !in_range {
                    continue;
                }
                let cosine = self.cosine_of_turn(&turn)?;
                let sine = self.cosine_of_turn(&(ratio(1, 2) - &turn))?;
                let value = match function {
                    Function::Acos => cosine,
                    Function::Asin => sine,
                    _ => {
                        let inverse = self.inverse(&cosine)?;
                        self.times(&sine, &inverse)?
                    }
                };
                if self.equal(&value, x)? {
                    let pi = self.generated(Generator::Constant(Constant::Pi), Exponent::one())?;
                    return self.times(&pi, &Quotient::constant(turn));
                }
            }
        }
        if x.over.leads_negative() && function != Function::Acos {
            return Some(
                self.generated(Generator::Call(function, vec![x.negated()]), Exponent::one())?.negated(),
            );
        }
        self.generated(Generator::Call(function, vec![x.clone()]), Exponent::one())
    }

    fn hyperbolic(&mut self, function: Function, x: &Quotient) -> Option<Quotient> {
        let is_zero = x.over.is_zero();
        match function {
            Function::Cosh if is_zero => Some(Quotient::integer(1)),
            _ if is_zero => Some(Quotient::integer(0)),
            _ => self.generated(Generator::Call(function, vec![x.clone()]), Exponent::one()),
        }
    }

    /// The natural logarithm: of a product of what is positive, the sum.
    fn logarithm(&mut self, x: &Quotient) -> Option<Quotient> {
        let Some((monomial, coefficient)) = x.over.single().filter(|_| x.under.is_one()) else {
            return self.generated(Generator::Call(Function::Ln, vec![x.clone()]), Exponent::one());
        };
        let (monomial, coefficient) = (monomial.clone(), coefficient.clone());
        let is_known = |algebra: &Self, id: usize| {
            matches!(
                algebra.generators[id],
                Generator::Constant(Constant::Pi | Constant::E) | Generator::Whole(_)
            )
        };
        let only_symbol = match monomial.factors() {
            [(id, exponent)] => {
                matches!(self.generators[*id], Generator::Symbol(_)) && exponent.numer() % 2 != 0
            }
            _ => false,
        };
        let is_split = monomial.factors().iter().all(|(id, _)| is_known(self, *id)) || only_symbol;
        if !is_split || !coefficient.is_positive() {
            return self.generated(Generator::Call(Function::Ln, vec![x.clone()]), Exponent::one());
        }
        let mut sum = self.logarithm_of_rational(&coefficient)?;
        for (id, exponent) in monomial.factors() {
            let factor = ratio(*exponent.numer(), *exponent.denom());
            let part = match self.generators[*id].clone() {
                Generator::Constant(Constant::E) => Quotient::integer(1),
                Generator::Whole(value) => self.logarithm_of_rational(&BigRational::from_integer(value))?,
                _ => {
                    let inner = Poly::term(Monomial::generator(*id, Exponent::one()), BigRational::one());
                    let inner = Quotient::whole(inner);
                    self.generated(Generator::Call(Function::Ln, vec![inner]), Exponent::one())?
                }
            };
            let part = self.times(&part, &Quotient::constant(factor))?;
            sum = self.plus(&sum, &part)?;
        }
        Some(sum)
    }

    fn logarithm_of_rational(&mut self, value: &BigRational) -> Option<Quotient> {
        let mut sum = Quotient::integer(0);
        for (part, sign) in [(value.numer(), 1), (value.denom(), -1)] {
            for (prime, power) in exact::prime_factors(part, self.budget)? {
                let inner = integer(prime);
                let logarithm =
                    self.generated(Generator::Call(Function::Ln, vec![inner]), Exponent::one())?;
                let part = self.times(&logarithm, &Quotient::integer(power * sign))?;
                sum = self.plus(&sum, &part)?;
            }
        }
        Some(sum)
    }

    /// Absolute value, floor and ceiling: exact for numbers, whose sign the arithmetic of balls proves.
    fn rounded(&mut self, function: Function, argument: &Expr) -> Option<Quotient> {
        let value = self.convert(argument)?;
        if let Some(number) = value.as_rational() {
            return Some(Quotient::constant(match function {
                Function::Floor => number.floor(),
                Function::Ceil => number.ceil(),
                _ => number.abs(),
            }));
        }
        if function == Function::Abs && self.is_imaginary(&value) {
            return self.modulus(&value);
        }
        let is_number = argument.symbols().is_empty();
        if function == Function::Abs {
            return match is_number.then(|| evaluate::sign_of(argument, self.budget)).flatten() {
                Some(std::cmp::Ordering::Less) => Some(value.negated()),
                Some(_) => Some(value),
                None => self.absolute(value),
            };
        }
        if is_number {
            let whole = evaluate::whole_part(argument, function == Function::Ceil, self.budget)?;
            return Some(integer(whole));
        }
        self.generated(Generator::Call(function, vec![value]), Exponent::one())
    }

    fn is_imaginary(&self, x: &Quotient) -> bool {
        let unit = self.generators.iter().position(|known| *known == Generator::Constant(Constant::I));
        unit.is_some_and(|id| x.over.contains(id) || x.under.contains(id))
    }

    /// The modulus of a complex number whose parts are made of rationals, roots of them, π and e; none for any other, since
    /// the law of `|x|`, whose square is that of `x`, holds for real numbers only.
    fn modulus(&mut self, x: &Quotient) -> Option<Quotient> {
        let is_known = |(id, generator): (usize, &Generator)| {
            let is_used = x.over.contains(id) || x.under.contains(id);
            !is_used || matches!(generator, Generator::Constant(_) | Generator::Whole(_))
        };
        if !self.generators.iter().enumerate().all(is_known) {
            return None;
        }
        let id = self.generators.iter().position(|known| *known == Generator::Constant(Constant::I))?;
        let conjugate = |poly: &Poly| {
            let mut conjugate = Poly::default();
            for (monomial, coefficient) in poly.terms() {
                let is_real = monomial.exponent(id).is_zero();
                conjugate
                    .add_term(monomial.clone(), if is_real { coefficient.clone() } else { -coefficient });
            }
            conjugate
        };
        let conjugate = Quotient { over: conjugate(&x.over), under: conjugate(&x.under) };
        let square = self.times(x, &conjugate)?;
        self.rational_power(&square, &ratio(1, 2))
    }

    /// `|x|`, a rational factor and the sign taken out of it.
    pub(super) fn absolute(&mut self, x: Quotient) -> Option<Quotient> {
        if let Some(value) = x.as_rational() {
            return Some(Quotient::constant(value.abs()));
        }
        let content = x.over.content();
        let mut over = x.over.scaled(&content.recip());
        if over.leads_negative() {
            over = over.negated();
        }
        let inner = Quotient { over, under: x.under };
        let absolute = self.generated(Generator::Call(Function::Abs, vec![inner]), Exponent::one())?;
        self.times(&absolute, &Quotient::constant(content))
    }

    fn of_numbers(&mut self, function: Function, values: &[Quotient]) -> Option<Quotient> {
        let numbers = values.iter().map(Quotient::as_rational).collect::<Option<Vec<_>>>()?;
        let value = match function {
            Function::Max => numbers.into_iter().max()?,
            Function::Min => numbers.into_iter().min()?,
            _ => {
                if numbers.iter().any(|number| !number.is_integer()) {
                    return None;
                }
                let wholes = numbers.iter().map(BigRational::numer);
                let divisor = exact::greatest_common_divisor;
                let folded = match function {
                    Function::Gcd => wholes.fold(BigInt::zero(), |a, b| divisor(&a, b)),
                    _ => wholes.fold(BigInt::one(), |a, b| {
                        let common = divisor(&a, b);
                        if common.is_zero() { BigInt::zero() } else { (a / common * b).abs() }
                    }),
                };
                BigRational::from_integer(folded)
            }
        };
        Some(Quotient::constant(value))
    }
}

/// The argument of a function, degrees being π/180.
pub(crate) fn in_radians(expr: &Expr) -> Expr {
    match expr {
        Expr::Unit(name) if name == "degree" => {
            Expr::Product(vec![Expr::rational(ratio(1, 180)), Expr::Constant(Constant::Pi)])
        }
        Expr::Unit(name) if name == "radian" => Expr::integer(1),
        other => other.map(&mut |child| in_radians(child)),
    }
}

fn small(x: &Quotient) -> Option<u64> {
    x.as_rational().filter(|value| value.is_integer()).and_then(|value| value.numer().to_u64())
}

fn integer(value: BigInt) -> Quotient {
    Quotient::constant(BigRational::from_integer(value))
}
