//! The keys that say how completions are graded, for every operator that has them.

use flow_plan::Problem;
use flow_verify::{Graded, Grader};

/// Judges a completion whose first `given` characters the model was given. An answer that these state, and nothing behind them, is not the
/// model's: such a completion states none.
pub(crate) fn grade_own<'a>(
    grader: &Grader,
    gold: Option<&str>,
    completion: &'a str,
    given: usize,
) -> Graded<'a> {
    let whole = grader.grade(gold, completion);
    let at = completion.char_indices().nth(given).map_or(completion.len(), |(at, _)| at);
    let (before, own) = completion.split_at(at);
    if given == 0 || whole.extracted.is_none() || grader.grade(gold, before).extracted != whole.extracted {
        return whole;
    }
    let own = grader.grade(gold, own);
    if own.extracted.is_none() { own } else { whole }
}

/// The grader of a preset with single keys set; all that is wrong with them. `keys` come in the order of [`Grader::KEYS`].
pub(crate) fn grader<'a>(
    preset: Option<&str>,
    keys: impl Iterator<Item = (&'static str, &'a str)>,
) -> Result<Grader, Vec<Problem>> {
    let mut problems = Vec::new();
    let preset = preset.map_or(Ok(Grader::default()), Grader::preset);
    let mut grader = preset.unwrap_or_else(|error| {
        problems.push(Problem::new("preset", error.to_string()));
        Grader::default()
    });
    for (key, value) in keys {
        problems.extend(grader.set(key, value).err().map(|error| Problem::new(key, error.to_string())));
    }
    if problems.is_empty() { Ok(grader) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_was_given_is_not_the_models() {
        let grader = Grader::default();
        let stated = |completion: &str, given: &str| {
            assert!(completion.starts_with(given));
            grade_own(&grader, Some("28"), completion, given.chars().count())
                .extracted
                .map(|answer| answer.into_owned())
        };
        let given = "Sie zählt 23+5=28\n";
        assert_eq!(stated("Sie zählt 23+5=28\n\"Hello, Anna, dad,\"", ""), Some("28".into()));
        assert_eq!(stated("Sie zählt 23+5=28\n\"Hello, Anna, dad,\"", given), None);
        assert_eq!(stated("Sie zählt 23+5=28\n#### 28", given), Some("28".into()));
        assert_eq!(stated("Sie zählt 23+5=28\n#### 27", given), Some("27".into()));
        assert_eq!(stated("Sie zählt 23+5=28\n#### 28", "Sie zählt 23+5=28\n####"), Some("28".into()));
        assert_eq!(stated("Hello", "Hel"), None);
    }
}
