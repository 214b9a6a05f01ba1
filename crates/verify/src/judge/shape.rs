//! The shape of an answer: signs expanded, approximations dropped, labels taken off.

use crate::expr::{Bracket, Expr, Function, Joint, Sign};
use crate::judge::matrix;

/// Most answers that `±` may stand for.
const MAX_SIGNS: usize = 16;

/// `expr` with every `±` expanded into a list, matrices worked out, approximations dropped, lists flattened.
pub(super) fn shaped(expr: &Expr) -> Expr {
    let expr = without_approximation(expr);
    match &expr {
        Expr::List(items, joint) => flattened(items, |items| Expr::List(items, *joint)),
        Expr::Set(items) => flattened(items, Expr::Set),
        Expr::Union(parts) => Expr::Union(parts.iter().map(shaped).collect()),
        Expr::Relation(sides, signs) => match (sides.as_slice(), signs.as_slice()) {
            ([label, set], [Sign::In]) if is_label(label) => shaped(set),
            _ => with_signs(&matrix::folded(&expr)),
        },
        _ => with_signs(&matrix::folded(&expr)),
    }
}

/// `(x, y) = (2, 3)` as `x = 2, y = 3`, where the other answer is written in that way.
pub(super) fn by_name(expr: &Expr, other: &Expr) -> Expr {
    let is_of_relations = |expr: &Expr| match expr {
        Expr::List(items, _) => items.iter().all(|item| matches!(item, Expr::Relation(..))),
        _ => false,
    };
    let Expr::Relation(sides, _) = expr else { return expr.clone() };
    match sides.as_slice() {
        [Expr::Group(_, names, _), Expr::Group(_, values, _)]
            if names.len() == values.len() && is_of_relations(other) =>
        {
            let equation = |(name, value): (&Expr, &Expr)| {
                Expr::Relation(vec![name.clone(), value.clone()], vec![Sign::Equal])
            };
            Expr::List(names.iter().zip(values).map(equation).collect(), Joint::And)
        }
        _ => expr.clone(),
    }
}

fn flattened(items: &[Expr], rebuild: impl Fn(Vec<Expr>) -> Expr) -> Expr {
    let mut flat = Vec::new();
    for item in items {
        match shaped(item) {
            Expr::List(inner, _) => flat.extend(inner),
            item => flat.push(item),
        }
    }
    rebuild(flat)
}

/// Both answers of `±`, all its occurrences having the same sign.
fn with_signs(expr: &Expr) -> Expr {
    if !expr.any(&|part| matches!(part, Expr::PlusMinus(..))) {
        return expr.clone();
    }
    let count = count_signs(expr);
    if count > MAX_SIGNS {
        return expr.clone();
    }
    Expr::List([true, false].iter().map(|upper| signed(expr, *upper)).collect(), Joint::Or)
}

fn count_signs(expr: &Expr) -> usize {
    usize::from(matches!(expr, Expr::PlusMinus(..)))
        + expr.children().into_iter().map(count_signs).sum::<usize>()
}

fn signed(expr: &Expr, upper: bool) -> Expr {
    match expr {
        Expr::PlusMinus(own, inner) => {
            let inner = signed(inner, upper);
            if *own == upper { inner } else { inner.negated() }
        }
        other => other.map(&mut |child| signed(child, upper)),
    }
}

/// `x = 1/3 ≈ 0.33` as `x = 1/3`; `x ≈ 11` as `x = 11`.
fn without_approximation(expr: &Expr) -> Expr {
    let Expr::Relation(sides, signs) = expr else { return expr.clone() };
    let Some(first) = signs.iter().position(|sign| *sign == Sign::Approximate) else { return expr.clone() };
    if first == 0 && is_label(&sides[0]) {
        return Expr::Relation(vec![sides[0].clone(), sides[1].clone()], vec![Sign::Equal]);
    }
    if first == 0 {
        return sides[0].clone();
    }
    Expr::Relation(sides[..=first].to_vec(), signs[..first].to_vec())
}

/// Whether `expr` only names what an answer is the value of: `x`, `f(x)`, `|AB|`, `(p, q)`, `A:B`.
pub(super) fn is_label(expr: &Expr) -> bool {
    match expr {
        Expr::Symbol(_) | Expr::Apply(..) => true,
        Expr::Call(Function::Abs, inner) => inner.iter().all(is_label),
        Expr::Group(_, items, _) | Expr::Ratio(items) => items.iter().all(is_label),
        Expr::Product(factors) => factors.iter().all(is_segment),
        _ => false,
    }
}

