//! Who has most, of people whose things are compared: `Ann has 12 pens. Ben has 3 more than Ann. Most?`

use super::super::problem::Worked;
use super::super::wording::{Fact, Words};
use super::{ITEMS, NAMES, between, pick};
use crate::random::below;

const OPENING: Words = Words {
    plain: "{name} has {n} {item}.",
    varied: &["{name} has {n} {item}.", "There are {n} {item} in the bag of {name}.", "{name} counts {n} {item}."],
    unseen: &["With {name} there are {n} {item}.", "{n} {item} belong to {name}."],
};
const MORE: Words = Words {
    plain: "{name} has {n} more than {other}.",
    varied: &["{name} has {n} more {item} than {other}.", "Compared with {other}, {name} has {n} more."],
    unseen: &["{other} lacks {n} to have as many as {name}.", "{name} is {n} ahead of {other}."],
};
const FEWER: Words = Words {
    plain: "{name} has {n} fewer than {other}.",
    varied: &["{name} has {n} fewer {item} than {other}.", "Compared with {other}, {name} has {n} fewer."],
    unseen: &["{name} lacks {n} to have as many as {other}.", "{name} is {n} behind {other}."],
};
const TIMES: Words = Words {
    plain: "{name} has {n} times {other}.",
    varied: &["{name} has {n} times as many {item} as {other}.", "What {other} has, {name} has {n} times."],
    unseen: &["Take {n} times the {item} of {other} for those of {name}.", "{name} has the {item} of {other} {n} times over."],
};
const MOST: Words = Words {
    plain: "Most?",
    varied: &["How many has the one with the most {item}?", "What is the largest number of {item}?"],
    unseen: &["Sort them by number: how many has the last one?", "Nobody has more than how many?"],
};
const FEWEST: Words = Words {
    plain: "Fewest?",
    varied: &["How many has the one with the fewest {item}?", "What is the smallest number of {item}?"],
    unseen: &["Sort them by number: how many has the first one?", "Nobody has fewer than how many?"],
};
const SECOND: Words = Words {
    plain: "Second most?",
    varied: &["How many has the one with the second most {item}?", "What is the second largest number of {item}?"],
    unseen: &["Sort them by number: how many has the last but one?", "Without the one with most, nobody has more than how many?"],
};

pub(super) fn draw(state: &mut u64, level: u32, largest: usize) -> Worked {
    let item = pick(state, &ITEMS);
    let mut names = NAMES.to_vec();
    let mut have = vec![(take(state, &mut names), between(state, 2, largest))];
    let mut given = vec![Fact::new(&OPENING, [("name", &have[0].0), ("n", &have[0].1), ("item", &item)])];
    let mut equations = Vec::new();
    while equations.len() < level as usize {
        let (other, value) = pick(state, &have);
        let (words, sign, n, result) = relation(state, value, largest);
        // Equal numbers would leave open who is second.
        if have.iter().any(|(_, taken)| *taken == result) {
            continue;
        }
        let name = take(state, &mut names);
        given.push(Fact::new(words, [("name", &name), ("other", &other), ("n", &n), ("item", &item)]));
        equations.push(format!("{value}{sign}{n}={result}"));
        have.push((name, result));
    }
    let mut values: Vec<usize> = have.iter().map(|(_, value)| *value).collect();
    values.sort_unstable();
    let (words, answer) = match below(state, 3) {
        0 => (&MOST, values[values.len() - 1]),
        1 => (&FEWEST, values[0]),
        _ => (&SECOND, values[values.len() - 2]),
    };
    Worked { given, asked: Fact::new(words, [("item", &item)]), equations, answer }
}

/// A name that nobody has yet: a problem has at most 13 people.
fn take(state: &mut u64, names: &mut Vec<&'static str>) -> &'static str {
    names.swap_remove(below(state, names.len()))
}

/// How somebody's number follows from `value`: the words, the sign, the operand and the number.
fn relation(state: &mut u64, value: usize, largest: usize) -> (&'static Words, char, usize, usize) {
    match below(state, 3) {
        0 if value > 1 => {
            let n = between(state, 1, (value - 1).min(largest));
            (&FEWER, '-', n, value - n)
        }
        1 => {
            let n = between(state, 2, 3);
            (&TIMES, '*', n, value * n)
        }
        _ => {
            let n = between(state, 1, largest);
            (&MORE, '+', n, value + n)
        }
    }
}
