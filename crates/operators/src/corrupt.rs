//! `corrupt` keeps a worked solution up to a step, and may write that step wrong.
//!
//! The step is one whose equation holds, chosen by chance; a step is a line. `sample` with `prefix: prefix` then goes on from
//! there. So come about solutions that may go wrong from a known step on, or do so in a known way (AutoMathCritique's second and
//! third generator, arXiv 2411.16579). Each mistake leaves the step's equation false, as `critique: {by: equations}` finds:
//! `result` writes another result, `operand` another number before it, `operation` another operation.
//!
//! Ports: `out`, the row followed by `prefix` (the steps before; with `mistakes` the wrong step too), `mistake_step` (its index
//! from 0) and `mistake` (null without `mistakes`).
//!
//! Rejects: `no_step` (there is no solution, or no step of it has an equation that one of the mistakes makes false).
//!
//! Cost: linear in the text; checks an equation for each step and each try.
//!
//! ```yaml
//! spoiled: {op: corrupt, from: questions, mistakes: [result, operand]}
//! ```

mod mistake;

use std::sync::Arc;

use flow_data::{Column, Columns, Id, Item, Type};
use flow_dataflow::{Body, Out, RowOp, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_verify::{Label, Step, check_steps};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::random::below;
use crate::{BuildError, Definition, Env, StepContext};
use mistake::Mistake;

/// Options of `corrupt`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Column that holds the solution.
    #[serde(default = "solution")]
    solution: String,
    /// Mistakes to write, in equal shares where they are possible; by default none, and the solution is only cut.
    #[serde(default)]
    mistakes: Vec<Mistake>,
    /// Chooses steps and mistakes; by default the pipeline's seed.
    seed: Option<u64>,
}

fn solution() -> String {
    "solution".into()
}

/// The operator.
pub(crate) struct Corrupt;

impl Definition for Corrupt {
    const NAME: &'static str = "corrupt";
    const SOURCE: &'static str = include_str!("corrupt.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        inputs[0].column_of("solution", &config.solution, &[Type::Text]).map_err(|problem| vec![problem])?;
        Ok(Shape::new(inputs[0].columns.extended(&Columns::new([
            Column::new("prefix", Type::Text, false, "The solution up to the step, with a line break at its end unless empty."),
            Column::new("mistake_step", Type::Int, false, "Index of the step from which on the solution may be wrong, from 0."),
            Column::new("mistake", Type::Text, true, "The mistake written there: `result`, `operand` or `operation`; null when none is."),
        ]))))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let corrupter = Corrupter {
            solution: step.column(&config.solution),
            mistakes: config.mistakes,
            seed: config.seed.unwrap_or(step.plan.seed),
        };
        Ok(Body::Chain(vec![Stage::Row(Arc::new(corrupter))]))
    }
}

struct Corrupter {
    solution: usize,
    mistakes: Vec<Mistake>,
    seed: u64,
}

/// A solution that is kept up to a step.
struct Corrupted {
    prefix: String,
    step: usize,
    mistake: Option<Mistake>,
}

impl RowOp for Corrupter {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        let seed = Id::of("corrupt", [&item.row.id.0[..], &self.seed.to_le_bytes()]);
        let solution = item.text(self.solution).unwrap_or_default();
        match self.corrupted(solution, &mut seed.leading()) {
            Some(Corrupted { prefix, step, mistake }) => {
                out.extend(0, item, vec![prefix.into(), (step as i64).into(), mistake.map(Mistake::name).into()]);
            }
            None => out.reject(item, "no_step", "no step has an equation that holds and can be made false"),
        }
    }
}

impl Corrupter {
    /// The solution up to a step, chosen by the random state `state`; none where no step will do.
    fn corrupted(&self, solution: &str, state: &mut u64) -> Option<Corrupted> {
        let steps = check_steps(solution);
        let mut open: Vec<usize> = (0..steps.len()).filter(|at| steps[*at].label == Label::Correct).collect();
        while !open.is_empty() {
            let at = open.swap_remove(below(state, open.len()));
            let before = &solution[..steps[at].range.start];
            if self.mistakes.is_empty() {
                return Some(Corrupted { prefix: before.to_owned(), step: at, mistake: None });
            }
            if let Some((mistake, wrong)) = self.wrong(&steps[at], state) {
                return Some(Corrupted { prefix: format!("{before}{wrong}\n"), step: at, mistake: Some(mistake) });
            }
        }
        None
    }

