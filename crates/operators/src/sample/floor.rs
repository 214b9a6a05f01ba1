//! Draws until a prompt has enough correct completions, or its budget is spent.
//!
//! Each prompt goes on by itself, with as many draws as it lacks at least: none is drawn in vain, and where a prompt ends
//! depends on its own draws alone. Each draw is an answer of its own, the one that a larger `n` would make where it has no
//! guide: another floor or budget asks only for what is missing.

use flow_data::{Id, Item, Type, Value};
use flow_dataflow::Out;
use flow_plan::{Input, Problem};
use flow_verify::{Grader, Outcome};
use schemars::JsonSchema;
use serde::Deserialize;

use super::guide::{Guidance, Guide, Help};
use crate::drawer::Drawer;
use crate::drawing::{Drawing, Refused};
use crate::draws::{Ask, Draw, Draws};
use crate::{BuildError, StepContext, grading};

/// When a prompt has had enough draws.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Until {
    /// Correct completions that suffice, at least 1.
    #[schemars(range(min = 1, max = 65_536))]
    correct: u32,
    /// Most draws per prompt, the first `n` among them.
    #[schemars(range(min = 1, max = 65_536))]
    budget: u32,
    /// How draws beyond the first `n` are helped; by default they are not.
    pub(super) guide: Option<Guide>,
    /// Column that holds the known answer.
    #[serde(default = "crate::defaults::answer")]
    answer: String,
    /// The data set whose rules hold, as in `verify`: `gsm8k`, `math`, `aime`, `boxed`, `numeric`, `choice` or `exact`.
    preset: Option<String>,
    /// Where a completion states its answer, as in `verify`; `auto` without a preset.
    extract: Option<String>,
    /// How answers are compared: `math`, `numeric` or `exact`; `math` without a preset.
    compare: Option<String>,
}

impl Until {
    /// What is wrong with it, beside `n` first draws; `begun` tells whether the step's own `prefix` begins completions.
    pub(super) fn problems(&self, n: u32, begun: bool, input: &Input<'_>) -> Vec<Problem> {
        let mut problems = self.grader().err().unwrap_or_default();
        for problem in &mut problems {
            problem.path = format!("until.{}", problem.path);
        }
        for (least, of) in [(n, format!("n, {n}")), (self.correct, format!("`correct`, {}", self.correct))] {
            if self.budget < least {
                let words = format!("expected at least {of}, found {}", self.budget);
                problems.push(Problem::new("until.budget", words));
            }
        }
        problems.extend(input.column_of("until.answer", &self.answer, &[Type::Text]).err());
        problems.extend(self.guide.iter().flat_map(|guide| guide.problems(begun, input)));
        problems
    }

    fn grader(&self) -> Result<Grader, Vec<Problem>> {
        let keys = [("extract", &self.extract), ("compare", &self.compare)];
        let given = keys.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        grading::grader(self.preset.as_deref(), given)
    }
}

/// Asks for the first draws of a prompt, and then for what it lacks.
pub(super) struct Floor {
    drawer: Drawer,
    until: Until,
    guidance: Option<Guidance>,
    answer: usize,
    grader: Grader,
}

impl Floor {
    pub(super) fn new(until: Until, drawer: Drawer, step: &StepContext<'_>) -> Result<Self, BuildError> {
        let grader = until.grader();
        let grader = grader.map_err(|p| BuildError::step(&step.step.name, p[0].message.clone()))?;
        let guidance = until.guide.as_ref().map(|guide| guide.guidance(step)).transpose()?;
        Ok(Self { drawer, guidance, answer: step.column(&until.answer), grader, until })
    }

    /// What the `index`-th draw for `item` is asked, and how it is helped.
    fn asked(&self, item: &Item, index: u32) -> Result<(Ask, Help), Refused> {
        let plain = (self.drawer.ask)(item)?;
        match (&self.guidance, index.checked_sub(self.drawer.n)) {
            (Some(guidance), Some(turn)) => guidance.guide(item, plain, turn),
            _ => Ok((plain, Help::default())),
        }
    }

    fn is_correct(&self, item: &Item, index: u32, draw: &[Value]) -> bool {
        let given = self.asked(item, index).ok().and_then(|(_, help)| help.given()).unwrap_or(0);
        let (gold, completion) = (item.text(self.answer).unwrap_or_default(), Draw::new(draw).completion());
        grading::grade_own(&self.grader, Some(gold), completion, given).verdict.outcome == Outcome::Equal
    }
}

impl Drawing for Floor {
    fn draws(&self) -> &Draws {
        &self.drawer.draws
    }

    fn first(&self, item: &Item) -> Result<u32, Refused> {
        item.text(self.answer).ok_or_else(|| ("no_answer", "there is no known answer".to_owned()))?;
        // A prompt that could not be helped is told before it is drawn for.
        self.asked(item, self.drawer.n)?;
        Ok(self.drawer.n)
    }

    fn ask(&self, item: &Item, index: u32) -> Result<Ask, Refused> {
        self.asked(item, index).map(|(ask, _)| ask)
    }

    fn lacks(&self, item: &Item, answers: &[&[Value]]) -> u32 {
        let correct = (0..).zip(answers).filter(|(index, draw)| self.is_correct(item, *index, draw)).count() as u32;
        let left = self.until.budget.saturating_sub(answers.len() as u32);
        self.until.correct.saturating_sub(correct).min(left)
    }

    fn may_lack(&self) -> bool {
        self.until.budget > self.drawer.n
    }

    fn draws_stand_alone(&self) -> bool {
        true
    }

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        let draws = self.draws();
        for (index, answer) in answers.iter().enumerate() {
            let (ask, help) = self.asked(item, index as u32).unwrap_or_default();
            let id = draws.request(item, &ask, model, item.row.round, index as u32).key;
            let mut cells = Draw::new(answer).record(&item.row.id, model, draws.seed(), index);
            cells.extend(help.record());
            out.derive(0, item, item.row.round, id, cells);
        }
    }
}
