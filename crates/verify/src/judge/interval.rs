//! Sets of real numbers: intervals, unions, finite sets, and what inequalities of one variable describe.

use std::cmp::Ordering;

use super::{Decision, Judge, is_equation};
use crate::algebra::Algebra;
use crate::compare::Outcome;
use crate::expr::{Bracket, Constant, Expr, Function, Joint, Sign};

/// Most pieces of a set.
const MAX_PIECES: usize = 24;

/// An end of an interval.
#[derive(Clone, Debug)]
struct End {
    /// The bound; infinite with its sign.
    at: Expr,
    is_closed: bool,
}

/// What lies between two ends.
#[derive(Clone, Debug)]
struct Piece {
    low: End,
    high: End,
}

impl Judge<'_> {
    /// The verdict on two sets of real numbers; none when one of them is not one that can be worked out.
    pub(super) fn by_intervals(&self, a: &Expr, b: &Expr) -> Option<Decision> {
        if are_described(a, b) && a.symbols() != b.symbols() {
            return Some(Decision::different("interval"));
        }
        if are_described(a, b) && applications(a) != applications(b) {
            return None;
        }
        let (a, b) = (self.merged(self.pieces(a)?)?, self.merged(self.pieces(b)?)?);
        // Conditions that cannot be met together are a mistake rather than a set.
        if a.is_empty() && b.is_empty() {
            return None;
        }
        if a.len() != b.len() {
            return Some(Decision::different("interval"));
        }
        let ends = a.iter().zip(&b).flat_map(|(x, y)| [(&x.low, &y.low), (&x.high, &y.high)]);
        Some(self.all(ends.map(|(x, y)| self.ends(x, y)), "interval"))
    }

    fn ends(&self, a: &End, b: &End) -> Decision {
        let decision = self.scalars(&a.at, &b.at);
        let is_infinite = a.at.infinity().is_some();
        if decision.outcome != Outcome::Different && a.is_closed != b.is_closed && !is_infinite {
            return Decision::different("interval")
                .with("an end is open in one and closed in the other".to_owned());
        }
        decision
    }

    /// The pieces of a set, in any order.
    fn pieces(&self, expr: &Expr) -> Option<Vec<Piece>> {
        match expr {
            Expr::Reals => Some(vec![everything()]),
            Expr::Group(open, items, close) => match items.as_slice() {
                [low, high] if low.is_scalar() && high.is_scalar() => {
                    let end = |at: &Expr, bracket: Bracket| End {
                        at: at.clone(),
                        is_closed: bracket == Bracket::Square,
                    };
                    Some(vec![Piece { low: end(low, *open), high: end(high, *close) }])
                }
                _ => None,
            },
            Expr::Set(items) => items.iter().map(|item| item.is_scalar().then(|| single(item))).collect(),
            Expr::Union(parts) => {
                let parts = parts.iter().map(|part| self.pieces(part)).collect::<Option<Vec<_>>>()?;
                Some(parts.into_iter().flatten().collect())
            }
            Expr::Without(whole, taken) => match &**taken {
                Expr::Set(items) => {
                    let whole = self.pieces(whole)?;
                    items.iter().try_fold(whole, |pieces, item| self.without_point(pieces, item))
                }
                _ => None,
            },
            Expr::Relation(sides, signs) => self.solutions(sides, signs),
            Expr::List(items, joint) => {
                // Equations are answers side by side, not conditions to be met together.
                let parts = items.iter().map(|item| match item {
                    Expr::Relation(_, signs) if is_equation(signs) => None,
                    Expr::Relation(..) | Expr::Group(..) => self.pieces(item),
                    _ => None,
                });
                let parts = parts.collect::<Option<Vec<_>>>()?;
                let is_disjunction =
                    *joint == Joint::Or || items.iter().all(|item| matches!(item, Expr::Group(..)));
                if is_disjunction {
                    return Some(parts.into_iter().flatten().collect());
                }
                parts.into_iter().try_fold(vec![everything()], |all, part| self.intersection(&all, &part))
            }
            _ => None,
        }
    }

    /// What a chain of inequalities says of its only unknown.
    fn solutions(&self, sides: &[Expr], signs: &[Sign]) -> Option<Vec<Piece>> {
        if signs.contains(&Sign::In) || signs.contains(&Sign::Approximate) {
            return None;
        }
        let mut all = vec![everything()];
        let mut name: Option<String> = None;
        for (pair, sign) in sides.windows(2).zip(signs) {
            let (unknown, pieces) = self.solved(&pair[0], &pair[1], *sign)?;
            if name.as_ref().is_some_and(|known| *known != unknown) {
                return None;
            }
            name = Some(unknown);
            all = self.intersection(&all, &pieces)?;
        }
        Some(all)
    }

    /// One relation solved for the only unknown in it.
    fn solved(&self, left: &Expr, right: &Expr, sign: Sign) -> Option<(String, Vec<Piece>)> {
        let (left, right) = (as_unknown(left), as_unknown(right));
        if let Some((inner, bound, sign)) = absolute(&left, &right, sign) {
            return Some((inner, within(&bound, sign)?));
        }
        let mut names = left.symbols();
        names.extend(right.symbols());
        names.sort();
        names.dedup();
        let [name] = names.as_slice() else { return None };
        if let (Expr::Symbol(_), true) = (&left, right.symbols().is_empty()) {
            return Some((name.clone(), bounded(&right, sign)));
        }
        if let (Expr::Symbol(_), true) = (&right, left.symbols().is_empty()) {
            return Some((name.clone(), bounded(&left, sign.flipped())));
        }
        let mut algebra = Algebra::new(self.budget);
        let gap = algebra.convert(&left.clone().minus(right.clone()))?;
        if !gap.under.is_one() {
            return None;
        }
        let (factor, rest) = algebra.linear_in(name, &gap)?;
        let (factor, rest) = (factor.as_rational()?, rest.as_rational()?);
        let bound = Expr::rational(-rest / &factor);
        let sign = if num_traits::Signed::is_negative(&factor) { sign.flipped() } else { sign };
        Some((name.clone(), bounded(&bound, sign)))
    }

    fn without_point(&self, pieces: Vec<Piece>, at: &Expr) -> Option<Vec<Piece>> {
        let others = bounded(at, Sign::NotEqual);
        self.intersection(&pieces, &others)
    }

    fn intersection(&self, a: &[Piece], b: &[Piece]) -> Option<Vec<Piece>> {
        if a.len() * b.len() > MAX_PIECES * 2 {
            return None;
        }
        let mut result = Vec::new();
        for x in a {
            for y in b {
                let low = self.inner(&x.low, &y.low, Ordering::Greater)?;
                let high = self.inner(&x.high, &y.high, Ordering::Less)?;
                if !self.is_empty(&low, &high)? {
                    result.push(Piece { low, high });
                }
            }
        }
        Some(result)
    }

    /// Of two ends on the same side, the one further in.
    fn inner(&self, a: &End, b: &End, wanted: Ordering) -> Option<End> {
        let order = self.order(&a.at, &b.at)?;
        Some(if order == Ordering::Equal {
            End { at: a.at.clone(), is_closed: a.is_closed && b.is_closed }
        } else if order == wanted {
            a.clone()
        } else {
            b.clone()
        })
    }

    fn is_empty(&self, low: &End, high: &End) -> Option<bool> {
        Some(match self.order(&low.at, &high.at)? {
            Ordering::Less => false,
            Ordering::Greater => true,
            Ordering::Equal => !(low.is_closed && high.is_closed),
        })
    }

    /// The order of two numbers, where it is sure.
    fn order(&self, a: &Expr, b: &Expr) -> Option<Ordering> {
        let (left, right) = (a.infinity(), b.infinity());
        if left.is_some() || right.is_some() {
            return Some(left.unwrap_or(0).cmp(&right.unwrap_or(0)));
        }
        if let (Some(x), Some(y)) = (a.as_rational(), b.as_rational()) {
            return Some(x.cmp(y));
        }
        if !a.symbols().is_empty() || !b.symbols().is_empty() {
            return (a == b).then_some(Ordering::Equal);
        }
        match self.proven(a, b).outcome {
            Outcome::Equal => Some(Ordering::Equal),
            _ => crate::evaluate::sign_of(&a.clone().minus(b.clone()), self.budget),
        }
    }

    /// The pieces in order, those that touch joined, empty ones gone.
    fn merged(&self, pieces: Vec<Piece>) -> Option<Vec<Piece>> {
        if pieces.len() > MAX_PIECES {
            return None;
        }
        let mut sorted: Vec<Piece> = Vec::new();
        for piece in pieces {
            // A tuple that is no interval, such as (3, 1), is not empty but something else.
            if self.is_empty(&piece.low, &piece.high)? {
                return None;
            }
            let mut place = sorted.len();
            while place > 0 && self.order(&piece.low.at, &sorted[place - 1].low.at)? == Ordering::Less {
                place -= 1;
            }
            sorted.insert(place, piece);
        }
        let mut merged: Vec<Piece> = Vec::new();
        for piece in sorted {
            let Some(last) = merged.last_mut() else {
                merged.push(piece);
                continue;
            };
            let touches = match self.order(&last.high.at, &piece.low.at)? {
                Ordering::Greater => true,
                Ordering::Equal => last.high.is_closed || piece.low.is_closed,
                Ordering::Less => false,
            };
            if !touches {
                merged.push(piece);
                continue;
            }
            if self.order(&last.low.at, &piece.low.at)? == Ordering::Equal {
                last.low.is_closed |= piece.low.is_closed;
            }
            match self.order(&last.high.at, &piece.high.at)? {
                Ordering::Less => last.high = piece.high,
                Ordering::Equal => last.high.is_closed |= piece.high.is_closed,
                Ordering::Greater => {}
            }
        }
        Some(merged)
    }
}

