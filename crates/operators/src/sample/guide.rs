//! Help for the draws beyond the first `n`: another text that is asked, or the beginning of a worked solution.

use flow_data::{Item, Type, Value};
use flow_plan::{Input, Problem};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::drawing::Refused;
use crate::draws::Ask;
use crate::template::Template;
use crate::{BuildError, StepContext};

/// How draws beyond the first `n` are helped, by one of `template` and `prefix`. Their rows keep the plain prompt, so that what is
/// learned from them is to answer without help.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Guide {
    /// What the model is asked in place of the prompt, a Jinja template over the row's columns, such as `prompt` and `answer`.
    template: Option<String>,
    /// Column with a worked solution: the completion begins with a part of it, a longer one with each draw, and then with the first
    /// again. Where nothing can be given the draw is a plain one.
    prefix: Option<String>,
    /// With `prefix`: the parts; `lines` by default.
    parts: Option<Parts>,
}

/// The parts of a worked solution. The last is never given.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Parts {
    /// Its lines, one more with each draw, and all but the last one once more before the first.
    #[default]
    Lines,
    /// Fifths of its text, whole words of it.
    Fifths,
}

/// How one draw was helped: the cells of the record `guidance`.
#[derive(Default)]
pub(super) struct Help {
    guided: Option<&'static str>,
    /// Characters.
    given: Option<usize>,
}

impl Help {
    /// The characters of the completion that were given.
    pub(super) fn given(&self) -> Option<usize> {
        self.given
    }

    /// `guided` and `given`.
    pub(super) fn record(&self) -> [Value; 2] {
        [self.guided.map(str::to_owned).into(), self.given.map(|given| given as i64).into()]
    }
}

impl Guide {
    /// What is wrong with it; `begun` tells whether the step's own `prefix` begins completions.
    pub(super) fn problems(&self, begun: bool, input: &Input<'_>) -> Vec<Problem> {
        let key = |key: &str| format!("until.guide.{key}");
        let mut problems = Vec::new();
        match (&self.template, &self.prefix) {
            (Some(template), None) => problems.extend(Template::check(&key("template"), template, input)),
            (None, Some(prefix)) => problems.extend(input.column_of(&key("prefix"), prefix, &[Type::Text]).err()),
            _ => problems.push(Problem::new("until.guide", "expected one of `template` and `prefix`")),
        }
        if self.parts.is_some() && self.prefix.is_none() {
            problems.push(Problem::new(&key("parts"), "parts are those of `prefix`, which is not given"));
        }
        if begun && self.prefix.is_some() {
            problems.push(Problem::new(&key("prefix"), "the step's own `prefix` begins completions already"));
        }
        problems
    }

    /// What guides the draws of `step`, whose shape has been checked.
    pub(super) fn guidance(&self, step: &StepContext<'_>) -> Result<Guidance, BuildError> {
        if let Some(column) = &self.prefix {
            return Ok(Guidance::Prefix(step.column(column), self.parts.unwrap_or_default()));
        }
        let template = Template::new(self.template.as_deref().unwrap_or_default(), &step.columns());
        let template = template.map_err(|error| BuildError::step(&step.step.name, error.to_string()))?;
        Ok(Guidance::Template(Box::new(template)))
    }
}

/// A guide over rows.
pub(super) enum Guidance {
    Template(Box<Template>),
    Prefix(usize, Parts),
}

impl Guidance {
    /// What the `turn`-th further draw for `item` is asked, from 0, in place of `plain`. Errs with the reason and detail of a rejection.
    pub(super) fn guide(&self, item: &Item, plain: Ask, turn: u32) -> Result<(Ask, Help), Refused> {
        match self {
            Self::Template(template) => {
                let prompt = template.render(item).map_err(|detail| ("not_rendered", detail))?;
                Ok((Ask { prompt, ..plain }, Help { guided: Some("template"), given: None }))
            }
            Self::Prefix(column, parts) => {
                let given = parts.beginning(item.text(*column).unwrap_or_default(), turn as usize);
                if given.is_empty() {
                    return Ok((plain, Help::default()));
                }
                let help = Help { guided: Some("prefix"), given: Some(given.chars().count()) };
                Ok((Ask { prefix: Some(given.to_owned()), ..plain }, help))
            }
        }
    }
}

impl Parts {
    /// The parts of `solution` that the `turn`-th draw begins with: 1, 2, and so on, all but the last in the place of all, then 1 again.
    fn beginning(self, solution: &str, turn: usize) -> &str {
        let solution = solution.trim_end();
        let ends = match self {
            Self::Lines => lines(solution),
            Self::Fifths => (1..=5).map(|part| words(solution, part)).collect(),
        };
        let given = (turn % ends.len().max(1) + 1).min(ends.len().saturating_sub(1));
        &solution[..given.checked_sub(1).map_or(0, |last| ends[last])]
    }
}

/// Where the lines of a text end; empty lines belong to the one before.
fn lines(text: &str) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        at += line.len();
        match ends.last_mut() {
            Some(end) if line.trim().is_empty() => *end = at,
            _ => ends.push(at),
        }
    }
    ends
}

/// Where the whole words within the first `part` fifths of a text end; of a text without spaces, where its fifths do.
fn words(text: &str, part: usize) -> usize {
    let most = text.floor_char_boundary(text.len() * part / 5);
    let end = text[..most].rfind(char::is_whitespace).unwrap_or(most);
    text[..end].trim_end().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginnings(parts: Parts, solution: &str, turns: usize) -> Vec<&str> {
        (0..turns).map(|turn| parts.beginning(solution, turn)).collect()
    }

    #[test]
    fn lines_are_given_one_by_one_but_never_the_last() {
        let solution = "2+3=5\n\n5*2=10\n#### 10\n";
        let (one, two) = ("2+3=5\n\n", "2+3=5\n\n5*2=10\n");
        assert_eq!(beginnings(Parts::Lines, solution, 7), [one, two, two, one, two, two, one]);
        assert_eq!(beginnings(Parts::Lines, "a\n#### 10", 3), ["a\n"; 3]);
        assert_eq!(beginnings(Parts::Lines, "#### 10", 2), [""; 2]);
        assert_eq!(beginnings(Parts::Lines, "", 2), [""; 2]);
    }

    #[test]
    fn fifths_are_whole_words() {
        let solution = "one two three four five six seven";
        let expected = ["one", "one two", "one two three four", "one two three four five"];
        assert_eq!(beginnings(Parts::Fifths, solution, 4), expected);
        assert_eq!(beginnings(Parts::Fifths, solution, 6)[4..], [expected[3], expected[0]]);
        assert_eq!(beginnings(Parts::Fifths, "一二三四五", 2), ["一", "一二"]);
        assert_eq!(beginnings(Parts::Fifths, "x", 5), [""; 5]);
    }
}
