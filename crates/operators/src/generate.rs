//! `generate` makes arithmetic word problems with known answers and worked solutions.
//!
//! A problem of level L has L operations on a small number: take some, lose some, times 2 or 3. Texts are short, so
//! that small models can learn them, and a prompt ends in a line break, where the solution begins:
//!
//! ```text
//! Ann has 12 pens. Gets 7. Loses 3. Doubles.
//! 12+7=19
//! 19-3=16
//! 16*2=32
//! #### 32
//! ```
//!
//! Whether a problem is held out is decided by the hash of its text (one in eight is), so that the two splits never
//! share one, whatever the seeds. Problems of one step are distinct. Raising `n` keeps those made before.
//!
//! Ports: `out`, one row per problem: the record `prompt`.
//!
//! Rejects: none. Asking for more distinct problems than there are is a mistake of the pipeline.
//!
//! Cost: a few microseconds a problem.
//!
//! ```yaml
//! pool: {op: generate, n: 5000, levels: [1, 2, 3, 4, 5, 6], seed: 1}
//! ```

mod problem;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use flow_data::{Heap, Id, kind};
use flow_dataflow::{Body, Out, Source, SourceError};
use flow_plan::{Arity, Input, Problem as Mistake, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::random::below;
use crate::read::prompt_row;
use crate::{BuildError, Definition, Env, StepContext, codes};
use problem::{Problem, n_texts};

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
    /// Levels, 1 to 6, in equal shares, or a weight for each: `{1: 0.5, 2: 0.5}`. By default all in equal shares.
    #[serde(default = "levels")]
    levels: Levels,
    /// Which problems; by default the pipeline's seed.
    seed: Option<u64>,
    /// Whether to make problems to learn from or ones held out from learning.
    #[serde(default)]
    split: Split,
}

/// Which levels, and how much of each.
#[derive(Deserialize, serde::Serialize, JsonSchema)]
#[serde(untagged)]
enum Levels {
    /// In equal shares.
    Equal(#[schemars(length(min = 1), inner(range(min = 1, max = 6)))] Vec<u32>),
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
    let number = level.parse::<u32>().ok().filter(|level| (1..=6).contains(level));
    let number = number
        .ok_or_else(|| Mistake::new(&place, format!("expected a level from 1 to 6, found \"{level}\"")))?;
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
        refuse_too_many(config.n, &levels, config.split).map_err(|mistake| vec![mistake])?;
        Ok(Shape::new(kind("prompt").columns().clone()))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let levels =
            config.levels.weights().map_err(|mistake| BuildError::step(&step.step.name, mistake.message))?;
        let seed = config.seed.unwrap_or(step.plan.seed);
        Ok(Body::Source(Arc::new(Generator { n: config.n, levels, seed, split: config.split })))
    }
}

/// Errs where a level is asked for clearly more problems than it has. How many of them the split has is known to
/// within chance: the last few are found out by making them.
fn refuse_too_many(n: u64, levels: &[(u32, usize)], split: Split) -> Result<(), Mistake> {
    let total: usize = levels.iter().map(|(_, weight)| weight).sum();
    let share = match split {
        Split::Train => 1.0 - 1.0 / HELD_OUT_ONE_IN as f64,
        Split::HeldOut => 1.0 / HELD_OUT_ONE_IN as f64,
    };
    for (level, weight) in levels {
        let wanted = n as f64 * (*weight as f64 / total as f64);
        let there_are = share * n_texts(*level, (wanted / share).ceil() as u64) as f64;
        if wanted > 1.02 * there_are + 1000.0 {
            let message = format!(
                "expected at most about {there_are:.0} problems of level {level} in this split, found {wanted:.0} asked for"
            );
            let mistake = Mistake { code: &codes::EXHAUSTED, ..Mistake::new("n", message) };
            return Err(mistake.with_help("ask for fewer problems, or for higher levels, which have more"));
        }
    }
    Ok(())
}

struct Generator {
    n: u64,
    /// Levels with their weights.
    levels: Vec<(u32, usize)>,
    seed: u64,
    split: Split,
}

impl Source for Generator {
    fn load(&self, _: &Heap, out: &mut Out<'_>) -> Result<(), SourceError> {
        let mut made = HashSet::new();
        for at in 0..self.n {
            let problem = self.problem(at, &made).ok_or_else(|| self.exhausted(at))?;
            made.insert(problem.text_id());
            let cells = problem.cells();
            out.create(0, 0, prompt_row(&cells[0]), cells);
        }
        Ok(())
    }
}

