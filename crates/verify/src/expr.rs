//! An answer as a tree: numbers, symbols, functions, relations, collections.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Signed, Zero};

/// Longest parts, in bits together, of a quotient of numbers that is worked out while it is read, where nothing counts the
/// work: long chains of divisions by long numbers are left to what does.
const MAX_QUOTIENT_BITS: u64 = 512;

/// A mathematical answer. Subtraction is a product with -1, division a power of -1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expr {
    Number(Number),
    /// A variable, its subscript and primes in its name.
    Symbol(String),
    Constant(Constant),
    /// A unit of measure or counted thing, under one name for its spellings.
    Unit(String),
    Sum(Vec<Expr>),
    Product(Vec<Expr>),
    Power(Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
    /// A named function, or a product: `f(x)`, `a(b)`.
    Apply(String, Vec<Expr>),
    /// Both signs; `true` is the upper one of the pair `±`, `false` of `∓`.
    PlusMinus(bool, Box<Expr>),
    Percent(Box<Expr>),
    /// `a < b = c`: one expression more than signs.
    Relation(Vec<Expr>, Vec<Sign>),
    /// Two or more items in round or square brackets: a tuple, a vector, or an interval.
    Group(Bracket, Vec<Expr>, Bracket),
    Set(Vec<Expr>),
    /// Items without brackets.
    List(Vec<Expr>, Joint),
    Union(Vec<Expr>),
    /// The first without the second.
    Without(Box<Expr>, Box<Expr>),
    Reals,
    Matrix(Vec<Vec<Expr>>),
    /// `a : b : c`, or a time of day.
    Ratio(Vec<Expr>),
}

/// An exact number and how it was written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Number {
    pub value: BigRational,
    /// How precisely it was written, when it is a decimal.
    pub digits: Option<Digits>,
    /// The base it was written in, when that was not ten.
    pub base: Option<u32>,
}

/// The digits of a decimal, which say how far it may have been rounded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digits {
    /// Digits after the point.
    pub fraction: usize,
    /// Digits from the first that is not zero.
    pub significant: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Constant {
    Pi,
    E,
    I,
    Infinity,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Asin,
    Acos,
    Atan,
    Acot,
    Asec,
    Acsc,
    Sinh,
    Cosh,
    Tanh,
    Ln,
    /// Of the first argument, to the base of the second.
    Log,
    Abs,
    Floor,
    Ceil,
    Factorial,
    Binomial,
    Max,
    Min,
    Gcd,
    Lcm,
    Det,
    Transpose,
}

