//! Equations and inequalities up to equivalent form.
//!
//! A relation is brought to `f = 0`, `f < 0` or `f <= 0` with one side. Two are the same when their `f` are
//! the same up to a factor that changes nothing: any number but zero for an equation, a positive one for an
//! inequality. A factor with variables in it is not such a factor: `x^2 = x` is not `x = 1`.
//!
//! Statements about numbers only, such as `2 + 2 = 4`, are compared side by side, since all true ones would
//! be equivalent. An equation is told apart by a point on one and not on the other, found by solving for a
//! variable in which it is linear.

use num_rational::BigRational;
use num_traits::Signed;

use super::scalar::is_complex;
use super::{Decision, Judge};
use crate::algebra::{Algebra, Quotient};
use crate::ball::Ball;
use crate::compare::Outcome;
use crate::complex::Complex;
use crate::evaluate::Point;
use crate::expr::{Expr, Joint, Sign};

/// Points tried to tell equations apart.
const TRIES: usize = 24;

/// Working precision of points on an equation, in bits.
const BITS: u32 = 192;

/// One relation with everything on one side.
struct Statement {
    left: Expr,
    right: Expr,
    sign: Sign,
}

impl Judge<'_> {
    pub(super) fn relations(&self, a: &Expr, b: &Expr) -> Decision {
        let (Some(x), Some(y)) = (statements(a), statements(b)) else { return self.sides(a, b) };
        if a.symbols().is_empty() || b.symbols().is_empty() {
            return self.chains(a, b);
        }
        if x.len() != y.len() {
            return self.by_intervals(a, b).unwrap_or_else(|| Decision::different("relation"));
        }
        let direct = self.all_matched(&x, &y);
        if direct.is_equal() || x.len() == 1 && is_equality(&x[0]) && is_equality(&y[0]) {
            return direct;
        }
        self.by_intervals(a, b).unwrap_or(direct)
    }

    /// Whether an equation is a list of equations multiplied: `x^2 = 4` and `x = 2 or x = -2`.
    pub(super) fn is_solved_by(&self, equation: &Expr, items: &[Expr]) -> bool {
        let factors = items.iter().map(|item| match item {
            Expr::Relation(sides, signs) => match (sides.as_slice(), signs.as_slice()) {
                ([left, right], [Sign::Equal]) if left.is_scalar() && right.is_scalar() => {
                    Some(left.clone().minus(right.clone()))
                }
                _ => None,
            },
            _ => None,
        });
        let Some(factors) = factors.collect::<Option<Vec<_>>>() else { return false };
        let product = Statement { left: Expr::Product(factors), right: Expr::integer(0), sign: Sign::Equal };
        match statements(equation).as_deref() {
            Some([own]) if own.sign == Sign::Equal && own.left.is_scalar() && own.right.is_scalar() => {
                own.left.symbols().len() <= 1 && self.zeros(own, &product).is_equal()
            }
            _ => false,
        }
    }

    /// A statement is not a value; but it may be working that ends with one.
    pub(super) fn relation_and_scalar(&self, sides: &[Expr], scalar: &Expr) -> Decision {
        let is_none = sides.iter().all(|side| self.compare(side, scalar).is_different());
        if is_none { Decision::different("relation") } else { Decision::unknown("relation") }
    }

    /// Statements of one in any order against those of the other.
    fn all_matched(&self, a: &[Statement], b: &[Statement]) -> Decision {
        let mut left: Vec<&Statement> = b.iter().collect();
        let mut verdict = Decision::equal("relation");
        for statement in a {
            let decisions: Vec<Decision> =
                left.iter().map(|other| self.statements(statement, other)).collect();
            if let Some(found) = decisions.iter().position(Decision::is_equal) {
                left.remove(found);
                continue;
            }
            match decisions.into_iter().find(|decision| !decision.is_different()) {
                Some(unknown) => verdict = unknown,
                None => return Decision::different("relation"),
            }
        }
        verdict
    }

    /// Relations between collections: the sides in order.
    fn sides(&self, a: &Expr, b: &Expr) -> Decision {
        let (Expr::Relation(x, s), Expr::Relation(y, t)) = (a, b) else {
            return Decision::unknown("relation");
        };
        if s != t || x.len() != y.len() {
            return Decision::unknown("relation");
        }
        self.all(x.iter().zip(y).map(|(x, y)| self.compare(x, y)), "relation")
    }

    /// Statements about numbers: the same sides, in either direction.
    fn chains(&self, a: &Expr, b: &Expr) -> Decision {
        let (Expr::Relation(x, s), Expr::Relation(y, t)) = (a, b) else {
            return Decision::unknown("relation");
        };
        if a.symbols() != b.symbols() || x.len() != y.len() {
            return Decision::different("relation");
        }
        let reversed: Vec<&Expr> = y.iter().rev().collect();
        let flipped: Vec<Sign> = t.iter().rev().map(|sign| sign.flipped()).collect();
        let straight = || self.all(x.iter().zip(y).map(|(x, y)| self.compare(x, y)), "relation");
        let backward = || self.all(x.iter().zip(&reversed).map(|(x, y)| self.compare(x, y)), "relation");
        match (s == t, *s == flipped) {
            (true, true) => {
                let first = straight();
                if first.is_equal() { first } else { backward() }
            }
            (true, false) => straight(),
            (false, true) => backward(),
            (false, false) => Decision::different("relation"),
        }
    }

    fn statements(&self, a: &Statement, b: &Statement) -> Decision {
        if self.budget.is_spent() {
            return Decision::unknown("budget");
        }
        let is_strict = |sign| matches!(sign, Sign::Less | Sign::Greater);
        let kind = |sign| match sign {
            Sign::Equal | Sign::NotEqual => sign,
            sign if is_strict(sign) => Sign::Less,
            _ => Sign::LessEqual,
        };
        if kind(a.sign) != kind(b.sign) {
            return Decision::different("relation");
        }
        if a.left.is_scalar() && a.right.is_scalar() && b.left.is_scalar() && b.right.is_scalar() {
            return self.zeros(a, b);
        }
        self.by_sides(a, b)
    }

    /// The sides of two relations, in either direction.
    fn by_sides(&self, a: &Statement, b: &Statement) -> Decision {
        let both = |x: &Expr, y: &Expr| {
            let sides = [(&a.left, x), (&a.right, y)];
            self.all(sides.into_iter().map(|(own, other)| self.compare(own, other)), "relation")
        };
        let straight = (a.sign == b.sign).then(|| both(&b.left, &b.right));
        let backward = || (a.sign == b.sign.flipped()).then(|| both(&b.right, &b.left));
        match straight {
            Some(first) if first.is_equal() => first,
            first => match (first, backward()) {
                (_, Some(second)) if second.is_equal() => second,
                (Some(first), _) => first,
                (None, second) => second.unwrap_or_else(|| Decision::different("relation")),
            },
        }
    }

    /// Two relations of scalars, by `f = left - right`.
    fn zeros(&self, a: &Statement, b: &Statement) -> Decision {
        let mut algebra = Algebra::new(self.budget);
        let forms = (one_side(&mut algebra, a), one_side(&mut algebra, b));
        let is_equality = is_equality(a);
        if let (Some(x), Some(y)) = &forms {
            match (x.over.is_zero(), y.over.is_zero()) {
                (true, true) => {
                    let is_same = a.left.symbols() == b.left.symbols();
                    return if is_same {
                        Decision::equal("relation")
                    } else {
                        Decision::different("relation")
                    };
                }
                (false, false) => {}
                _ => return Decision::different("relation"),
            }
            if x.as_rational().is_some() && y.as_rational().is_some() {
                // Contradictions, which hold nowhere, are the same only side by side.
                return self.by_sides(a, b);
            }
            if is_equality {
                if algebra.ratio(x, y).is_some() {
                    return Decision::equal("relation");
                }
            } else if self.is_positive_multiple(&mut algebra, x, y) {
                return Decision::equal("relation");
            }
        }
        if !is_equality {
            return self.inequalities(a, b);
        }
        match forms {
            (Some(x), Some(y)) => self.equations(&mut algebra, a, b, &x, &y),
            _ => Decision::unknown("relation"),
        }
    }

    /// Whether `y` is `x` times a positive number.
    fn is_positive_multiple(&self, algebra: &mut Algebra<'_>, x: &Quotient, y: &Quotient) -> bool {
        let (Some(a), Some(b)) = (x.over.leading(), y.over.leading()) else { return false };
        // The unknown of both is found in the last term; equal quotients need no more.
        let factor = b / a;
        if !factor.is_positive() {
            return false;
        }
        let scaled = algebra.times(x, &Quotient::constant(factor));
        scaled.is_some_and(|scaled| algebra.equal(&scaled, y) == Some(true))
    }

    /// Inequalities that are not multiples: apart at a point where one holds and the other does not.
    fn inequalities(&self, a: &Statement, b: &Statement) -> Decision {
        let names = names_of(a, b);
        for index in 0..TRIES * 2 {
            let Some(values) = self.point(&names, index) else { break };
            if let (Some(x), Some(y)) = (self.holds(a, &values), self.holds(b, &values))
                && x != y
            {
                let at = values
                    .iter()
                    .map(|(name, value)| format!("{name} = {value}"))
                    .collect::<Vec<_>>()
                    .join(", ");
                return Decision::different("point").with(format!("at {at}: {x} and {y}"));
            }
        }
        Decision::unknown("relation")
    }

    /// Whether inequalities hold together at a point, where that is sure.
    pub(super) fn is_met(&self, condition: &Expr, at: &Point<'_>) -> Option<bool> {
        let statements = match condition {
            Expr::List(items, Joint::Comma | Joint::And) => {
                items.iter().map(statements).collect::<Option<Vec<_>>>()?.into_iter().flatten().collect()
            }
            condition => statements(condition)?,
        };
        let is_inequality = |statement: &Statement| !is_equality(statement);
        let are_met = statements
            .iter()
            .map(|statement| is_inequality(statement).then(|| self.holds(statement, at.values)).flatten());
        Some(are_met.collect::<Option<Vec<_>>>()?.into_iter().all(|is_met| is_met))
    }

    /// Whether a relation holds at a point, where that is sure.
    fn holds(&self, statement: &Statement, values: &[(String, BigRational)]) -> Option<bool> {
        let point = Point { values, computed: None, is_complex: false, bits: BITS, budget: self.budget };
        let gap =
            point.value(&statement.left)?.real()?.minus(&point.value(&statement.right)?.real()?, BITS)?;
        if gap.is_zero() {
            return Some(matches!(statement.sign, Sign::LessEqual | Sign::GreaterEqual));
        }
        let is_less = gap.sign()? == std::cmp::Ordering::Less;
        Some(match statement.sign {
            Sign::Less | Sign::LessEqual => is_less,
            _ => !is_less,
        })
    }

    /// Equations whose forms are not multiples.
    fn equations(
        &self,
        algebra: &mut Algebra<'_>,
        a: &Statement,
        b: &Statement,
        x: &Quotient,
        y: &Quotient,
    ) -> Decision {
        let names = names_of(a, b);
        for (form, own, other) in [(x, a, b), (y, b, a)] {
            for name in &names {
                if algebra.linear_in(name, form).is_none() {
                    continue;
                }
                let decision = self.on_solution(&names, name, own, other);
                if decision.outcome != Outcome::Unknown {
                    return decision;
                }
            }
        }
        if algebra.is_free(x) && algebra.is_free(y) {
            return Decision::different("relation");
        }
        Decision::unknown("relation")
    }

    /// Whether `other` fails where `own`, which is linear in `name`, holds.
    fn on_solution(&self, names: &[String], name: &str, own: &Statement, other: &Statement) -> Decision {
        let gap = own.left.clone().minus(own.right.clone());
        let test = other.left.clone().minus(other.right.clone());
        let is_complex = is_complex(&gap) || is_complex(&test);
        for index in 0..TRIES {
            let Some(values) = self.point(names, index) else { break };
            let at =
                |computed| Point { values: &values, computed, is_complex, bits: BITS, budget: self.budget };
            // The zero of a linear function is found from its values at 0 and 1.
            let value_at = |x: i64| at(Some((name, Complex::from(Ball::integer(x))))).value(&gap);
            let solved = (|| {
                let (zero, one) = (value_at(0)?, value_at(1)?);
                let slope = one.minus(&zero, BITS)?;
                let solution = zero.negated().times(&slope.inverse(BITS)?, BITS)?;
                at(Some((name, solution))).value(&test)
            })();
            if solved.is_some_and(|value| value.is_nonzero()) {
                let at = values
                    .iter()
                    .filter(|(known, _)| known != name)
                    .map(|(name, value)| format!("{name} = {value}"));
                let at = at.collect::<Vec<_>>().join(", ");
                return Decision::different("point")
                    .with(format!("one holds and the other does not at {at}"));
            }
        }
        Decision::unknown("relation")
    }
}

