//! `generate` makes word problems with known answers and worked solutions.
//!
//! A problem of level L is solved by L equations, each a line of its solution. Plain texts are short, so that small
//! models can learn them, and a prompt ends in a line break, where the solution begins:
//!
//! ```text
//! Ann has 12 pens. Gets 7. Loses 3. Doubles.
//! 12+7=19
//! 19-3=16
//! 16*2=32
//! #### 32
//! ```
//!
//! By default problems are such arithmetic ones. `domains` names others, in equal shares: `equations` (linear, in x),
//! `units`, `time` (of a day, dates of a year), `ordering` (who has most) and `modular` (counting). What a model has not
//! learned from is made by higher levels, larger numbers, unseen phrasing, and facts beside the point.
//!
//! Whether a problem is held out is decided by the hash of its plain text (one in eight is), so that the two splits
//! never share one, whatever the seeds and the words. Problems of one step are distinct. Raising `n` keeps those made
//! before.
//!
//! Ports: `out`, one row per problem: the record `prompt`, with `domain` where `domains` is given.
//!
//! Rejects: none. Asking for more distinct problems than there are is a mistake of the pipeline.
//!
//! Cost: some ten microseconds a problem.
//!
//! ```yaml
//! pool: {op: generate, n: 5000, levels: [1, 2, 3, 4, 5, 6], seed: 1}
//! far: {op: generate, n: 500, domains: [units, time], levels: [7, 8], largest_number: 300, phrasing: unseen, split: held_out}
//! ```

mod domain;
mod problem;
#[cfg(test)]
mod tests;
mod wording;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use flow_data::{Column, Columns, Heap, Id, Type, kind};
use flow_dataflow::{Body, Out, Source, SourceError};
use flow_plan::{Arity, Input, Problem as Mistake, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::random::below;
use crate::read::prompt_row;
use crate::{BuildError, Definition, Env, StepContext, codes};
use domain::Domain;
use problem::{MOST_DISTRACTORS, Problem, Task};
use wording::Phrasing;

/// One problem in so many is held out.
const HELD_OUT_ONE_IN: u64 = 8;

/// Fresh problems tried for one row before giving up; a level with one new problem in a thousand is missed with a
/// chance below 1e-8.
const ATTEMPTS: usize = 20_000;

/// Finest share of a level.
const WEIGHT_STEPS: f64 = 1_000_000.0;

/// Options of `generate`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Problems, at least 1.
    #[schemars(range(min = 1, max = 100_000_000))]
    n: u64,
    /// Levels, 1 to 12, in equal shares, or a weight for each: `{1: 0.5, 2: 0.5}`. By default 1 to 6 in equal shares.
    #[serde(default = "levels")]
    levels: Levels,
    /// Which problems; by default the pipeline's seed.
    seed: Option<u64>,
    /// Whether to make problems to learn from or ones held out from learning.
    #[serde(default)]
    split: Split,
    /// What problems are about, in equal shares. By default `arithmetic`, without the column `domain`.
    #[schemars(length(min = 1), extend("uniqueItems" = true))]
    domains: Option<Vec<Domain>>,
    /// In which words problems are said.
    #[serde(default)]
    phrasing: Phrasing,
    /// Facts in each problem that are beside the point.
    #[serde(default)]
    #[schemars(range(max = MOST_DISTRACTORS))]
    distractors: usize,
    /// Largest number that a problem begins with, or that it adds at once.
    #[serde(default = "largest_number")]
    #[schemars(range(min = 10, max = 1_000_000))]
    largest_number: usize,
}

/// Which levels, and how much of each.
#[derive(Deserialize, serde::Serialize, JsonSchema)]
#[serde(untagged)]
enum Levels {
    /// In equal shares.
    Equal(#[schemars(length(min = 1), inner(range(min = 1, max = 12)))] Vec<u32>),
    /// By weight; the weights need not sum to 1.
    Weighted(BTreeMap<String, f64>),
}

/// Which side of the fence a problem is on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Split {
    /// To learn from.
    #[default]
    Train,
    /// Held out from learning.
    HeldOut,
}

fn levels() -> Levels {
    Levels::Equal((1..=6).collect())
}

fn largest_number() -> usize {
    30
}

impl Config {
    fn domains(&self) -> &[Domain] {
        self.domains.as_deref().unwrap_or(&[Domain::Arithmetic])
    }
}

impl Levels {
    /// Each level with its weight in whole steps, at least one level above 0.
    fn weights(&self) -> Result<Vec<(u32, usize)>, Mistake> {
        match self {
            Levels::Equal(levels) => Ok(levels.iter().map(|level| (*level, 1)).collect()),
            Levels::Weighted(weights) => {
                let weights: Vec<(u32, usize)> = weights
                    .iter()
                    .map(|(level, weight)| weight_of(level, *weight))
                    .collect::<Result<_, _>>()?;
                match weights.iter().any(|(_, weight)| *weight > 0) {
                    true => Ok(weights),
                    false => Err(Mistake::new("levels", "expected a weight above 0 for at least one level")),
                }
            }
        }
    }
}

