//! One word problem: its text, its worked solution and its answer.

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
