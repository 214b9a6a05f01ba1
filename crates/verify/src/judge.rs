//! Two answers as trees: are they the same?
//!
//! Collections are taken apart until scalars and relations are left, and their verdicts put together again:
//! all parts equal is equal, one part different is different, anything else is unknown.

mod collection;
mod congruence;
mod interval;
mod matrix;
mod pieces;
mod relation;
mod scalar;
mod shape;

pub(crate) use congruence::CONGRUENCE;
pub(crate) use pieces::PIECES;

use crate::budget::Budget;
use crate::compare::Outcome;
use crate::expr::{Expr, Sign};
use crate::options::Options;

/// What was decided, and what decided it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub outcome: Outcome,
    pub method: &'static str,
    /// What a person would check it by, such as a point and both values there; empty when the answers say it all.
    pub witness: String,
}

impl Decision {
    pub(crate) fn new(outcome: Outcome, method: &'static str) -> Decision {
        Decision { outcome, method, witness: String::new() }
    }

    fn equal(method: &'static str) -> Decision {
        Decision::new(Outcome::Equal, method)
    }

    fn different(method: &'static str) -> Decision {
        Decision::new(Outcome::Different, method)
    }

    fn unknown(method: &'static str) -> Decision {
        Decision::new(Outcome::Unknown, method)
    }

    fn with(self, witness: String) -> Decision {
        Decision { witness, ..self }
    }

    fn is_equal(&self) -> bool {
        self.outcome == Outcome::Equal
    }

    fn is_different(&self) -> bool {
        self.outcome == Outcome::Different
    }
}

/// The rules of a comparison and what may still be spent on it.
pub(crate) struct Judge<'a> {
    options: &'a Options,
    budget: &'a Budget,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(options: &'a Options, budget: &'a Budget) -> Judge<'a> {
        Judge { options, budget }
    }

    /// The known answer against a given one.
    pub(crate) fn judge(&self, gold: &Expr, answer: &Expr) -> Decision {
        let (gold, answer) = (shape::shaped(gold), shape::shaped(answer));
        let (gold, answer) = (shape::by_name(&gold, &answer), shape::by_name(&answer, &gold));
        let (gold, answer) = shape::without_labels(gold, answer);
        self.compare(&gold, &answer)
    }

    fn compare(&self, a: &Expr, b: &Expr) -> Decision {
        match (a, b) {
            (a, b) if a == b => Decision::equal("same form"),
            _ if self.budget.is_spent() => Decision::unknown("budget"),
            (Expr::Relation(..), Expr::Relation(..)) => self.relations(a, b),
            (Expr::Relation(..), Expr::List(items, _)) if self.is_solved_by(a, items) => {
                Decision::equal("relation")
            }
            (Expr::List(items, _), Expr::Relation(..)) if self.is_solved_by(b, items) => {
                Decision::equal("relation")
            }
            (Expr::Relation(sides, _), scalar) | (scalar, Expr::Relation(sides, _)) if scalar.is_scalar() => {
                self.relation_and_scalar(sides, scalar)
            }
            (Expr::Apply(f, x), Expr::Apply(g, y)) if f == PIECES && g == PIECES => {
                self.pieces_of_functions(x, y)
            }
            (Expr::Apply(f, x), Expr::Apply(g, y)) if f == CONGRUENCE && g == CONGRUENCE => {
                self.congruences(x, y)
            }
            (Expr::Matrix(x), Expr::Matrix(y)) => self.matrices(x, y),
            (Expr::Ratio(x), Expr::Ratio(y)) => self.ratios(x, y),
            (Expr::Ratio(x), y) if y.is_scalar() => self.ratio_and_scalar(x, y),
            (x, Expr::Ratio(y)) if x.is_scalar() => self.ratio_and_scalar(y, x),
            (a, b) if a.is_scalar() && b.is_scalar() => self.scalars(a, b),
            (a, b) => self.collections(a, b),
        }
    }

    /// Verdicts of parts, all of which must hold.
    fn all(&self, parts: impl Iterator<Item = Decision>, method: &'static str) -> Decision {
        let mut result = Decision::equal(method);
        for part in parts {
            if part.is_different() {
                return Decision { method, ..part };
            }
            if !part.is_equal() {
                result = Decision { outcome: Outcome::Unknown, method, witness: part.witness };
            }
        }
        result
    }
}

/// Whether a relation is a chain of equations.
fn is_equation(signs: &[Sign]) -> bool {
    signs.iter().all(|sign| *sign == Sign::Equal)
}
