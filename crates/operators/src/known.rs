//! The known answer of a row whose input writes it at the end of a worked solution.

use flow_data::Value;
use flow_plan::Problem;
use flow_verify::{Extract, InvalidExtract, extract};

use crate::fields::Flaw;

/// Where an input states the known answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Known {
    /// After the last `####`, else in the last `\boxed{..}`, else it is the whole text.
    Marked,
    /// It is the whole text.
    Whole,
    /// Where this rule finds it.
    By(Extract),
}

impl Known {
    /// The rule that the config key `extract` names.
    pub(crate) fn parse(name: Option<&str>) -> Result<Self, Problem> {
        match name {
            None => Ok(Known::Marked),
            Some("whole") => Ok(Known::Whole),
            Some(name) => {
                let invalid = |error: InvalidExtract| Problem::new("extract", error.to_string());
                name.parse().map(Known::By).map_err(invalid)
            }
        }
    }

    /// Cuts the answer out of the cells of a record `prompt`. What it is cut from becomes the solution where there is
    /// none. Errs where the rule finds no answer.
    pub(crate) fn cut(&self, cells: &mut [Value]) -> Result<(), Flaw> {
        let [_, _, answer, solution, _] = cells else { return Ok(()) };
        let Value::Text(text) = answer.clone() else { return Ok(()) };
        let found = match self {
            Known::Whole => return Ok(()),
            Known::Marked => extract(&text, Extract::FinalLine).or_else(|| extract(&text, Extract::Boxed)),
            Known::By(rule) => Some(extract(&text, rule.clone()).ok_or_else(|| Flaw {
                reason: "no_answer",
                detail: "the field of `answer` states no answer".to_owned(),
            })?),
        };
        if let Some(found) = found.filter(|found| found.text.len() < text.len()) {
            *answer = (*found.text).into();
            if *solution == Value::Null {
                *solution = Value::Text(text.clone());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(rule: Option<&str>, answer: &str) -> Option<(Value, Value)> {
        let mut cells = ["id".into(), "q".into(), answer.into(), Value::Null, Value::Null];
        Known::parse(rule).unwrap().cut(&mut cells).ok()?;
        Some((cells[2].clone(), cells[3].clone()))
    }

    #[test]
    fn marked_answers_are_cut_and_bare_ones_left() {
        for (text, answer) in [("9*2=18\n#### 18", "18"), ("So \\boxed{\\frac{1}{2}}.", "\\frac{1}{2}")] {
            assert_eq!(cut(None, text), Some((answer.into(), text.into())));
        }
        for text in ["18", "x = 5", "It takes 3 bolts\nA: 3"] {
            assert_eq!(cut(None, text), Some((text.into(), Value::Null)));
        }
    }

    #[test]
    fn a_rule_can_be_named() {
        assert_eq!(cut(Some("auto"), "It takes 3 bolts\nA: 3").map(|(answer, _)| answer), Some("3".into()));
        assert_eq!(cut(Some("whole"), "#### 18").map(|(answer, _)| answer), Some("#### 18".into()));
        assert_eq!(cut(Some("final_line"), "18"), None);
        assert!(Known::parse(Some("first_line")).is_err());
    }
}