impl Function {
    /// The trigonometric function that this one is the inverse of.
    pub(crate) fn inverse_of(self) -> Option<Function> {
        Some(match self {
            Function::Asin => Function::Sin,
            Function::Acos => Function::Cos,
            Function::Atan => Function::Tan,
            Function::Acot => Function::Cot,
            Function::Asec => Function::Sec,
            Function::Acsc => Function::Csc,
            _ => return None,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Approximate,
    In,
}

impl Sign {
    /// The sign with its sides exchanged.
    pub(crate) fn flipped(self) -> Sign {
        match self {
            Sign::Less => Sign::Greater,
            Sign::LessEqual => Sign::GreaterEqual,
            Sign::Greater => Sign::Less,
            Sign::GreaterEqual => Sign::LessEqual,
            sign => sign,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bracket {
    Round,
    Square,
}

/// What stands between the items of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Joint {
    Comma,
    And,
    Or,
}

impl Expr {
    pub(crate) fn rational(value: BigRational) -> Expr {
        Expr::Number(Number { value, digits: None, base: None })
    }

    pub(crate) fn integer(value: i64) -> Expr {
        Expr::rational(BigRational::from_integer(BigInt::from(value)))
    }

    pub(crate) fn symbol(name: &str) -> Expr {
        Expr::Symbol(name.to_owned())
    }

    /// The product of two, flattened, a minus taken into a number.
    pub(crate) fn times(self, other: Expr) -> Expr {
        match (self, other) {
            (Expr::Product(mut left), Expr::Product(right)) => {
                left.extend(right);
                Expr::Product(left)
            }
            (Expr::Product(mut left), right) => {
                left.push(right);
                Expr::Product(left)
            }
            (left, right) => Expr::Product(vec![left, right]),
        }
    }

    pub(crate) fn negated(self) -> Expr {
        match self {
            Expr::Number(number) => Expr::Number(Number { value: -number.value, ..number }),
            Expr::Constant(Constant::Infinity) => Expr::Product(vec![Expr::integer(-1), self]),
            Expr::Product(mut factors) => {
                factors.insert(0, Expr::integer(-1));
                Expr::Product(factors)
            }
            other => Expr::Product(vec![Expr::integer(-1), other]),
        }
    }

    pub(crate) fn minus(self, other: Expr) -> Expr {
        Expr::Sum(vec![self, other.negated()])
    }

    pub(crate) fn power(self, exponent: Expr) -> Expr {
        Expr::Power(Box::new(self), Box::new(exponent))
    }

    pub(crate) fn over(self, under: Expr) -> Expr {
        match (&self, &under) {
            (Expr::Number(a), Expr::Number(b))
                if !b.value.is_zero()
                    && a.digits.is_none()
                    && b.digits.is_none()
                    && bits(&a.value) + bits(&b.value) <= MAX_QUOTIENT_BITS =>
            {
                Expr::rational(&a.value / &b.value)
            }
            _ => self.times(under.power(Expr::integer(-1))),
        }
    }

    pub(crate) fn call(function: Function, argument: Expr) -> Expr {
        Expr::Call(function, vec![argument])
    }

    /// The `index`-th root.
    pub(crate) fn root(self, index: Expr) -> Expr {
        let exponent = match &index {
            Expr::Number(n) if !n.value.is_zero() => Expr::rational(n.value.recip()),
            _ => index.power(Expr::integer(-1)),
        };
        self.power(exponent)
    }

    pub(crate) fn as_rational(&self) -> Option<&BigRational> {
        match self {
            Expr::Number(number) => Some(&number.value),
            _ => None,
        }
    }

    pub(crate) fn as_small_integer(&self) -> Option<i64> {
        self.as_rational()
            .filter(|value| value.is_integer())
            .and_then(|value| i64::try_from(value.numer()).ok())
    }

    /// The expressions directly inside.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Number(_) | Expr::Symbol(_) | Expr::Constant(_) | Expr::Unit(_) | Expr::Reals => Vec::new(),
            Expr::Power(a, b) | Expr::Without(a, b) => vec![a, b],
            Expr::PlusMinus(_, a) | Expr::Percent(a) => vec![a],
            Expr::Matrix(rows) => rows.iter().flatten().collect(),
            Expr::Sum(items)
            | Expr::Product(items)
            | Expr::Call(_, items)
            | Expr::Apply(_, items)
            | Expr::Relation(items, _)
            | Expr::Group(_, items, _)
            | Expr::Set(items)
            | Expr::List(items, _)
            | Expr::Union(items)
            | Expr::Ratio(items) => items.iter().collect(),
        }
    }

    /// The same expression with `change` made to every expression directly inside.
    pub(crate) fn map(&self, change: &mut impl FnMut(&Expr) -> Expr) -> Expr {
        let all = |items: &[Expr], change: &mut dyn FnMut(&Expr) -> Expr| {
            items.iter().map(change).collect::<Vec<_>>()
        };
        match self {
            Expr::Number(_) | Expr::Symbol(_) | Expr::Constant(_) | Expr::Unit(_) | Expr::Reals => {
                self.clone()
            }
            Expr::Sum(items) => Expr::Sum(all(items, change)),
            Expr::Product(items) => Expr::Product(all(items, change)),
            Expr::Power(a, b) => Expr::Power(Box::new(change(a)), Box::new(change(b))),
            Expr::Without(a, b) => Expr::Without(Box::new(change(a)), Box::new(change(b))),
            Expr::Call(function, items) => Expr::Call(*function, all(items, change)),
            Expr::Apply(name, items) => Expr::Apply(name.clone(), all(items, change)),
            Expr::PlusMinus(upper, a) => Expr::PlusMinus(*upper, Box::new(change(a))),
            Expr::Percent(a) => Expr::Percent(Box::new(change(a))),
            Expr::Relation(items, signs) => Expr::Relation(all(items, change), signs.clone()),
            Expr::Group(open, items, close) => Expr::Group(*open, all(items, change), *close),
            Expr::Set(items) => Expr::Set(all(items, change)),
            Expr::List(items, joint) => Expr::List(all(items, change), *joint),
            Expr::Union(items) => Expr::Union(all(items, change)),
            Expr::Ratio(items) => Expr::Ratio(all(items, change)),
            Expr::Matrix(rows) => Expr::Matrix(rows.iter().map(|row| all(row, change)).collect()),
        }
    }

    /// Whether `test` holds for this or anything inside.
    pub(crate) fn any(&self, test: &impl Fn(&Expr) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }

    /// The same with the variable `name` called `other`; none where there is another variable of that name, or none of this.
    pub(crate) fn with_symbol(&self, name: &str, other: &str) -> Option<Expr> {
        fn renamed(expr: &Expr, name: &str, other: &str) -> Expr {
            match expr {
                Expr::Symbol(own) if own == name => Expr::symbol(other),
                expr => expr.map(&mut |child| renamed(child, name, other)),
            }
        }
        let names = self.symbols();
        let has = |wanted: &str| names.iter().any(|known| known == wanted);
        (has(name) && (name == other || !has(other))).then(|| renamed(self, name, other))
    }

    /// How many expressions it is made of, itself included.
    pub(crate) fn n_parts(&self) -> usize {
        1 + self.children().into_iter().map(Expr::n_parts).sum::<usize>()
    }

    /// The names of its variables, sorted, each once.
    pub(crate) fn symbols(&self) -> Vec<String> {
        fn collect(expr: &Expr, names: &mut Vec<String>) {
            match expr {
                Expr::Symbol(name) => names.push(name.clone()),
                Expr::Apply(name, _) => names.push(name.clone()),
                _ => {}
            }
            for child in expr.children() {
                collect(child, names);
            }
        }
        let mut names = Vec::new();
        collect(self, &mut names);
        names.sort();
        names.dedup();
        names
    }

    /// Whether it is one value, not a relation or a collection.
    pub(crate) fn is_scalar(&self) -> bool {
        !self.any(&|expr| {
            matches!(
                expr,
                Expr::Relation(..)
                    | Expr::Group(..)
                    | Expr::Set(_)
                    | Expr::List(..)
                    | Expr::Union(_)
                    | Expr::Without(..)
                    | Expr::Reals
                    | Expr::Matrix(_)
                    | Expr::Ratio(_)
                    | Expr::PlusMinus(..)
            )
        })
    }

    /// Infinity with its sign: 1, -1; none when it is anything else.
    pub(crate) fn infinity(&self) -> Option<i32> {
        match self {
            Expr::Constant(Constant::Infinity) => Some(1),
            Expr::Product(factors) => match factors.as_slice() {
                [Expr::Number(number), Expr::Constant(Constant::Infinity)] => {
                    Some(if number.value.is_negative() { -1 } else { 1 })
                }
                _ => None,
            },
            Expr::Sum(terms) if terms.len() == 1 => terms[0].infinity(),
            _ => None,
        }
    }
}

/// `1`, exactly.
pub(crate) fn one() -> BigRational {
    BigRational::one()
}

/// The longer part of a fraction, in bits.
fn bits(value: &BigRational) -> u64 {
    value.numer().bits().max(value.denom().bits())
}
