//! `vote` takes the most frequent answer among the draws of each prompt.
//!
//! Answers count as one when they are the same value (`compare`); the answer is written as in the draw with the lowest
//! id that gave it, and of equally frequent answers that of the lowest id wins.
//!
//! Ports: `out`, one row per prompt: its columns of the record `prompt`, then the record `vote`.
//!
//! Rejects: `no_answer` (the draw has no extracted answer).
//!
//! Cost: keeps the rows arranged; a changed draw costs its prompt's draws times their distinct answers.
//!
//! ```yaml
//! consensus: {op: vote, from: answers}
//! ```

use std::sync::Arc;

use flow_data::{Columns, Id, Item, Type, Value, kind};
use flow_dataflow::{Body, KeyedOp, Out, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_verify::{Compare, Options};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::alike::{alike, most_frequent};
use crate::{BuildError, Definition, Env, StepContext};

/// Options of `vote`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// When two answers are the same: `math`, `numeric` or `exact`.
    #[serde(default = "crate::defaults::compare")]
    compare: String,
    /// Column that holds the answer of a draw, as `extract` and `verify` make it.
    #[serde(default = "extracted")]
    extracted: String,
}

fn extracted() -> String {
    "extracted".into()
}

/// The operator.
pub(crate) struct Vote;

impl Definition for Vote {
    const NAME: &'static str = "vote";
    const SOURCE: &'static str = include_str!("vote.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Vec::new();
        problems
            .extend(config.compare.parse::<Compare>().err().map(|e| Problem::new("compare", e.to_string())));
        problems.extend(inputs[0].column_of("from", "prompt_id", &[Type::Text]).err());
        if let Err(problem) = inputs[0].column_of("extracted", &config.extracted, &[Type::Text]) {
            let help = "put an `extract` step before `vote`".to_owned();
            problems.push(if config.extracted == extracted() { problem.with_help(help) } else { problem });
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let kept = of_the_prompt(inputs[0].columns).into_iter().map(|(_, column)| column);
        Ok(Shape::new(Columns::new(kept).extended(kind("vote").columns())))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let compare = config.compare.parse();
        let voter = Voter {
            prompt_id: step.column("prompt_id"),
            extracted: step.column(&config.extracted),
            kept: of_the_prompt(&step.columns()).into_iter().map(|(at, _)| at).collect(),
            compare: Options::new(compare.map_err(|error: flow_verify::UnknownName| {
                BuildError::step(&step.step.name, error.to_string())
            })?),
        };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(voter))]))
    }
}

/// The columns of the record `prompt` among `columns`, with their positions.
fn of_the_prompt(columns: &Columns) -> Vec<(usize, flow_data::Column)> {
    let prompt = kind("prompt").columns();
    let kept = columns.visible().filter(|(_, column)| prompt.index(&column.name).is_some());
    kept.map(|(at, column)| (at, column.clone())).collect()
}

struct Voter {
    prompt_id: usize,
    extracted: usize,
    kept: Vec<usize>,
    compare: Options,
}

impl KeyedOp for Voter {
    fn key(&self, item: &Item) -> Id {
        Id::of("prompt", [item.text(self.prompt_id).unwrap_or_default().as_bytes()])
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        let (voters, silent): (Vec<&Item>, Vec<&Item>) =
            items.iter().partition(|item| item.text(self.extracted).is_some());
        silent.iter().for_each(|item| out.reject(item, "no_answer", "the draw has no extracted answer"));
        voters.iter().for_each(|item| out.take(item));
        let said = alike(voters.iter().map(|item| item.text(self.extracted)), &self.compare);
        let Some((best, votes)) = most_frequent(&said) else { return };
        let answer = voters[best].text(self.extracted).unwrap_or_default();
        let ids: Vec<String> = voters.iter().map(|item| item.row.id.to_string()).collect();
        let mut cells: Vec<Value> = self.kept.iter().map(|at| items[0].get(*at).clone()).collect();
        cells.push(Value::texts(ids.iter().map(String::as_str)));
        cells.extend([answer.into(), (votes as i64).into(), (voters.len() as i64).into()]);
        let round = items[0].row.round;
        let id = Id::of("vote", [&self.key(&items[0]).0[..], &round.to_le_bytes()]);
        out.create(0, round, id, cells);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::testing::{Ports, columns, mistakes, run};

    fn vote(draws: &[(&str, Option<&str>)], options: &str) -> Ports {
        let row = |(id, extracted): &(&str, Option<&str>)| json!({"prompt_id": id, "prompt": "q", "answer": "2", "extracted": extracted});
        let rows: Vec<Json> = draws.iter().map(row).collect();
        run(&columns("prompt extracted:text"), &rows, &format!("op: vote{options}"))
    }

    #[test]
    fn the_most_frequent_value_wins() {
        let draws = [("a", Some("1")), ("a", Some("2.0")), ("b", Some("5")), ("a", Some("2")), ("a", None)];
        let ports = vote(&draws, "");
        let won: Vec<_> = ports["out"]
            .iter()
            .map(|row| [&row["prompt_id"], &row["vote_answer"], &row["votes"], &row["voters"]])
            .collect();
        assert_eq!(won.len(), 2);
        assert!(won.contains(&[&json!("a"), &json!("2.0"), &json!(2), &json!(3)]), "{won:?}");
        assert!(won.contains(&[&json!("b"), &json!("5"), &json!(1), &json!(1)]), "{won:?}");
        assert_eq!(ports["out"][0]["answer"], "2");
        assert_eq!(ports["rejected"].len(), 1);
    }

    #[test]
    fn ties_go_to_the_lowest_id_and_exact_answers_stay_apart() {
        let draws = [("a", Some("3")), ("a", Some("2")), ("a", Some("2.0")), ("a", Some("3.0"))];
        for (options, votes) in [("", 2), (", compare: exact", 1)] {
            let ports = vote(&draws, options);
            assert_eq!(
                (&ports["out"][0]["vote_answer"], &ports["out"][0]["votes"]),
                (&json!("3"), &json!(votes))
            );
        }
    }

    #[test]
    fn a_prompt_without_any_answer_has_no_vote() {
        let ports = vote(&[("a", None), ("a", None)], "");
        assert_eq!((ports["out"].len(), ports["rejected"].len()), (0, 2));
    }

    #[test]
    fn mistakes_are_told_together() {
        let found = mistakes(Some(&columns("draw")), "op: vote, compare: fuzzy");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|one| one.contains("put an `extract` step before")), "{found:?}");
    }
}
