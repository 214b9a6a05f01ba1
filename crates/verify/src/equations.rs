//! Does each written equation of a worked solution hold.
//!
//! A step is a line. Every `=` in it with arithmetic on both sides is worked out in exact rationals:
//! `12 + 7 = 19`, `3 * (4 + 2) = 18`, chains `a = b = c`, and calculator annotations `<<48/2=24>>`.
//! A label is only given when it is sure:
//!
//! - `Correct`: at least one equation was checked, and every one that could be checked holds.
//! - `Wrong`: one does not hold, and there is no reading under which it would.
//! - `Unchecked`: there is no equation, or none that is certain: variables, functions, units that may have
//!   been converted (`3 hours = 180 minutes`), words that scale a number (`half of 10 + 5`).
//!
//! A decimal that stands alone on its side may be rounded: `10/3 = 3.33` holds because 10/3 rounds to it,
//! `20/3 = 6.66` does not. An integer is exact, unless the sign is `≈`. A percent sign is read as a
//! hundredth and as a unit, and either is good: `20/50 = 40%`, `100 - 20 = 80%`. Sides above 64 symbols, nesting above
//! 16 and values above 1,024 bits are left unchecked. Work is counted: behind 60 kilobytes nothing is checked,
//! and from the 4,096th line on everything is one step.

mod doubt;
mod evaluate;
mod lexer;
mod line;
mod sides;

use std::borrow::Cow;
use std::ops::Range;

use crate::budget::Budget;

/// What is known of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// Its equations hold.
    Correct,
    /// An equation in it does not hold.
    Wrong,
    /// It has no equation that could be checked.
    Unchecked,
}

/// One line of a solution, judged by its equations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step<'a> {
    /// The line, without the white space around it; never empty.
    pub text: &'a str,
    /// Its place in the solution, in bytes.
    pub range: Range<usize>,
    /// Whether its equations hold.
    pub label: Label,
    /// One sentence for a person: which equation fails and what its sides are, or how many hold.
    pub explanation: Cow<'static, str>,
}

/// What the equations of a text may cost, in steps: 40 KB of lines with few equations, 9 KB of nothing else.
const STEPS: u64 = 120_000;

/// Most steps of a solution.
const MOST_STEPS: usize = 4096;

/// The lines of `text` that are not blank, in order, each with its label. Of very many lines the last step is all that remain.
pub fn check_steps(text: &str) -> Vec<Step<'_>> {
    let budget = Budget::of(STEPS);
    let mut ranges: Vec<Range<usize>> = lines(text).take(MOST_STEPS).collect();
    if ranges.len() == MOST_STEPS {
        ranges[MOST_STEPS - 1].end = text.trim_end().len();
    }
    ranges
        .into_iter()
        .map(|range| {
            let line = &text[range.clone()];
            let (label, explanation) = line::check(line, &budget);
            Step { text: line, range, label, explanation }
        })
        .collect()
}