impl Generator {
    /// The `at`-th problem: the first of its random stream that is new and belongs to the split.
    fn problem(&self, at: u64, made: &HashSet<Id>) -> Option<Problem> {
        let mut state = Id::of("generate", [&self.seed.to_le_bytes()[..], &at.to_le_bytes()]).leading();
        let level = self.level(&mut state);
        let mut tried = (0..ATTEMPTS).map(|_| Problem::draw(&mut state, level));
        tried.find(|problem| {
            let id = problem.text_id();
            (id.leading() % HELD_OUT_ONE_IN == 0) == (self.split == Split::HeldOut) && !made.contains(&id)
        })
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
            message: format!("made {made} distinct problems of {}, then found no new one", self.n),
            help: Some("ask for fewer problems, or for higher levels, which have more".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value as Json;

    use crate::testing::{load, mistakes};

    fn generate(options: &str) -> Vec<Json> {
        load(&format!("op: generate, {options}"))
            .expect("there are enough problems")
            .remove("out")
            .unwrap_or_default()
    }

    fn texts(rows: &[Json]) -> BTreeSet<String> {
        rows.iter().map(|row| row["prompt"].as_str().unwrap_or_default().to_owned()).collect()
    }

    #[test]
    fn problems_are_distinct_fixed_by_the_seed_and_kept_when_more_are_made() {
        let rows = generate("n: 3000, seed: 5");
        assert_eq!(texts(&rows).len(), 3000);
        assert_eq!(rows, generate("n: 3000, seed: 5"));
        assert_eq!(rows[..100], generate("n: 100, seed: 5"));
        assert_ne!(rows[..100], generate("n: 100, seed: 6"));
    }

    #[test]
    fn splits_share_no_problem_whatever_the_seeds() {
        let held_out = texts(&generate("n: 5000, levels: [1], seed: 2, split: held_out"));
        for seed in [2, 3] {
            let train = texts(&generate(&format!("n: 20000, levels: [1], seed: {seed}")));
            assert!(train.is_disjoint(&held_out));
        }
    }

    #[test]
    fn levels_have_their_shares() {
        let rows = generate("n: 4000, levels: {1: 3, 4: 1}, seed: 1");
        let share = |level: i64| rows.iter().filter(|row| row["level"] == level).count() as f64 / 4000.0;
        assert!((share(1) - 0.75).abs() < 0.03 && (share(4) - 0.25).abs() < 0.03);
        assert_eq!(share(1) + share(4), 1.0);
    }

    #[test]
    fn every_solution_is_sound_and_ends_in_the_answer() {
        for row in generate("n: 600, seed: 3") {
            let solution = row["solution"].as_str().expect("a solution");
            let steps = flow_verify::check_steps(solution);
            assert!(flow_verify::all_sound(&steps), "{solution}");
            assert_eq!(steps.len() as i64, row["level"].as_i64().expect("a level") + 1);
            let answer = flow_verify::extract(solution, flow_verify::Extract::FinalLine).expect("an answer");
            assert_eq!(row["answer"], *answer.text);
            assert!(
                row["prompt"].as_str().is_some_and(|prompt| prompt.ends_with(".\n") && prompt.len() < 120)
            );
        }
    }

    #[test]
    fn more_problems_than_there_are_is_told_at_once() {
        let most = "op: generate, n: 100000000, levels: [1, 6]";
        let found = mistakes(None, most);
        assert!(found.len() == 1 && found[0].contains("problems of level 1 in this split"), "{found:?}");
        assert!(mistakes(None, "op: generate, n: 100000000, levels: [6]").is_empty());
        // So close to all there are that only making them tells.
        let held_out = "op: generate, n: 160000, levels: [1], split: held_out";
        assert!(mistakes(None, held_out).is_empty());
        assert!(!mistakes(None, &held_out.replace("160000", "175000")).is_empty());
    }

    #[test]
    fn mistakes_are_told_before_the_run() {
        for levels in ["[7]", "[]", "{x: 1}", "{1: 0}", "{1: -1}"] {
            assert_eq!(mistakes(None, &format!("op: generate, n: 1, levels: {levels}")).len(), 1, "{levels}");
        }
    }
}
