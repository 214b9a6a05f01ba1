//! Lengths, masses, volumes and durations in other units: `Rope: 3 m. Add 20 cm. In cm?`

use super::super::problem::Worked;
use super::super::wording::{Fact, Words};
use super::{between, pick};
use crate::random::below;

const OPENING: Words = Words {
    plain: "{Thing}: {n} {unit}.",
    varied: &["A {thing} {verb} {n} {unit}.", "The {thing} {verb} {n} {unit}.", "At first a {thing} {verb} {n} {unit}."],
    unseen: &["We have a {thing} that {verb} {n} {unit}.", "It is a {thing} and {verb} {n} {unit}."],
};
const MORE: Words = Words {
    plain: "Add {n} {unit}.",
    varied: &["Then {n} {unit} are added.", "It becomes {n} {unit} more.", "{n} {unit} come on top."],
    unseen: &["Another {n} {unit} join it.", "This grows by {n} {unit}."],
};
const LESS: Words = Words {
    plain: "Take {n} {unit}.",
    varied: &["Then {n} {unit} are taken away.", "It becomes {n} {unit} less.", "{n} {unit} go away."],
    unseen: &["Without {n} {unit} of it.", "This shrinks by {n} {unit}."],
};
const QUESTION: Words = Words {
    plain: "In {unit}?",
    varied: &["How many {unit} is that?", "What is that in {unit}?"],
    unseen: &["Say it in {unit}.", "To how many {unit} does it come?"],
};

/// Units of one quantity, the largest first, each with how many of the next one it is (the last: 1).
struct Quantity {
    things: &'static [(&'static str, &'static str)],
    verb: &'static str,
    units: &'static [(&'static str, usize)],
}

const QUANTITIES: [Quantity; 4] = [
    Quantity {
        things: &[("Rope", "rope"), ("Wire", "wire"), ("Path", "path")],
        verb: "measures",
        units: &[("km", 1000), ("m", 100), ("cm", 10), ("mm", 1)],
    },
    Quantity {
        things: &[("Sack", "sack"), ("Box", "box"), ("Load", "load")],
        verb: "weighs",
        units: &[("t", 1000), ("kg", 1000), ("g", 1000), ("mg", 1)],
    },
    Quantity {
        things: &[("Tank", "tank"), ("Pot", "pot"), ("Jug", "jug")],
        verb: "holds",
        units: &[("hl", 100), ("l", 10), ("dl", 10), ("cl", 10), ("ml", 1)],
    },
    Quantity {
        things: &[("Job", "job"), ("Trip", "trip"), ("Show", "show")],
        verb: "takes",
        units: &[("weeks", 7), ("days", 24), ("h", 60), ("min", 60), ("s", 1)],
    },
];

pub(super) fn draw(state: &mut u64, level: u32, largest: usize) -> Worked {
    let quantity = &QUANTITIES[below(state, QUANTITIES.len())];
    let (capital, thing) = pick(state, quantity.things);
    let last = quantity.units.len() - 1;
    // From which unit to which: one equation for each unit on the way.
    let n_conversions = between(state, 1, last.min(2).min(level as usize));
    let first = below(state, last - n_conversions + 1);
    let target = first + n_conversions;

    let mut value = between(state, 2, largest);
    let opening: [(_, &dyn ToString); 5] = [
        ("Thing", &capital),
        ("thing", &thing),
        ("verb", &quantity.verb),
        ("n", &value),
        ("unit", &quantity.units[first].0),
    ];
    let mut given = vec![Fact::new(&OPENING, opening)];
    let mut equations = Vec::new();
    for (_, factor) in &quantity.units[first..target] {
        equations.push(format!("{value}*{factor}={}", value * factor));
        value *= factor;
    }
    while equations.len() < level as usize {
        let may_convert = equations.len() + 2 <= level as usize;
        let change = Change::draw(state, quantity, target, largest, may_convert, value);
        value = change.apply(value, &mut equations);
        given.push(change.fact);
    }
    let asked = Fact::new(&QUESTION, [("unit", &quantity.units[target].0)]);
    Worked { given, asked, equations, answer: value }
}

/// Something that comes or goes.
struct Change {
    fact: Fact,
    n: usize,
    /// How many of the target unit its own unit is.
    factor: usize,
    comes: bool,
}

impl Change {
    /// A change in the target unit, or in the one above it where that `may_convert`.
    fn draw(state: &mut u64, quantity: &Quantity, target: usize, largest: usize, may_convert: bool, value: usize) -> Self {
        let above = may_convert && below(state, 2) == 0;
        let unit = if above { target - 1 } else { target };
        let factor = if above { quantity.units[unit].1 } else { 1 };
        let n = between(state, 2, largest);
        let comes = below(state, 2) == 0 || n * factor >= value;
        let words = if comes { &MORE } else { &LESS };
        Self { fact: Fact::new(words, [("n", &n), ("unit", &quantity.units[unit].0)]), n, factor, comes }
    }

    /// What `value` becomes, with the equations that say so.
    fn apply(&self, value: usize, equations: &mut Vec<String>) -> usize {
        let change = self.n * self.factor;
        if self.factor > 1 {
            equations.push(format!("{}*{}={change}", self.n, self.factor));
        }
        let (sign, result) = if self.comes { ('+', value + change) } else { ('-', value - change) };
        equations.push(format!("{value}{sign}{change}={result}"));
        result
    }
}
