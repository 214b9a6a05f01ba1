//! Sums and products over a range: written out where the range is one of numbers, else kept whole.
//!
//! One that is kept is a function of its ends and its term, under a name that no letter has; its index is renamed, so that
//! `\sum_{k=1}^n k^2` and `\sum_{j=1}^n j^2` are the same.

use super::Parser;
use crate::expr::{Constant, Expr, Sign};

/// Most terms that are written out, and most parts of all of them.
const MAX_TERMS: i64 = 200;
const MAX_PARTS: usize = 1500;

/// Names of a sum and a product that are kept whole.
const NAMES: [&str; 2] = ["∑", "∏"];

impl Parser<'_> {
    /// `_{k=1}^{n} a_k`, whose command is taken.
    pub(super) fn series(&mut self, is_sum: bool) -> Option<Expr> {
        let (mut low, mut high) = (None, None);
        for _ in 0..2 {
            self.skip_spaces();
            if self.take("_") {
                low = Some(self.argument()?);
            } else if self.take("^") {
                high = Some(self.argument()?);
            }
        }
        let Expr::Relation(sides, signs) = low? else { return None };
        let ([name, low], [Sign::Equal]) = (sides.as_slice(), signs.as_slice()) else { return None };
        let (name, low) = (index_name(name)?, low.clone());
        let term = self.product()?;
        let high = high?;
        let series = match (low.as_small_integer(), high.as_small_integer()) {
            (Some(from), Some(to)) => written_out(is_sum, name, from, to, &term),
            _ => kept(is_sum, name, low, high, &term),
        };
        let series = series?;
        self.charge(&series)?;
        Some(series)
    }
}

/// The name of an index; `i` and `e` are letters here.
fn index_name(expr: &Expr) -> Option<&str> {
    match expr {
        Expr::Symbol(name) => Some(name),
        Expr::Constant(Constant::I) => Some("i"),
        _ => None,
    }
}

fn written_out(is_sum: bool, name: &str, from: i64, to: i64, term: &Expr) -> Option<Expr> {
    let n_terms = to.checked_sub(from)?.checked_add(1).filter(|n| (0..=MAX_TERMS).contains(n))?;
    if term.n_parts().saturating_mul(usize::try_from(n_terms).ok()?) > MAX_PARTS {
        return None;
    }
    let terms = (from..=to).map(|value| with_index(term, name, &Expr::integer(value)));
    let mut terms = terms.collect::<Option<Vec<_>>>()?;
    match (terms.len(), is_sum) {
        (0, is_sum) => Some(Expr::integer(if is_sum { 0 } else { 1 })),
        (1, _) => terms.pop(),
        (_, true) => Some(Expr::Sum(terms)),
        (_, false) => Some(Expr::Product(terms)),
    }
}

fn kept(is_sum: bool, name: &str, low: Expr, high: Expr, term: &Expr) -> Option<Expr> {
    let high = if high.infinity() == Some(1) { Expr::symbol("∞") } else { high };
    if [&low, &high].iter().any(|end| mentions(end, name) || end.infinity().is_some()) {
        return None;
    }
    let kind = NAMES[usize::from(!is_sum)];
    // The index of each series inside has a name of its own.
    let canonical = format!("index {}", count(term));
    Some(match with_index(term, name, &Expr::Symbol(canonical)) {
        Some(term) => Expr::Apply(kind.to_owned(), vec![low, high, term]),
        None => Expr::Apply(format!("{kind} {name}"), vec![low, high, term.clone()]),
    })
}

/// How many series stand in `expr`.
fn count(expr: &Expr) -> usize {
    let is_one = matches!(expr, Expr::Apply(name, _) if NAMES.iter().any(|kind| name.starts_with(kind)));
    usize::from(is_one) + expr.children().into_iter().map(count).sum::<usize>()
}

/// `expr` at a value of its index; none where the index stands in a subscript, or is the name of a function.
fn with_index(expr: &Expr, name: &str, value: &Expr) -> Option<Expr> {
    let is_index = |expr: &Expr| index_name(expr) == Some(name);
    let hides_index = |part: &Expr| match part {
        Expr::Symbol(own) | Expr::Apply(own, _) => {
            own != name && own.contains(name) || matches!(part, Expr::Apply(..)) && own == name
        }
        _ => false,
    };
    if expr.any(&hides_index) {
        return None;
    }
    fn replaced(expr: &Expr, is_index: &impl Fn(&Expr) -> bool, value: &Expr) -> Expr {
        if is_index(expr) { value.clone() } else { expr.map(&mut |child| replaced(child, is_index, value)) }
    }
    Some(replaced(expr, &is_index, value))
}

fn mentions(expr: &Expr, name: &str) -> bool {
    expr.any(&|part| index_name(part) == Some(name))
}
