//! Tuples, lists, sets, intervals and unions.

use super::{Decision, Judge, matrix};
use crate::compare::Outcome;
use crate::expr::{Bracket, Expr, Joint};
use crate::options::Order;

/// Most items of a set that are compared.
const MAX_ITEMS: usize = 64;

impl Judge<'_> {
    pub(super) fn collections(&self, a: &Expr, b: &Expr) -> Decision {
        match (a, b) {
            (Expr::Group(open, x, close), Expr::Group(other_open, y, other_close)) => {
                let is_same = open == other_open && close == other_close;
                let is_sequence = x.len() != 2 && open == close && other_open == other_close;
                if is_same || is_sequence {
                    self.ordered(x, y)
                } else {
                    self.as_sets(a, b, Decision::different("interval"))
                }
            }
            (Expr::Matrix(rows), Expr::Group(Bracket::Round | Bracket::Square, y, _)) => {
                match matrix::vector(rows) {
                    Some(x) => self.ordered(&x, y),
                    None => Decision::different("matrix"),
                }
            }
            (Expr::Group(..), Expr::Matrix(_)) => self.collections(b, a),
            (Expr::List(x, _), Expr::List(y, _)) if self.options.order == Order::Listed => self.ordered(x, y),
            (Expr::List(x, own), Expr::List(y, other)) if are_other_conditions(x, *own, y, *other) => {
                self.as_sets(a, b, Decision::unknown("collection"))
            }
            (Expr::List(x, _), Expr::List(y, _)) => {
                let direct = self.unordered(x, y);
                if direct.is_equal() { direct } else { self.as_sets(a, b, direct) }
            }
            (Expr::List(x, _), Expr::Set(y))
            | (Expr::Set(x), Expr::List(y, _))
            | (Expr::Set(x), Expr::Set(y)) => self.unordered(x, y),
            (Expr::List(x, _), Expr::Group(_, y, _)) | (Expr::Group(_, x, _), Expr::List(y, _)) => {
                let is_of_tuples = |items: &[Expr]| items.iter().any(|item| matches!(item, Expr::Group(..)));
                if is_of_tuples(x) != is_of_tuples(y) {
                    return Decision::different("list");
                }
                let ordered = self.ordered(x, y);
                if ordered.is_equal() { ordered } else { self.as_sets(a, b, ordered) }
            }
            (Expr::Set(x), scalar) | (scalar, Expr::Set(x)) if scalar.is_scalar() => {
                self.unordered(x, std::slice::from_ref(scalar))
            }
            (Expr::List(x, _), scalar) | (scalar, Expr::List(x, _)) if scalar.is_scalar() => {
                self.unordered(x, std::slice::from_ref(scalar))
            }
            (Expr::Group(..) | Expr::Matrix(_), scalar) | (scalar, Expr::Group(..) | Expr::Matrix(_))
                if scalar.is_scalar() =>
            {
                Decision::different("collection")
            }
            _ => self.as_sets(a, b, Decision::unknown("collection")),
        }
    }

    /// Item by item.
    pub(super) fn ordered(&self, a: &[Expr], b: &[Expr]) -> Decision {
        if a.len() != b.len() {
            return Decision::different("tuple");
        }
        self.all(a.iter().zip(b).map(|(x, y)| self.compare(x, y)), "tuple")
    }

    /// As sets: every item of one is equal to one of the other, and the other way round.
    fn unordered(&self, a: &[Expr], b: &[Expr]) -> Decision {
        if a.len() > MAX_ITEMS || b.len() > MAX_ITEMS {
            return if a == b { Decision::equal("set") } else { Decision::unknown("set") };
        }
        let table: Vec<Vec<Outcome>> =
            a.iter().map(|x| b.iter().map(|y| self.compare(x, y).outcome).collect()).collect();
        let columns = (0..b.len()).map(|column| table.iter().map(|row| row[column]).collect::<Vec<_>>());
        let mut verdict = Outcome::Equal;
        for (i, line) in table.iter().cloned().chain(columns).enumerate() {
            if line.contains(&Outcome::Equal) {
                continue;
            }
            if line.iter().all(|outcome| *outcome == Outcome::Different) {
                let missing = if i < a.len() { i + 1 } else { i + 1 - a.len() };
                return Decision::different("set")
                    .with(format!("item {missing} of one is not among the other's"));
            }
            verdict = Outcome::Unknown;
        }
        Decision::new(verdict, "set")
    }

    /// As sets of real numbers, or `otherwise` when they are not.
    fn as_sets(&self, a: &Expr, b: &Expr, otherwise: Decision) -> Decision {
        self.by_intervals(a, b).unwrap_or(otherwise)
    }

    pub(super) fn ratios(&self, a: &[Expr], b: &[Expr]) -> Decision {
        if a.len() != b.len() {
            return Decision::different("ratio");
        }
        let direct = self.ordered(a, b);
        if direct.is_equal() || is_time(a) || is_time(b) {
            return Decision { method: "ratio", ..direct };
        }
        let products = (1..a.len()).map(|i| {
            let (left, right) = (a[0].clone().times(b[i].clone()), a[i].clone().times(b[0].clone()));
            self.scalars(&left, &right)
        });
        self.all(products, "ratio")
    }

    pub(super) fn ratio_and_scalar(&self, parts: &[Expr], scalar: &Expr) -> Decision {
        match parts {
            [over, under] if !is_time(parts) => self.scalars(&over.clone().over(under.clone()), scalar),
            _ => Decision::different("ratio"),
        }
    }
}

/// Whether two lists have inequalities joined by "and" in one and by "or" in the other.
fn are_other_conditions(a: &[Expr], own: Joint, b: &[Expr], other: Joint) -> bool {
    let is_inequality = |item: &Expr| matches!(item, Expr::Relation(_, signs) if !super::is_equation(signs));
    let are_opposite = matches!((own, other), (Joint::And, Joint::Or) | (Joint::Or, Joint::And));
    are_opposite && (a.iter().any(is_inequality) || b.iter().any(is_inequality))
}

/// Whether a ratio is written as a time of day: `4:30`, `12:00`.
fn is_time(parts: &[Expr]) -> bool {
    let minutes = parts.get(1).and_then(Expr::as_small_integer);
    parts.len() == 2 && minutes == Some(0)
}
