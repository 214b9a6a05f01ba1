//! Draws until a prompt has enough correct completions, or its budget is spent.
//!
//! All prompts go on together, each with as many draws as it lacks at least: none is drawn in vain, and where a prompt ends
//! depends on its own draws alone. The draws are those that a larger `n` would make, in their order.

use std::sync::{Mutex, PoisonError};

use flow_data::{Id, IdHasher, Item, Type, Value};
use flow_dataflow::{Answer, EffectOp, Out, Perform, Request};
use flow_plan::{Input, Problem};
use flow_verify::{Grader, Outcome};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::drawer::Drawer;
use crate::draws::{Asked, Draw};
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
    /// What is wrong with it, beside `n` first draws.
    pub(super) fn problems(&self, n: u32, input: &Input<'_>) -> Vec<Problem> {
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
        problems
    }

    fn grader(&self) -> Result<Grader, Vec<Problem>> {
        let keys = [("extract", &self.extract), ("compare", &self.compare)];
        let given = keys.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)));
        grading::grader(self.preset.as_deref(), given)
    }
}

/// Asks for all draws of a prompt at once: an answer is the cells of its draws, one after the other.
pub(super) struct Floor {
    drawer: Drawer,
    until: Until,
    answer: usize,
    grader: Grader,
}

impl Floor {
    pub(super) fn new(until: Until, drawer: Drawer, step: &StepContext<'_>) -> Result<Self, BuildError> {
        let grader = until.grader();
        let grader = grader.map_err(|p| BuildError::step(&step.step.name, p[0].message.clone()))?;
        Ok(Self { drawer, answer: step.column(&until.answer), grader, until })
    }

    fn is_correct(&self, item: &Item, draw: &[Value]) -> bool {
        let gold = item.text(self.answer).unwrap_or_default();
        let graded = self.grader.grade(gold, Draw::new(draw).completion());
        graded.verdict.outcome == Outcome::Equal
    }

    /// Draws once more for each of `open`, which ask the same `model`. Whether it was not cancelled.
    fn advance(&self, model: Option<Id>, open: &mut [Open<'_>], perform: &Perform) -> bool {
        let draws = |open: &Open<'_>| open.drawn()..open.drawn() + open.lacks;
        let asked: Vec<Asked<'_>> = open
            .iter()
            .flat_map(|open| {
                let item = &open.request.item;
                draws(open).map(move |index| Asked { item, round: item.row.round, index })
            })
            .collect();
        let answers: Vec<Mutex<Option<Answer>>> = asked.iter().map(|_| Mutex::new(None)).collect();
        let ask = |item: &Item| (self.drawer.ask)(item).unwrap_or_default();
        self.drawer.draws.draw(model, &asked, &ask, perform.cancel_flag(), &|at, answer| {
            *answers[at].lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        });
        let answers = answers.into_iter().map(|answer| answer.into_inner().unwrap_or_else(PoisonError::into_inner));
        let Some(answers) = answers.collect::<Option<Vec<Answer>>>() else { return false };
        let mut answers = answers.into_iter();
        for open in open {
            for answer in answers.by_ref().take(open.lacks as usize) {
                open.take(answer, self);
            }
            let missing = self.until.correct.saturating_sub(open.correct);
            open.lacks = missing.min(self.until.budget - open.drawn());
        }
        true
    }
}

/// Cells of one draw.
const WIDTH: usize = 5;

/// A prompt that is being drawn for.
struct Open<'a> {
    /// Its place among the requests.
    at: usize,
    request: &'a Request,
    /// The draws so far, or why there are none.
    draws: Answer,
    correct: u32,
    /// Draws that it lacks at least.
    lacks: u32,
}

impl Open<'_> {
    fn drawn(&self) -> u32 {
        self.draws.as_ref().map_or(0, |cells| (cells.len() / WIDTH) as u32)
    }

    fn take(&mut self, answer: Answer, floor: &Floor) {
        match (answer, &mut self.draws) {
            (Ok(cells), Ok(draws)) => {
                self.correct += u32::from(floor.is_correct(&self.request.item, &cells));
                draws.extend(cells);
            }
            (Err(failure), draws @ Ok(_)) => *draws = Err(failure),
            (_, Err(_)) => {}
        }
    }

    fn is_done(&self) -> bool {
        self.lacks == 0 || self.draws.is_err()
    }
}

impl EffectOp for Floor {
    fn tokens(&self, answer: &[Value]) -> u64 {
        answer.chunks(WIDTH).map(|draw| Draw::new(draw).tokens()).sum()
    }

    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let ask = (self.drawer.ask)(item)?;
        let gold = item.text(self.answer);
        let gold = gold.ok_or_else(|| ("no_answer", "there is no known answer".to_owned()))?;
        let first = self.drawer.draws.request(item, &ask, model, item.row.round, 0);
        let Until { correct, budget, answer: _, preset, extract, compare } = &self.until;
        let mut key = IdHasher::new("draws until");
        key.part(&first.key.0).part(gold.as_bytes());
        [&self.drawer.n, correct, budget].iter().for_each(|number| {
            key.part(&number.to_le_bytes());
        });
        key.part(format!("{preset:?} {extract:?} {compare:?}").as_bytes());
        Ok(vec![Request { key: key.finish(), ..first }])
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        let mut by_model: Vec<usize> = (0..requests.len()).collect();
        by_model.sort_by_key(|at| (requests[*at].model, requests[*at].item.row));
        for batch in by_model.chunk_by(|a, b| requests[*a].model == requests[*b].model) {
            let model = requests[batch[0]].model;
            let begin = |&at: &usize| Open {
                at,
                request: &requests[at],
                draws: Ok(Vec::new()),
                correct: 0,
                lacks: self.drawer.n,
            };
            let mut open: Vec<Open<'_>> = batch.iter().map(begin).collect();
            while !open.is_empty() && self.advance(model, &mut open, perform) {
                let (done, rest): (Vec<_>, Vec<_>) = open.into_iter().partition(Open::is_done);
                done.into_iter().for_each(|open| perform.answer(open.at, open.draws));
                open = rest;
            }
        }
    }

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        let ask = (self.drawer.ask)(item).unwrap_or_default();
        let draws = &self.drawer.draws;
        for (index, draw) in answers[0].chunks_exact(WIDTH).enumerate() {
            let id = draws.request(item, &ask, model, item.row.round, index as u32).key;
            let cells = Draw::new(draw).record(&item.row.id, model, draws.seed(), index);
            out.derive(0, item, item.row.round, id, cells);
        }
    }
}