    /// The step with one of the mistakes, in the order of chance the first that makes its equation false.
    fn wrong(&self, step: &Step<'_>, state: &mut u64) -> Option<(Mistake, String)> {
        let mut open = self.mistakes.clone();
        while !open.is_empty() {
            let mistake = open.swap_remove(below(state, open.len()));
            let wrong = mistake.made_in(step.text, state);
            if let Some(wrong) = wrong.filter(|wrong| check_steps(wrong)[0].label == Label::Wrong) {
                return Some((mistake, wrong));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::testing::{columns, mistakes, run};

    const ALL: [Mistake; 3] = [Mistake::Result, Mistake::Operand, Mistake::Operation];

    fn corrupter(mistakes: &[Mistake]) -> Corrupter {
        Corrupter { solution: 0, mistakes: mistakes.to_vec(), seed: 0 }
    }

    fn solution() -> impl Strategy<Value = String> {
        let step = (2..99_u32, 2..99_u32).prop_map(|(a, b)| format!("{a}+{b}={}", a + b));
        proptest::collection::vec(step, 1..7).prop_map(|steps| format!("{}\n#### 7", steps.join("\n")))
    }

    proptest! {
        #[test]
        fn the_wrong_step_is_the_last_and_the_only_one(solution in solution(), mut state: u64, at in 0..3_usize) {
            let made = corrupter(&ALL[at..=at]).corrupted(&solution, &mut state).unwrap();
            let steps = check_steps(&made.prefix);
            prop_assert_eq!(made.step + 1, steps.len());
            prop_assert_eq!(flow_verify::first_wrong(&steps), Some(made.step));
            prop_assert_eq!(made.mistake, Some(ALL[at]));
            let kept = made.prefix.lines().zip(solution.lines()).take_while(|(a, b)| a == b).count();
            prop_assert_eq!(kept, made.step);
        }

        #[test]
        fn a_cut_solution_goes_on_where_it_was_cut(solution in solution(), mut state: u64) {
            let made = corrupter(&[]).corrupted(&solution, &mut state).unwrap();
            prop_assert_eq!(made.prefix.lines().count(), made.step);
            prop_assert!(solution.starts_with(&made.prefix) && made.mistake.is_none());
        }
    }

    #[test]
    fn every_step_and_mistake_is_chosen_at_times() {
        let mut state = 5;
        let made = (0..90).filter_map(|_| corrupter(&ALL).corrupted("2+3=5\n5*4=20\n#### 20", &mut state));
        let made: std::collections::BTreeSet<_> = made.map(|made| (made.step, made.mistake.map(Mistake::name))).collect();
        assert_eq!(made.len(), 6, "{made:?}");
    }

    #[test]
    fn rows_say_what_was_done() {
        let rows = [
            json!({"prompt_id": "a", "solution": "9 * 2 = $<<9*2=18>>18 a day\n#### 18"}),
            json!({"prompt_id": "b", "solution": "Nothing to work out.\n#### 18"}),
            json!({"prompt_id": "c"}),
        ];
        let ports = run(&columns("prompt"), &rows, "op: corrupt, mistakes: [result]");
        let [row] = &ports["out"][..] else { panic!("{ports:?}") };
        assert_eq!((&row["mistake"], &row["mistake_step"]), (&json!("result"), &json!(0)));
        assert!(row["prefix"].as_str().is_some_and(|text| text.starts_with("9 * 2 = $<<9*2=") && text.ends_with(" a day\n")));
        let reasons: Vec<&Json> = ports["rejected"].iter().map(|row| &row["reason"]).collect();
        assert_eq!(reasons, ["no_step", "no_step"]);
    }

    #[test]
    fn mistakes_are_told_before_the_run() {
        let found = mistakes(Some(&columns("draw")), "op: corrupt, mistakes: [slip]");
        assert!(found.len() == 2 && found[0].contains("has no column `solution`"), "{found:?}");
        assert!(found[1].contains("expected `result`, `operand` or `operation`"), "{found:?}");
    }
}
