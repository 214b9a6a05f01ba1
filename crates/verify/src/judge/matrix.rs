//! Matrices: sums, products, transposes and determinants worked out; comparison entry by entry.

use super::{Decision, Judge};
use crate::expr::{Expr, Function};

/// Largest determinant that is worked out.
const MAX_DETERMINANT: usize = 5;

/// Most parts of an expression that matrices are worked out in: each product of matrices doubles their entries.
const MAX_PARTS: usize = 2000;

type Rows = Vec<Vec<Expr>>;

impl Judge<'_> {
    pub(super) fn matrices(&self, a: &[Vec<Expr>], b: &[Vec<Expr>]) -> Decision {
        let is_same_size = a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.len() == y.len());
        if !is_same_size {
            return Decision::different("matrix");
        }
        let entries = a.iter().flatten().zip(b.iter().flatten());
        self.all(entries.map(|(x, y)| self.compare(x, y)), "matrix")
    }
}

/// The entries of a matrix of one row or one column.
pub(super) fn vector(rows: &[Vec<Expr>]) -> Option<Vec<Expr>> {
    let is_vector = rows.len() == 1 || rows.iter().all(|row| row.len() == 1);
    is_vector.then(|| rows.iter().flatten().cloned().collect())
}

/// `expr` with its arithmetic of matrices worked out.
pub(super) fn folded(expr: &Expr) -> Expr {
    if !expr.any(&|part| matches!(part, Expr::Matrix(_))) {
        return expr.clone();
    }
    let expr = expr.map(&mut |child| folded(child));
    if !is_handy(&expr) {
        return expr;
    }
    let result = match &expr {
        Expr::Sum(terms) => fold(terms, |sum, term| match (sum, term) {
            (Expr::Matrix(a), Expr::Matrix(b)) => sum_of(a, b).map(Expr::Matrix),
            _ => None,
        }),
        Expr::Product(factors) => fold(factors, |product, factor| match (product, factor) {
            (Expr::Matrix(a), Expr::Matrix(b)) => product_of(a, b).map(Expr::Matrix),
            (Expr::Matrix(a), scalar) | (scalar, Expr::Matrix(a)) if scalar.is_scalar() => {
                Some(Expr::Matrix(scaled(a, scalar)))
            }
            (a, b) if a.is_scalar() && b.is_scalar() => Some(a.clone().times(b.clone())),
            _ => None,
        }),
        Expr::Call(Function::Transpose, arguments) => match arguments.as_slice() {
            [Expr::Matrix(rows)] => Some(Expr::Matrix(transposed(rows))),
            _ => None,
        },
        Expr::Call(Function::Det, arguments) => match arguments.as_slice() {
            [Expr::Matrix(rows)] => determinant(rows),
            _ => None,
        },
        _ => None,
    };
    result.filter(is_handy).unwrap_or(expr)
}

/// All items, from the left; none when two of them do not go together, or grow too long.
fn fold(items: &[Expr], join: impl Fn(&Expr, &Expr) -> Option<Expr>) -> Option<Expr> {
    let (first, rest) = items.split_first()?;
    rest.iter().try_fold(first.clone(), |result, item| join(&result, item).filter(is_handy))
}

/// Whether `expr` has few enough parts to be worked with.
fn is_handy(expr: &Expr) -> bool {
    expr.n_parts() <= MAX_PARTS
}

fn sum_of(a: &Rows, b: &Rows) -> Option<Rows> {
    let is_same_size = a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.len() == y.len());
    let add = |x: &Expr, y: &Expr| Expr::Sum(vec![x.clone(), y.clone()]);
    let row = |(x, y): (&Vec<Expr>, &Vec<Expr>)| x.iter().zip(y).map(|(x, y)| add(x, y)).collect();
    is_same_size.then(|| a.iter().zip(b).map(row).collect())
}

fn product_of(a: &Rows, b: &Rows) -> Option<Rows> {
    let inner = a.first()?.len();
    if inner != b.len() {
        return None;
    }
    let width = b.first()?.len();
    let cell = |row: &[Expr], column: usize| {
        Expr::Sum((0..inner).map(|k| row[k].clone().times(b[k][column].clone())).collect())
    };
    Some(a.iter().map(|row| (0..width).map(|column| cell(row, column)).collect()).collect())
}

fn scaled(rows: &Rows, factor: &Expr) -> Rows {
    rows.iter().map(|row| row.iter().map(|cell| factor.clone().times(cell.clone())).collect()).collect()
}

fn transposed(rows: &Rows) -> Rows {
    let width = rows.first().map_or(0, Vec::len);
    (0..width).map(|column| rows.iter().map(|row| row[column].clone()).collect()).collect()
}

/// By the first row; none for a matrix that is large or not square.
fn determinant(rows: &Rows) -> Option<Expr> {
    if rows.len() > MAX_DETERMINANT || rows.iter().any(|row| row.len() != rows.len()) {
        return None;
    }
    if let [row] = rows.as_slice() {
        return row.first().cloned();
    }
    let mut terms = Vec::new();
    for (column, cell) in rows.first()?.iter().enumerate() {
        let without = |row: &Vec<Expr>| -> Vec<Expr> {
            row.iter()
                .enumerate()
                .filter(|(other, _)| *other != column)
                .map(|(_, cell)| cell.clone())
                .collect()
        };
        let minor = determinant(&rows[1..].iter().map(without).collect())?;
        let term = cell.clone().times(minor);
        terms.push(if column % 2 == 0 { term } else { term.negated() });
    }
    Some(Expr::Sum(terms))
}