/// Whether both are descriptions by inequalities.
fn are_described(a: &Expr, b: &Expr) -> bool {
    let is_described = |expr: &Expr| expr.any(&|part| matches!(part, Expr::Relation(..)));
    is_described(a) && is_described(b)
}

/// The values of functions in descriptions by inequalities: `f(1) < 3` says nothing of `f(2)`.
fn applications(expr: &Expr) -> Vec<&Expr> {
    let mut found = match expr {
        Expr::Apply(..) => vec![expr],
        _ => Vec::new(),
    };
    for inner in expr.children().into_iter().flat_map(applications) {
        if !found.contains(&inner) {
            found.push(inner);
        }
    }
    found
}

/// A name of what is bounded, `f(x)` or `AB`, as one unknown.
fn as_unknown(expr: &Expr) -> Expr {
    match expr {
        Expr::Symbol(_) | Expr::Number(_) => expr.clone(),
        Expr::Apply(name, _) => Expr::Symbol(format!("{name}()")),
        _ => expr.clone(),
    }
}

/// `|x| < b`, from either side: the unknown, the bound, the sign seen from the unknown.
fn absolute(left: &Expr, right: &Expr, sign: Sign) -> Option<(String, Expr, Sign)> {
    let inner = |expr: &Expr| match expr {
        Expr::Call(Function::Abs, arguments) => match arguments.as_slice() {
            [Expr::Symbol(name)] => Some(name.clone()),
            _ => None,
        },
        _ => None,
    };
    let is_bound = |expr: &Expr| expr.as_rational().is_some_and(num_traits::Signed::is_positive);
    match (inner(left), inner(right)) {
        (Some(name), None) if is_bound(right) => Some((name, right.clone(), sign)),
        (None, Some(name)) if is_bound(left) => Some((name, left.clone(), sign.flipped())),
        _ => None,
    }
}