/// The index of the first step that is wrong.
pub fn first_wrong(steps: &[Step<'_>]) -> Option<usize> {
    steps.iter().position(|step| step.label == Label::Wrong)
}

/// Whether no step is wrong and at least one is known to be correct.
pub fn all_sound(steps: &[Step<'_>]) -> bool {
    first_wrong(steps).is_none() && steps.iter().any(|step| step.label == Label::Correct)
}

/// `line` as a person reads it: calculator annotations such as `<<48/2=24>>` taken out.
pub(crate) fn without_annotations(line: &str) -> Cow<'_, str> {
    if !line.contains("<<") {
        return Cow::Borrowed(line);
    }
    let mut plain = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, annotation)) = rest.split_once("<<") {
        plain.push_str(before);
        rest = annotation.split_once(">>").map_or("", |(_, after)| after);
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The insides of the calculator annotations of `line`.
fn annotations(line: &str) -> impl Iterator<Item = &str> {
    line.split("<<").skip(1).filter_map(|rest| rest.split_once(">>").map(|(inside, _)| inside))
}

fn lines(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    text.split_inclusive('\n').filter_map(move |line| {
        let line_start = start;
        start += line.len();
        if line == "\n" {
            return None;
        }
        let content = line.trim_start();
        let indent = line.len() - content.len();
        let content = content.trim_end();
        (!content.is_empty()).then(|| line_start + indent..line_start + indent + content.len())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_solution_has_a_bounded_number_of_steps_and_none_of_it_is_lost() {
        let text = "1+1=2\n\n x\n".repeat(MOST_STEPS);
        let steps = check_steps(&text);
        assert_eq!(steps.len(), MOST_STEPS);
        assert_eq!((steps[0].text, steps[1].text), ("1+1=2", "x"));
        let last = &steps[MOST_STEPS - 1];
        assert_eq!((last.range.end, last.label), (text.len() - 1, Label::Unchecked));
        let few = "1+1=2\n".repeat(MOST_STEPS - 1);
        assert!(check_steps(&few).iter().all(|step| step.text == "1+1=2"));
    }

    #[test]
    fn large_numbers_are_paid_for() {
        for text in ["%=2e-300".repeat(2000), "2e-300 ".repeat(13_000) + "= 1", "7^300+7^300=1 ".repeat(2000)]
        {
            let steps = check_steps(&text);
            assert_eq!(steps[0].explanation, "There is too much to be checked.", "{}", &text[..20]);
        }
        assert_eq!(label("1e300 + 1e300 = 2e300"), Label::Correct);
        assert_eq!(label("2^300 = 4^150"), Label::Unchecked);
        assert_eq!(label("9^60 = 81^30"), Label::Correct);
    }

    fn label(line: &str) -> Label {
        let steps = check_steps(line);
        assert_eq!(steps.len(), 1, "{line}");
        steps[0].label
    }

    #[test]
    fn equations_that_hold() {
        let lines = [
            "12+7=19",
            "3 * (4 + 2) = 18",
            "2 + 2 = 4 = 8 / 2",
            "She makes 9 * 2 = $<<9*2=18>>18 every day.",
            "1,200 + 34 = 1,234",
            "4 × 2.5 = 10 and 9 ÷ 2 = 4.5",
            "2 x 4 = 8 cups",
            "10/3=3.33",
            "10/3 ≈ 3",
            "20% of 50 = 10",
            "50 * 20% = 10",
            "20/50 = 40%",
            "100 - 20 = 80%",
            "100% - 20% = 80%",
            "16 eggs - 3 eggs = 13 eggs",
            "$\\frac{1}{2} + \\frac{1}{4} = \\frac{3}{4}$",
            "3(4+2) = 18",
            "2^3 = 8",
            "2^{3} \\times 2 = 16",
            "1 1/2 + 1/2 = 2",
            "- 5 + 3 = 8",
            "- 5 + 3 = -2",
            "(5) - 2 + 3 = 6",
            "1. 5 + 3 = 8",
            "The change is -5 + 3 = -2",
            "\\$5 \\cdot 2 = \\$10",
            "**2 + 2 = 4**",
            "(5+3=8)",
            "3 times 4 = 12",
            "$18.50 − $6.50 = $12 more",
            "1/2 * 1/2 * 8 = 2!",
            "Total:2+2=4",
            "14 pieces/house * 60 houses = 840 pieces",
            "$5400/week * 4 weeks = $21600",
            "Sam memorised 4+6=10 digits of pi.",
            "That is 2*40cm = 80cm",
            "100% - 40% = 60% of the students",
        ];
        for line in lines {
            assert_eq!(label(line), Label::Correct, "{line}");
        }
    }

    #[test]
    fn equations_that_do_not_hold() {
        let lines = [
            "12+7=20",
            "2 + 2 = 4 = 9 / 2",
            "30 / 2 = <<30/2=14>>15",
            "She makes 9 * 2 = $<<9*2=18>>19",
            "20/3 = 6.66",
            "10/3 = 3",
            "16 eggs - 3 eggs = 12 eggs",
            "5 + 3 = 9 apples",
            "2 + 3 * 4 = 20",
            "-2^2 = 4",
        ];
        for line in lines {
            assert_eq!(label(line), Label::Wrong, "{line}");
        }
    }

    #[test]
    fn what_is_not_sure_is_unchecked() {
        let lines = [
            "She has 5 apples.",
            "x = 5",
            "2x + 5 = 15",
            "y - 5 = 10",
            "U + U - 17 + U + 26 = 411",
            "3 hours = 180 minutes",
            "2 hours * 60 minutes = 100 minutes",
            "half of 10 + 5 = 10",
            "2 dozen + 1 = 25",
            "f(2) = 4",
            "\\sqrt{16} = 4",
            "3! = 6",
            "4! / 2 = 12",
            "5 + 2y = 15",
            "10 = 2x",
            "a <= 5 + 3 = b",
            "2 + 3 != 6",
            "2 + 3 => 6",
            "3:00 + 2 = 5:00",
            "Total - 5 = 10",
            "Day 1 = 5 eggs",
            "5 = 6",
            "1/0 = 3",
            "(2 + 3 = 5 * (2",
            "10 % 3 = 1",
            "50 + 20% = 60",
            "2^999999999 = 4",
            "= 5",
            "3 + 4 =",
            "log 5 + 3 = 9",
            "100 cents = $1",
            "He needs 50 cents because $1 / 2 = 50 cents",
            "14 hours = 14 * 60",
            "4 / 3 = 1 and 1/3",
            "12 x 1 and 1/4 = 15",
            "0900-0130 = 0730 hours",
            "25 / 1/3 = 75",
            "600 x 30 = 18 000 watts",
            ".8 + . 84 + .82 = 2.46",
            "20 / 240 = 8.333...%",
            "13 / 6 = 2 full cycles with a remainder of 1",
            "10 pages on day 1 * 2 = 20 pages",
            "14, 400 / 80 = 180",
            "X = 9 because - 18/-2 = 9",
            "3x +4 - 4 = 28 - 4",
            "¾ x 3/3 = 9/12",
            "100 / 5 = 20 times 2 people",
            "$(45/300*100)% = 15% of $300",
        ];
        for line in lines {
            let steps = check_steps(line);
            assert!(steps.iter().all(|step| step.label == Label::Unchecked), "{line}: {steps:?}");
        }
    }

    #[test]
    fn steps_are_the_lines_that_are_not_blank() {
        let text = "First.\n\n  1 + 1 = 2 \r\n2 + 2 = 5\n";
        let steps = check_steps(text);
        assert_eq!(
            steps.iter().map(|step| step.text).collect::<Vec<_>>(),
            ["First.", "1 + 1 = 2", "2 + 2 = 5"]
        );
        assert!(steps.iter().all(|step| &text[step.range.clone()] == step.text));
        assert_eq!(first_wrong(&steps), Some(2));
        assert!(!all_sound(&steps));
        assert!(all_sound(&steps[..2]));
        assert!(!all_sound(&steps[..1]));
        assert_eq!(steps[2].explanation, "In `2 + 2 = 5` the left side is 4, the right side 5.");
    }
}
