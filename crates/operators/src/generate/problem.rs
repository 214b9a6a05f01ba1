//! One word problem: its text, its worked solution and its answer.

use std::collections::BTreeMap;

use flow_data::{Id, Value};

use crate::random::below;
use crate::read::content_id;

const NAMES: [&str; 16] = [
    "Ann", "Ben", "Cal", "Dan", "Eve", "Fay", "Gus", "Ida", "Jim", "Kim", "Leo", "Mia", "Ned", "Pam", "Sue",
    "Tom",
];
const ITEMS: [&str; 16] = [
    "pens", "nuts", "eggs", "figs", "cups", "keys", "hats", "jars", "pins", "pots", "bags", "toys", "caps",
    "cars", "nets", "rugs",
];
const GAINS: [&str; 4] = ["Gets", "Buys", "Finds", "Makes"];
const LOSSES: [&str; 4] = ["Loses", "Sells", "Gives", "Drops"];

/// Largest number that a problem begins with or that is added at once.
const MOST: usize = 30;

/// How many texts there are of `level` operations, as far as that is below `enough`.
pub(super) fn n_texts(level: u32, enough: u64) -> u64 {
    // How many texts lead to each value. Every text of a level becomes several of the next one.
    let mut by_value: BTreeMap<usize, u64> = (2..=MOST).map(|value| (value, 1)).collect();
    let openings = (NAMES.len() * ITEMS.len()) as u64;
    let total =
        |by_value: &BTreeMap<usize, u64>| by_value.values().fold(0_u64, |sum, n| sum.saturating_add(*n));
    for _ in 0..level {
        if total(&by_value).saturating_mul(openings) >= enough {
            break;
        }
        let mut next = BTreeMap::new();
        for (value, n) in by_value {
            for (result, n_sentences) in outcomes(value) {
                let sum: &mut u64 = next.entry(result).or_default();
                *sum = sum.saturating_add(n.saturating_mul(n_sentences));
            }
        }
        by_value = next;
    }
    total(&by_value).saturating_mul(openings)
}

/// What [`operation`] can make of `value`, each with the number of sentences that say so.
fn outcomes(value: usize) -> impl Iterator<Item = (usize, u64)> {
    let gains = (2..=MOST).map(move |operand| (value + operand, GAINS.len() as u64));
    let losses = (1..value).map(move |operand| (value - operand, LOSSES.len() as u64));
    gains.chain(losses).chain([(value * 2, 2), (value * 3, 2)])
}

/// A problem and its solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    level: u32,
    prompt: String,
    solution: String,
    answer: usize,
}

impl Problem {
    /// A problem of `level` operations from a random state.
    pub(super) fn draw(state: &mut u64, level: u32) -> Self {
        let mut value = 2 + below(state, MOST - 1);
        let (name, item) = (pick(state, &NAMES), pick(state, &ITEMS));
        let mut prompt = format!("{name} has {value} {item}.");
        let mut solution = String::new();
        for _ in 0..level {
            let (sentence, sign, operand, result) = operation(state, value);
            prompt.push_str(&format!(" {sentence}."));
            solution.push_str(&format!("{value}{sign}{operand}={result}\n"));
            value = result;
        }
        prompt.push('\n');
        solution.push_str(&format!("#### {value}"));
        Self { level, prompt, solution, answer: value }
    }

    /// Identity of the text: what makes problems distinct and splits them.
    pub(super) fn text_id(&self) -> Id {
        Id::of("problem", [self.prompt.as_bytes()])
    }

    /// The cells of the record `prompt`.
    pub(super) fn cells(self) -> Vec<Value> {
        let prompt: Value = self.prompt.into();
        let level = i64::from(self.level).into();
        vec![content_id(&prompt, 0), prompt, self.answer.to_string().into(), self.solution.into(), level]
    }
}

/// A sentence, its sign, its operand and what `value` becomes: never below 1.
fn operation(state: &mut u64, value: usize) -> (String, char, usize, usize) {
    match below(state, 3) {
        0 => {
            let operand = 2 + below(state, MOST - 1);
            (format!("{} {operand}", pick(state, &GAINS)), '+', operand, value + operand)
        }
        1 if value > 1 => {
            let operand = 1 + below(state, value - 1);
            (format!("{} {operand}", pick(state, &LOSSES)), '-', operand, value - operand)
        }
        _ => {
            let operand = 2 + below(state, 2);
            let short = if operand == 2 { "Doubles" } else { "Triples" };
            let sentence = if below(state, 2) == 0 { short.to_owned() } else { format!("Times {operand}") };
            (sentence, '*', operand, value * operand)
        }
    }
}

fn pick<'a>(state: &mut u64, words: &[&'a str]) -> &'a str {
    words[below(state, words.len())]
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
                .map(|_| operation(&mut state, value))
                .map(|(sentence, _, _, result)| (sentence, result))
                .collect();
            assert_eq!(drawn.len() as u64, outcomes(value).map(|(_, n)| n).sum::<u64>(), "{value}");
        }
        assert_eq!(n_texts(0, u64::MAX), 16 * 16 * 29);
        assert!(n_texts(1, u64::MAX) > 1_000_000 && n_texts(6, 5000) >= 5000);
        assert!(n_texts(6, u64::MAX) > n_texts(5, u64::MAX));
    }
}