/// The variables of both, sorted, each once.
fn names_of(a: &Statement, b: &Statement) -> Vec<String> {
    let sides = [&a.left, &a.right, &b.left, &b.right];
    let mut names: Vec<String> = sides.iter().flat_map(|side| side.symbols()).collect();
    names.sort();
    names.dedup();
    names
}

fn is_equality(statement: &Statement) -> bool {
    matches!(statement.sign, Sign::Equal | Sign::NotEqual)
}

/// `left - right`, or the other way round for `>`; equations without their denominators.
fn one_side(algebra: &mut Algebra<'_>, statement: &Statement) -> Option<Quotient> {
    let (left, right) = (algebra.convert(&statement.left)?, algebra.convert(&statement.right)?);
    match statement.sign {
        Sign::Greater | Sign::GreaterEqual => algebra.minus(&right, &left),
        _ => algebra.minus(&left, &right),
    }
}

/// The relations between neighbours of a chain; none when a sign is not one of comparison.
fn statements(relation: &Expr) -> Option<Vec<Statement>> {
    let Expr::Relation(sides, signs) = relation else { return None };
    if signs.iter().any(|sign| matches!(sign, Sign::In | Sign::Approximate)) {
        return None;
    }
    let pairs = sides.windows(2).zip(signs);
    Some(pairs.map(|(pair, sign)| statement(&pair[0], &pair[1], *sign)).collect())
}

/// One relation. `x = \sin^{-1} y` is read as the inverse relation, `\sin x = y`, as in school books.
fn statement(left: &Expr, right: &Expr, sign: Sign) -> Statement {
    let inverted = |name: &Expr, value: &Expr| match value {
        Expr::Call(function, arguments) if sign == Sign::Equal && matches!(name, Expr::Symbol(_)) => {
            let direct = function.inverse_of()?;
            Some((Expr::call(direct, name.clone()), arguments.first()?.clone()))
        }
        _ => None,
    };
    match inverted(left, right).or_else(|| inverted(right, left)) {
        Some((left, right)) => Statement { left, right, sign },
        None => Statement { left: left.clone(), right: right.clone(), sign },
    }
}