fn weight_of(level: &str, weight: f64) -> Result<(u32, usize), Mistake> {
    let place = format!("levels.{level}");
    let number = level.parse::<u32>().ok().filter(|level| (1..=12).contains(level));
    let number = number
        .ok_or_else(|| Mistake::new(&place, format!("expected a level from 1 to 12, found \"{level}\"")))?;
    if !(0.0..=1e6).contains(&weight) {
        return Err(Mistake::new(&place, format!("expected a weight from 0 to 1000000, found {weight}")));
    }
    Ok((number, (weight * WEIGHT_STEPS).round() as usize))
}

/// The operator.
pub(crate) struct Generate;

impl Definition for Generate {
    const NAME: &'static str = "generate";
    const SOURCE: &'static str = include_str!("generate.rs");
    const ARITY: Arity = Arity::None;
    type Config = Config;

    fn shape(config: &Config, _: &[Input<'_>]) -> Result<Shape, Vec<Mistake>> {
        let levels = config.levels.weights().map_err(|mistake| vec![mistake])?;
        refuse_too_many(config, &levels).map_err(|mistake| vec![mistake])?;
        let columns = kind("prompt").columns();
        let domain = Column::new("domain", Type::Text, false, "What the problem is about.");
        Ok(Shape::new(match config.domains {
            Some(_) => columns.extended(&Columns::new([domain])),
            None => columns.clone(),
        }))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let levels =
            config.levels.weights().map_err(|mistake| BuildError::step(&step.step.name, mistake.message))?;
        let seed = config.seed.unwrap_or(step.plan.seed);
        Ok(Body::Source(Arc::new(Generator { config, levels, seed })))
    }
}

/// Errs where a level is asked for clearly more problems than it has, as far as making them is not the only way to
/// tell. How many of them the split has is known to within chance: the last few are found out by making them.
fn refuse_too_many(config: &Config, levels: &[(u32, usize)]) -> Result<(), Mistake> {
    let total: usize = levels.iter().map(|(_, weight)| weight).sum();
    let share = match config.split {
        Split::Train => 1.0 - 1.0 / HELD_OUT_ONE_IN as f64,
        Split::HeldOut => 1.0 / HELD_OUT_ONE_IN as f64,
    };
    let domains = config.domains();
    for (level, weight) in levels {
        let wanted = config.n as f64 * (*weight as f64 / total as f64) / domains.len() as f64;
        let enough = (wanted / share).ceil() as u64;
        let n_texts = domains.iter().filter_map(|domain| domain.n_texts(*level, config.largest_number, enough));
        let Some(fewest) = n_texts.min() else { continue };
        let there_are = share * fewest as f64;
        if wanted > 1.02 * there_are + 1000.0 {
            let message = format!(
                "expected at most about {there_are:.0} problems of level {level} in this split, found {wanted:.0} asked for"
            );
            let mistake = Mistake { code: &codes::EXHAUSTED, ..Mistake::new("n", message) };
            return Err(mistake.with_help(FEWER));
        }
    }
    Ok(())
}

/// What to do where there are too few problems.
const FEWER: &str = "ask for fewer problems, or for higher levels, which have more";

struct Generator {
    config: Config,
    /// Levels with their weights.
    levels: Vec<(u32, usize)>,
    seed: u64,
}

impl Source for Generator {
    fn load(&self, _: &Heap, out: &mut Out<'_>) -> Result<(), SourceError> {
        let mut made = HashSet::new();
        for at in 0..self.config.n {
            let problem = self.problem(at, &made).ok_or_else(|| self.exhausted(at))?;
            made.insert(problem.text_id());
            let mut cells = problem.cells();
            if self.config.domains.is_none() {
                cells.pop();
            }
            out.create(0, 0, prompt_row(&cells[0]), cells);
        }
        Ok(())
    }
}

impl Generator {
    /// The `at`-th problem: the first of its random stream that is new and belongs to the split.
    fn problem(&self, at: u64, made: &HashSet<Id>) -> Option<Problem> {
        let mut state = Id::of("generate", [&self.seed.to_le_bytes()[..], &at.to_le_bytes()]).leading();
        let task = self.task(&mut state);
        let mut tried = (0..ATTEMPTS).map(|_| Problem::draw(&mut state, &task));
        tried.find(|problem| {
            let id = problem.text_id();
            let held_out = id.leading().is_multiple_of(HELD_OUT_ONE_IN);
            held_out == (self.config.split == Split::HeldOut) && !made.contains(&id)
        })
    }

    /// The kind of the next problem. A single domain takes nothing from the random state.
    fn task(&self, state: &mut u64) -> Task {
        let level = self.level(state);
        let domain = match self.config.domains() {
            [domain] => *domain,
            domains => domains[below(state, domains.len())],
        };
        let Config { phrasing, distractors, largest_number: largest, .. } = self.config;
        Task { domain, level, largest, phrasing, distractors }
    }

    fn level(&self, state: &mut u64) -> u32 {
        let mut left = below(state, self.levels.iter().map(|(_, weight)| weight).sum());
        for (level, weight) in &self.levels {
            match left.checked_sub(*weight) {
                Some(rest) => left = rest,
                None => return *level,
            }
        }
        unreachable!("an index below the sum of the weights falls on one of them")
    }

    fn exhausted(&self, made: u64) -> SourceError {
        SourceError {
            code: codes::EXHAUSTED.id,
            message: format!("made {made} distinct problems of {}, then found no new one", self.config.n),
            help: Some(FEWER.to_owned()),
        }
    }
}
