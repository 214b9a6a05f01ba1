//! A linear equation in x, undone one operation at a time: `Solve 2(3x+4)-5=33.`

use super::super::problem::Worked;
use super::super::wording::{Fact, Words};
use super::between;
use crate::random::below;

const EQUATION: Words = Words {
    plain: "Solve {equation}.",
    varied: &["The equation is {equation}.", "It is known that {equation}.", "Let {equation}."],
    unseen: &["A number x satisfies {equation}.", "Suppose that {equation} holds."],
};
const QUESTION: Words = Words {
    plain: "",
    varied: &["Find x.", "What is x?", "Solve for x."],
    unseen: &["Which number is x?", "Give the value of x."],
};

/// One operation on the side of x.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operation {
    Plus,
    Minus,
    Times,
    Over,
}

use Operation::{Minus, Over, Plus, Times};

pub(super) fn draw(state: &mut u64, level: u32, largest: usize) -> Worked {
    let x = between(state, 2, largest);
    let (mut side, mut value) = ("x".to_owned(), x);
    let mut undone = Vec::new();
    let mut last = None;
    for _ in 0..level {
        let operation = next(state, value, last);
        let operand = match operation {
            Plus => between(state, 1, largest),
            Minus => between(state, 1, (value - 1).min(largest)),
            Times => between(state, 2, 9),
            Over => divisor(value).expect("a division is only taken where it leaves no rest"),
        };
        let result = apply(operation, value, operand);
        undone.push(format!("{result}{}{operand}={value}", inverse(operation)));
        side = written(operation, &side, operand);
        (value, last) = (result, Some(operation));
    }
    undone.reverse();
    let equation = format!("{side}={value}");
    let given = vec![Fact::new(&EQUATION, [("equation", &equation)])];
    Worked { given, asked: Fact::new(&QUESTION, []), equations: undone, answer: x }
}

/// An operation that `value` allows and that does not merge with the `last` one.
fn next(state: &mut u64, value: usize, last: Option<Operation>) -> Operation {
    let sums = !matches!(last, Some(Plus | Minus));
    let products = !matches!(last, Some(Times | Over));
    let allowed = [
        (Plus, sums),
        (Minus, sums && value > 1),
        (Times, products),
        (Over, products && divisor(value).is_some()),
    ];
    let allowed: Vec<Operation> = allowed.into_iter().filter(|(_, may)| *may).map(|(one, _)| one).collect();
    allowed[below(state, allowed.len())]
}

/// The largest number from 9 to 2 that divides `value` and is not all of it.
fn divisor(value: usize) -> Option<usize> {
    (2..=9).rev().find(|divisor| value.is_multiple_of(*divisor) && value > *divisor)
}

fn apply(operation: Operation, value: usize, operand: usize) -> usize {
    match operation {
        Plus => value + operand,
        Minus => value - operand,
        Times => value * operand,
        Over => value / operand,
    }
}

/// The sign that undoes an operation.
fn inverse(operation: Operation) -> char {
    match operation {
        Plus => '-',
        Minus => '+',
        Times => '/',
        Over => '*',
    }
}

/// The side of x after an operation on it.
fn written(operation: Operation, side: &str, operand: usize) -> String {
    match operation {
        Plus => format!("{side}+{operand}"),
        Minus => format!("{side}-{operand}"),
        Times if side == "x" => format!("{operand}x"),
        Times => format!("{operand}({side})"),
        Over if side == "x" => format!("x/{operand}"),
        Over => format!("({side})/{operand}"),
    }
}
