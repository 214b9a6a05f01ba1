//! A critique of a worked solution: one judgement for each step, then one for the answer.
//!
//! Written and read in one plain form, which critics are trained to produce:
//!
//! ```text
//! Step sentence: <the step>
//! Correctness of the step: Correct
//! Explanation: <why>
//!
//! Correctness of the final answer: Wrong
//! Explanation: <why>
//! ```
//!
//! with the first block repeated for every step. What `Display` prints, [`str::parse`] reads back, up to
//! 256 KiB. Reading is more forgiving than writing, since models vary: see [`CritiqueError`] for what is refused.

mod read;

use std::fmt::{self, Display};
use std::str::FromStr;

pub use read::CritiqueError;

use crate::equations::{Label, Step, first_wrong, without_annotations};

pub(crate) const STEP: &str = "Step sentence:";
pub(crate) const STEP_LABEL: &str = "Correctness of the step:";
pub(crate) const ANSWER_LABEL: &str = "Correctness of the final answer:";
pub(crate) const EXPLANATION: &str = "Explanation:";

/// Right or wrong, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it is correct.
    pub correct: bool,
    /// Why; may be empty or of several lines.
    pub explanation: String,
}

/// A step and what is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepJudgement {
    /// The step, copied from the solution; not empty.
    pub sentence: String,
    /// What is said of it.
    pub judgement: Judgement,
}

/// What is said of every step of a solution and of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Critique {
    /// The steps in order; at least one when read from a text.
    pub steps: Vec<StepJudgement>,
    /// What is said of the final answer.
    pub answer: Judgement,
}

impl Critique {
    /// The critique that the equations of a solution give, without knowing the right answer.
    ///
    /// The form has two labels only, so "correct" means that no mistake was found, and the explanation of a
    /// step without equations says that nothing was checked. The answer is wrong when a step is; a caller
    /// that knows the right answer sets [`Critique::answer`] itself.
    pub fn from_steps(steps: &[Step<'_>]) -> Critique {
        let answer = match first_wrong(steps) {
            None => Judgement { correct: true, explanation: "No step has a wrong equation.".to_owned() },
            Some(i) => {
                Judgement { correct: false, explanation: format!("Step {} has a wrong equation.", i + 1) }
            }
        };
        Critique { steps: steps.iter().map(step_judgement).collect(), answer }
    }

    /// The index of the first step that is judged wrong.
    pub fn first_wrong(&self) -> Option<usize> {
        self.steps.iter().position(|step| !step.judgement.correct)
    }
}

fn step_judgement(step: &Step<'_>) -> StepJudgement {
    let plain = without_annotations(step.text);
    let sentence = if plain.trim().is_empty() { step.text } else { plain.trim() };
    let judgement =
        Judgement { correct: step.label != Label::Wrong, explanation: step.explanation.clone().into_owned() };
    StepJudgement { sentence: sentence.to_owned(), judgement }
}

impl Display for Critique {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{STEP} {}", step.sentence)?;
            writeln!(f, "{STEP_LABEL} {}\n", step.judgement)?;
        }
        write!(f, "{ANSWER_LABEL} {}", self.answer)
    }
}

impl Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = if self.correct { "Correct" } else { "Wrong" };
        write!(f, "{label}\n{EXPLANATION} {}", self.explanation)
    }
}

impl FromStr for Critique {
    type Err = CritiqueError;

    /// Reads a critique; text before the first step is skipped.
    fn from_str(text: &str) -> Result<Critique, CritiqueError> {
        read::read(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::equations::check_steps;

    #[test]
    fn equations_give_a_critique() {
        let solution = "She buys 3 bags.\n3 * 4 = <<3*4=12>>12 eggs\n12 + 7 = 20\n#### 20";
        let critique = Critique::from_steps(&check_steps(solution));
        let expected = "Step sentence: She buys 3 bags.\n\
            Correctness of the step: Correct\n\
            Explanation: No equation could be checked.\n\n\
            Step sentence: 3 * 4 = 12 eggs\n\
            Correctness of the step: Correct\n\
            Explanation: All 2 equations hold.\n\n\
            Step sentence: 12 + 7 = 20\n\
            Correctness of the step: Wrong\n\
            Explanation: In `12 + 7 = 20` the left side is 19, the right side 20.\n\n\
            Step sentence: #### 20\n\
            Correctness of the step: Correct\n\
            Explanation: No equation could be checked.\n\n\
            Correctness of the final answer: Wrong\n\
            Explanation: Step 3 has a wrong equation.";
        assert_eq!(critique.to_string(), expected);
        assert_eq!(critique.first_wrong(), Some(2));
        assert_eq!(expected.parse(), Ok(critique));
    }
}
