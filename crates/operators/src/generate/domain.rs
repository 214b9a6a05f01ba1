//! What problems are about.

mod arithmetic;
mod equations;
mod modular;
mod ordering;
mod time;
mod units;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Worked;
use crate::random::below;

/// What problems are about. In every domain a problem of level L is solved by L equations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Domain {
    /// Somebody's things become more and fewer.
    Arithmetic,
    /// A linear equation in x, undone one operation at a time.
    Equations,
    /// Lengths, masses, volumes and durations in other units.
    Units,
    /// Minutes between times of a day, days between dates of a year.
    Time,
    /// Who has most, of people whose things are compared.
    Ordering,
    /// Counting modulo a small number.
    Modular,
}

impl Domain {
    /// The domain as a pipeline names it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Domain::Arithmetic => "arithmetic",
            Domain::Equations => "equations",
            Domain::Units => "units",
            Domain::Time => "time",
            Domain::Ordering => "ordering",
            Domain::Modular => "modular",
        }
    }

    /// A problem solved by `level` equations, with numbers up to `largest`.
    pub(super) fn draw(self, state: &mut u64, level: u32, largest: usize) -> Worked {
        match self {
            Domain::Arithmetic => arithmetic::draw(state, level, largest),
            Domain::Equations => equations::draw(state, level, largest),
            Domain::Units => units::draw(state, level, largest),
            Domain::Time => time::draw(state, level, largest),
            Domain::Ordering => ordering::draw(state, level, largest),
            Domain::Modular => modular::draw(state, level, largest),
        }
    }

    /// How many problems of a level there are, as far as that is below `enough`; nothing where only making them
    /// tells.
    pub(super) fn n_texts(self, level: u32, largest: usize, enough: u64) -> Option<u64> {
        (self == Domain::Arithmetic).then(|| arithmetic::n_texts(level, largest, enough))
    }
}

const NAMES: [&str; 16] = [
    "Ann", "Ben", "Cal", "Dan", "Eve", "Fay", "Gus", "Ida", "Jim", "Kim", "Leo", "Mia", "Ned", "Pam", "Sue",
    "Tom",
];

const ITEMS: [&str; 16] = [
    "pens", "nuts", "eggs", "figs", "cups", "keys", "hats", "jars", "pins", "pots", "bags", "toys", "caps",
    "cars", "nets", "rugs",
];

fn pick<T: Copy>(state: &mut u64, choices: &[T]) -> T {
    choices[below(state, choices.len())]
}

/// A number from `least` to `most`.
fn between(state: &mut u64, least: usize, most: usize) -> usize {
    least + below(state, most - least + 1)
}
