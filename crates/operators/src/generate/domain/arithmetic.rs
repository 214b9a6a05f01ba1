//! Somebody's things become more and fewer.

use std::collections::BTreeMap;

use super::super::problem::Worked;
use super::super::wording::{Fact, Words};
use super::{ITEMS, NAMES, between, pick};
use crate::random::below;

const OPENING: Words = Words {
    plain: "{name} has {n} {item}.",
    varied: &["At first {name} has {n} {item}.", "{name} owns {n} {item}.", "{name} begins with {n} {item}."],
    unseen: &["In the morning {n} {item} belong to {name}.", "Of {item}, {name} holds {n}."],
};
const GAIN: Words = Words {
    plain: "{Verb} {n}.",
    varied: &["Then {name} {verb} {n} more.", "{name} {verb} another {n}.", "After that {name} {verb} {n} {item}."],
    unseen: &["Next come {n} further {item}.", "The number grows by {n}."],
};
const LOSS: Words = Words {
    plain: "{Verb} {n}.",
    varied: &["Then {name} {verb} {n} of them.", "{name} {verb} {n} {item}.", "After that {name} {verb} {n}."],
    unseen: &["Next {n} of the {item} go away.", "The number shrinks by {n}."],
};
const FACTOR: Words = Words {
    plain: "{factor}.",
    varied: &["Then there are {n} times as many.", "The number of {item} is multiplied by {n}."],
    unseen: &["{name} ends up with {n} times that.", "Each of the {item} turns into {n}."],
};
const QUESTION: Words = Words {
    plain: "",
    varied: &["How many {item} does {name} have now?", "How many {item} are there?"],
    unseen: &["What is the number of {item} at the end?", "Count the {item} of {name}."],
};

const GAINS: [(&str, &str); 4] = [("Gets", "gets"), ("Buys", "buys"), ("Finds", "finds"), ("Makes", "makes")];
const LOSSES: [(&str, &str); 4] = [("Loses", "loses"), ("Sells", "sells"), ("Gives", "gives"), ("Drops", "drops")];

pub(super) fn draw(state: &mut u64, level: u32, largest: usize) -> Worked {
    let mut value = between(state, 2, largest);
    let who = (pick(state, &NAMES), pick(state, &ITEMS));
    let (name, item) = who;
    let mut given = vec![Fact::new(&OPENING, [("name", &name), ("n", &value), ("item", &item)])];
    let mut equations = Vec::new();
    for _ in 0..level {
        let (fact, sign, operand, result) = operation(state, value, largest, who);
        given.push(fact);
        equations.push(format!("{value}{sign}{operand}={result}"));
        value = result;
    }
    let asked = Fact::new(&QUESTION, [("name", &name), ("item", &item)]);
    Worked { given, asked, equations, answer: value }
}

/// A fact about the things of `who`, its sign, its operand and what `value` becomes: never below 1.
fn operation(
    state: &mut u64,
    value: usize,
    largest: usize,
    (name, item): (&str, &str),
) -> (Fact, char, usize, usize) {
    let changed = |words, (capital, verb): (&str, &str), n: usize| {
        Fact::new(words, [("Verb", &capital), ("verb", &verb), ("n", &n), ("name", &name), ("item", &item)])
    };
    match below(state, 3) {
        0 => {
            let operand = between(state, 2, largest);
            (changed(&GAIN, pick(state, &GAINS), operand), '+', operand, value + operand)
        }
        1 if value > 1 => {
            let operand = between(state, 1, value - 1);
            (changed(&LOSS, pick(state, &LOSSES), operand), '-', operand, value - operand)
        }
        _ => {
            let operand = between(state, 2, 3);
            let short = if operand == 2 { "Doubles" } else { "Triples" };
            let factor = if below(state, 2) == 0 { short.to_owned() } else { format!("Times {operand}") };
            let blanks: [(_, &dyn ToString); 4] =
                [("factor", &factor), ("n", &operand), ("name", &name), ("item", &item)];
            (Fact::new(&FACTOR, blanks), '*', operand, value * operand)
        }
    }
}

/// How many problems of `level` operations there are, as far as that is below `enough`.
pub(super) fn n_texts(level: u32, largest: usize, enough: u64) -> u64 {
    let openings = (NAMES.len() * ITEMS.len()) as u64;
    let mut total = (largest as u64 - 1).saturating_mul(openings);
    if level == 0 || total >= enough {
        return total;
    }
    // How many texts lead to each value. Every text of a level becomes several of the next one.
    let mut by_value: BTreeMap<usize, u64> = (2..=largest).map(|value| (value, 1)).collect();
    for _ in 0..level {
        let mut next = BTreeMap::new();
        total = 0;
        for (value, n) in by_value {
            for (result, n_sentences) in outcomes(value, largest) {
                let texts = n.saturating_mul(n_sentences);
                total = total.saturating_add(texts.saturating_mul(openings));
                let sum: &mut u64 = next.entry(result).or_default();
                *sum = sum.saturating_add(texts);
            }
            if total >= enough {
                return total;
            }
        }
        by_value = next;
    }
    total
}

/// What [`operation`] can make of `value`, each with the number of sentences that say so.
fn outcomes(value: usize, largest: usize) -> impl Iterator<Item = (usize, u64)> {
    let gains = (2..=largest).map(move |operand| (value + operand, GAINS.len() as u64));
    let losses = (1..value).map(move |operand| (value - operand, LOSSES.len() as u64));
    gains.chain(losses).chain([(value * 2, 2), (value * 3, 2)])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn as_many_texts_are_counted_as_can_be_drawn() {
        // Every operation on one value, drawn until no new sentence comes.
        for value in [2, 3, 9] {
            let mut state = 7;
            let drawn: BTreeSet<(String, usize)> = (0..20_000)
                .map(|_| operation(&mut state, value, 30, ("Ann", "pens")))
                .map(|(fact, _, _, result)| (fact.plain(), result))
                .collect();
            assert_eq!(drawn.len() as u64, outcomes(value, 30).map(|(_, n)| n).sum::<u64>(), "{value}");
        }
        assert_eq!(n_texts(0, 30, u64::MAX), 16 * 16 * 29);
        assert!(n_texts(1, 30, u64::MAX) > 1_000_000 && n_texts(6, 30, 5000) >= 5000);
        assert!(n_texts(6, 30, u64::MAX) > n_texts(5, 30, u64::MAX));
        assert!(n_texts(12, 1_000_000, 800_000_000) >= 800_000_000);
    }
}
