//! The mistakes that can be written into a step with an equation.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::random::below;

/// How far a wrong number is from the right one, at most.
const FARTHEST: usize = 10;

/// Signs of operations, as far as they can stand for each other.
const OPERATIONS: [char; 3] = ['+', '-', '*'];

/// What goes wrong in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mistake {
    /// The number behind the equals sign is another.
    Result,
    /// A number before the equals sign is another, such as one copied wrong.
    Operand,
    /// The operation is another.
    Operation,
}

impl Mistake {
    /// The name as users write it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Mistake::Result => "result",
            Mistake::Operand => "operand",
            Mistake::Operation => "operation",
        }
    }

    /// `line` with this mistake; none where it has no place for it. By chance the equation may hold nevertheless.
    ///
    /// A number is replaced wherever it stands on its side, so that `9 * 2 = <<9*2=18>>18` says the same twice.
    pub(super) fn made_in(self, line: &str, state: &mut u64) -> Option<String> {
        let (first, last) = (line.find('=')?, line.rfind('=')?);
        match self {
            Mistake::Result => {
                let value = numbers(line).into_iter().find(|number| number.start > last)?;
                another_number(line, value, first..line.len(), state)
            }
            Mistake::Operand => {
                let mut values = numbers(line);
                values.retain(|number| number.end <= first);
                let value = (!values.is_empty()).then(|| values.swap_remove(below(state, values.len())))?;
                another_number(line, value, 0..last, state)
            }
            Mistake::Operation => {
                let sign = line[..first].chars().find(|sign| OPERATIONS.contains(sign))?;
                let others: Vec<char> = OPERATIONS.into_iter().filter(|other| *other != sign).collect();
                let other = others[below(state, others.len())];
                let (before, rest) = line.split_at(last);
                Some(before.replace(sign, other.encode_utf8(&mut [0; 4])) + rest)
            }
        }
    }
}

/// `line` with a number near to the one at `place` for it and all its like within `side`; none when it has too many digits.
fn another_number(line: &str, place: Range<usize>, side: Range<usize>, state: &mut u64) -> Option<String> {
    let right = &line[place];
    let value: usize = right.parse().ok().filter(|value| *value < 1 << 32)?;
    let distance = 1 + below(state, FARTHEST);
    let wrong = if value >= distance && below(state, 2) == 0 { value - distance } else { value + distance };
    let mut text = String::with_capacity(line.len() + 1);
    let mut done = 0;
    let like = numbers(line).into_iter().filter(|number| line[number.clone()] == *right);
    for number in like.filter(|number| side.start <= number.start && number.end <= side.end) {
        text.push_str(&line[done..number.start]);
        text.push_str(&wrong.to_string());
        done = number.end;
    }
    text.push_str(&line[done..]);
    Some(text)
}

/// The places of the numbers in `line`: digits, with the points and commas between them.
fn numbers(line: &str) -> Vec<Range<usize>> {
    let mut numbers: Vec<Range<usize>> = Vec::new();
    for (at, byte) in line.bytes().enumerate() {
        let ends = numbers.last().map(|number| number.end);
        match byte {
            b'0'..=b'9' if ends == Some(at) => numbers.last_mut().into_iter().for_each(|number| number.end += 1),
            b'0'..=b'9' => {
                let joined = at > 0 && ends == Some(at - 1) && matches!(line.as_bytes()[at - 1], b'.' | b',');
                match numbers.last_mut().filter(|_| joined) {
                    Some(number) => number.end = at + 1,
                    None => numbers.push(at..at + 1),
                }
            }
            _ => {}
        }
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(mistake: Mistake, line: &str) -> Vec<String> {
        let mut state = 3;
        let mut made: Vec<String> = (0..60).filter_map(|_| mistake.made_in(line, &mut state)).collect();
        made.sort_unstable();
        made.dedup();
        made
    }

    #[test]
    fn a_mistake_changes_its_own_side_only() {
        let results = made(Mistake::Result, "12+7=19");
        assert!(results.len() > 9 && results.iter().all(|line| line.starts_with("12+7=")), "{results:?}");
        assert!(!results.contains(&"12+7=19".to_owned()));
        assert!(made(Mistake::Operand, "12+7=19").iter().all(|line| line.ends_with("=19")));
        assert_eq!(made(Mistake::Operation, "12+7=19"), ["12*7=19", "12-7=19"]);
    }

    #[test]
    fn annotations_say_the_same() {
        for line in made(Mistake::Result, "9 * 2 = $<<9*2=18>>18 for 9 eggs") {
            let numbers: Vec<&str> = numbers(&line).into_iter().map(|number| &line[number]).collect();
            assert_eq!((numbers[4], numbers[6]), (numbers[5], "9"), "{line}");
        }
        let expected = ["9 + 2 = $<<9+2=18>>18", "9 - 2 = $<<9-2=18>>18"];
        assert_eq!(made(Mistake::Operation, "9 * 2 = $<<9*2=18>>18"), expected);
    }

    #[test]
    fn what_is_no_whole_number_is_left_alone() {
        assert_eq!(made(Mistake::Result, "1/2 = 0.5"), [""; 0]);
        assert_eq!(made(Mistake::Operation, "7 = 7"), [""; 0]);
        assert_eq!(made(Mistake::Result, "no equation 7"), [""; 0]);
        assert_eq!(numbers("1,200 + 3.5, 7."), [0..5, 8..11, 13..14]);
    }
}
