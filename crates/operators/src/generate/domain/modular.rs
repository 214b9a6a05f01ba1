//! Counting modulo a small number: `Count mod 7. Start at 5. Add 4. Times 3.`

use super::super::problem::Worked;
use super::super::wording::{Fact, Words};
use super::between;
use crate::random::below;

const MODULUS: Words = Words {
    plain: "Count mod {n}.",
    varied: &["All counting is modulo {n}.", "We count modulo {n}.", "Numbers start again at {n}, like a clock."],
    unseen: &["Only remainders by {n} count.", "On a dial with {n} marks, {n} is 0."],
};
const START: Words = Words {
    plain: "Start at {n}.",
    varied: &["The first number is {n}.", "Begin with {n}."],
    unseen: &["At the outset it stands at {n}.", "Take {n}."],
};
const ADD: Words = Words {
    plain: "Add {n}.",
    varied: &["Then {n} is added.", "Go {n} further."],
    unseen: &["Move on by {n}.", "Put {n} on top."],
};
const TIMES: Words = Words {
    plain: "Times {n}.",
    varied: &["Then it is multiplied by {n}.", "Take it {n} times."],
    unseen: &["Have that {n}-fold.", "Use the factor {n}."],
};
const QUESTION: Words = Words {
    plain: "",
    varied: &["Which number is it now?", "What is the result?"],
    unseen: &["Where does it stand in the end?", "Name the remainder."],
};

pub(super) fn draw(state: &mut u64, level: u32, largest: usize) -> Worked {
    loop {
        let worked = attempt(state, level as usize, largest);
        // The last operation may need one equation more than there is room for.
        if worked.equations.len() == level as usize {
            return worked;
        }
    }
}

/// Operations until there are at least `level` equations.
fn attempt(state: &mut u64, level: usize, largest: usize) -> Worked {
    let modulus = between(state, 3, 13);
    let mut value = between(state, 1, modulus - 1);
    let mut given = vec![Fact::new(&MODULUS, [("n", &modulus)]), Fact::new(&START, [("n", &value)])];
    let mut equations = Vec::new();
    while equations.len() < level {
        let (words, sign, n, result) = match below(state, 2) {
            0 => {
                let n = between(state, 2, largest);
                (&ADD, '+', n, value + n)
            }
            _ => {
                let n = between(state, 2, 9);
                (&TIMES, '*', n, value * n)
            }
        };
        given.push(Fact::new(words, [("n", &n)]));
        equations.push(format!("{value}{sign}{n}={result}"));
        value = result % modulus;
        match result / modulus {
            0 => {}
            1 => equations.push(format!("{result}-{modulus}={value}")),
            times => equations.push(format!("{result}-{times}*{modulus}={value}")),
        }
    }
    Worked { given, asked: Fact::new(&QUESTION, []), equations, answer: value }
}
