//! Grading of choices: letters, or the texts that they stand for.

use super::{Graded, Grader, missing_answer};
use crate::budget::Budget;
use crate::compare::{Outcome, Verdict, compare_within};
use crate::extract::{Extract, Extracted, Extraction, NoAnswer, Strictness};

/// The method of verdicts on letters.
const METHOD: &str = "choice";

/// What is known of the choice that `completion` states.
pub(super) fn grade<'a>(grader: &Grader, gold: &str, completion: &'a str, budget: &Budget) -> Graded<'a> {
    let stated = match stated(grader, completion) {
        Ok(stated) => stated,
        Err(missing) => return missing_answer(missing.to_string()),
    };
    let verdict = match (letter(grader, gold, budget), letter(grader, &stated.text, budget)) {
        (Some(known), Some(chosen)) => {
            let (outcome, relation) =
                if known == chosen { (Outcome::Equal, "is") } else { (Outcome::Different, "is not") };
            Verdict { outcome, method: METHOD, witness: format!("choice {chosen} {relation} choice {known}") }
        }
        _ => compare_within(gold, &stated.text, &grader.options, budget),
    };
    Graded { extracted: Some(stated.text), verdict }
}

/// The letter that the completion chooses; where the choices are known and it names none, what it states or its last
/// line.
fn stated<'a>(grader: &Grader, completion: &'a str) -> Result<Extracted<'a>, NoAnswer> {
    let found = grader.extraction.find(completion);
    if found.is_ok() || grader.options.choices.is_empty() {
        return found;
    }
    let marked = Extraction { rule: Extract::Auto, strictness: Strictness::Strict, ..grader.extraction };
    let last_line = Extraction { rule: Extract::LastLine, ..grader.extraction };
    marked.find(completion).or_else(|_| last_line.find(completion)).or(found)
}

/// The letter that a text is, or that stands for it among the choices.
fn letter(grader: &Grader, text: &str, budget: &Budget) -> Option<char> {
    let choices = &grader.options.choices;
    let same = |choice: &String| choice.trim().eq_ignore_ascii_case(text.trim());
    let by_text = choices.iter().position(same);
    let by_text = by_text.or_else(|| equal_choice(grader, text, budget));
    let by_letter = || {
        let rule = Extraction { rule: Extract::Choice, strictness: Strictness::Strict, ..grader.extraction };
        rule.find(text).ok()?.text.chars().next()
    };
    let by_text = by_text.and_then(|at| Some(char::from(b'A'.checked_add(u8::try_from(at).ok()?)?)));
    by_text.or_else(by_letter).map(|letter| letter.to_ascii_uppercase())
}

/// The only choice that equals `text`, if there is one.
fn equal_choice(grader: &Grader, text: &str, budget: &Budget) -> Option<usize> {
    let options = crate::Options { choices: Vec::new(), ..grader.options.clone() };
    let is_equal = |choice: &String| compare_within(choice, text, &options, budget).outcome == Outcome::Equal;
    let mut equal = grader.options.choices.iter().enumerate().filter(|(_, choice)| is_equal(choice));
    let first = equal.next()?;
    equal.next().is_none().then_some(first.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::compare_with;

    #[test]
    fn letters_stand_for_texts() {
        let mut grader = Grader::preset("choice").expect("a preset");
        grader.options.choices = ["Blue", "1/2", "Paris, France", "D"].map(str::to_owned).to_vec();
        use Outcome::{Different, Equal};
        let cases = [
            ("A", "The answer is blue.", Equal),
            ("Blue", "A", Equal),
            ("B", "so we get\n0.5", Equal),
            ("B", "the answer is (B) 1/2", Equal),
            ("0.5", "option B", Equal),
            ("C", "\\boxed{\\text{Paris, France}}", Equal),
            ("C", "Blue", Different),
            ("B", "(c)", Different),
        ];
        for (gold, completion, expected) in cases {
            let verdict = grader.grade(gold, completion).verdict;
            assert_eq!(verdict.outcome, expected, "{gold} and {completion}: {verdict:?}");
        }
        assert_eq!(
            grader.grade("A", "Green").verdict.outcome,
            compare_with("A", "Green", &grader.options).outcome
        );
    }
}