/// The numbers whose magnitude is in this relation to a positive bound.
fn within(bound: &Expr, sign: Sign) -> Option<Vec<Piece>> {
    let negative = bound.clone().negated();
    let is_closed = matches!(sign, Sign::LessEqual | Sign::GreaterEqual);
    let end = |at: &Expr| End { at: at.clone(), is_closed };
    match sign {
        Sign::Less | Sign::LessEqual => Some(vec![Piece { low: end(&negative), high: end(bound) }]),
        Sign::Greater | Sign::GreaterEqual => Some(vec![
            Piece { low: infinite(-1), high: end(&negative) },
            Piece { low: end(bound), high: infinite(1) },
        ]),
        _ => None,
    }
}

/// The numbers in this relation to a bound.
fn bounded(bound: &Expr, sign: Sign) -> Vec<Piece> {
    let end = |is_closed| End { at: bound.clone(), is_closed };
    match sign {
        Sign::Less | Sign::LessEqual => vec![Piece { low: infinite(-1), high: end(sign == Sign::LessEqual) }],
        Sign::Greater | Sign::GreaterEqual => {
            vec![Piece { low: end(sign == Sign::GreaterEqual), high: infinite(1) }]
        }
        Sign::NotEqual => {
            vec![Piece { low: infinite(-1), high: end(false) }, Piece { low: end(false), high: infinite(1) }]
        }
        _ => vec![single(bound)],
    }
}

fn single(at: &Expr) -> Piece {
    let end = End { at: at.clone(), is_closed: true };
    Piece { low: end.clone(), high: end }
}

fn everything() -> Piece {
    Piece { low: infinite(-1), high: infinite(1) }
}

fn infinite(sign: i64) -> End {
    let infinity = Expr::Constant(Constant::Infinity);
    let at = if sign < 0 { infinity.negated() } else { infinity };
    End { at, is_closed: false }
}