/// A letter of the name of a segment, or one over another.
fn is_segment(expr: &Expr) -> bool {
    match expr {
        Expr::Symbol(name) => name.starts_with(char::is_uppercase),
        Expr::Power(base, exponent) => {
            let is_over = exponent.as_small_integer() == Some(-1);
            is_over && (is_segment(base) || is_label(base))
        }
        _ => false,
    }
}

/// Both answers with labels taken off where only one of them has any: `x = 3` and `3`.
pub(super) fn without_labels(gold: Expr, answer: Expr) -> (Expr, Expr) {
    let (gold, answer) = (with_short_chains(&gold), with_short_chains(&answer));
    match (has_relation(&gold), has_relation(&answer)) {
        (true, false) => (unlabelled(&gold), answer),
        (false, true) => {
            let answer = unlabelled(&answer);
            (gold, answer)
        }
        (true, true) => match (partly_labelled(&gold), partly_labelled(&answer)) {
            (false, false) => (gold, answer),
            _ => (unlabelled(&gold), unlabelled(&answer)),
        },
        (false, false) => (gold, answer),
    }
}

fn has_relation(expr: &Expr) -> bool {
    match expr {
        Expr::Relation(..) => true,
        Expr::List(items, _) => items.iter().any(has_relation),
        _ => false,
    }
}

/// `n = 1, 2, 3`: the label of the first stands for all.
fn partly_labelled(expr: &Expr) -> bool {
    match expr {
        Expr::List(items, _) => items.iter().any(has_relation) && !items.iter().all(has_relation),
        _ => false,
    }
}

fn unlabelled(expr: &Expr) -> Expr {
    match expr {
        Expr::Relation(sides, signs) if super::is_equation(signs) && is_label(&sides[0]) => {
            sides.last().cloned().unwrap_or_else(|| expr.clone())
        }
        Expr::Relation(sides, signs)
            if super::is_equation(signs) && sides.len() == 2 && is_label(&sides[1]) =>
        {
            if matches!(sides[1], Expr::Symbol(_)) { sides[0].clone() } else { expr.clone() }
        }
        Expr::List(items, joint) => match tuples(items) {
            Some(tuples) => Expr::List(tuples, *joint),
            None => flattened(&items.iter().map(unlabelled).collect::<Vec<_>>(), |items| {
                Expr::List(items, *joint)
            }),
        },
        other => other.clone(),
    }
}

/// `p = 5, q = 2, p = 7, q = 2` as `(5, 2), (7, 2)`.
fn tuples(items: &[Expr]) -> Option<Vec<Expr>> {
    let parts = items.iter().map(|item| match item {
        Expr::Relation(sides, signs) if super::is_equation(signs) && sides.len() == 2 => match &sides[0] {
            Expr::Symbol(name) => Some((name, &sides[1])),
            _ => None,
        },
        _ => None,
    });
    let parts = parts.collect::<Option<Vec<_>>>()?;
    let first = parts.first()?.0;
    let width = 1 + parts.iter().skip(1).position(|(name, _)| *name == first)?;
    let is_periodic = parts.len() % width == 0
        && parts.iter().enumerate().all(|(i, (name, _))| *name == parts[i % width].0);
    if width == 1 || !is_periodic {
        return None;
    }
    let tuple = |row: &[(&String, &Expr)]| {
        let values = row.iter().map(|(_, value)| (*value).clone()).collect();
        Expr::Group(Bracket::Round, values, Bracket::Round)
    };
    Some(parts.chunks(width).map(tuple).collect())
}

/// `x = 2 + 3 = 5` as `x = 5`: working ends with its result.
fn with_short_chains(expr: &Expr) -> Expr {
    match expr {
        Expr::Relation(sides, signs)
            if sides.len() > 2
                && super::is_equation(signs)
                && is_label(&sides[0])
                && sides.last().is_some_and(|last| !is_label(last)) =>
        {
            let ends = sides.last().map_or_else(Vec::new, |last| vec![sides[0].clone(), last.clone()]);
            Expr::Relation(ends, vec![Sign::Equal])
        }
        Expr::List(items, joint) => Expr::List(items.iter().map(with_short_chains).collect(), *joint),
        other => other.clone(),
    }
}
