//! `balance` chooses rows: so many per group, so many in all, in such shares.
//!
//! Per group of equal `per`: groups with fewer than `at_least` rows go, of the others `at_most` rows stay. Then per
//! round: `rows` in all, and with `by` an equal share of them for each value of a column, or with `quotas` the shares
//! given (a value that is not listed gets none), rounded by largest remainders. A share that is not filled stays unfilled.
//!
//! Which of several rows stay is decided by the hash of their ids, another one for every choice: rows that are added
//! push out few of those chosen before, and a choice does not bias the next one.
//!
//! Ports: `out`, the chosen rows as they came.
//!
//! Rejects: `under_floor`, `over_cap`, `over_total`, `over_quota`.
//!
//! Cost: keeps all rows arranged (about 60 bytes each), per group and again per round; a changed row costs its group
//! and, with `rows`, its round.
//!
//! ```yaml
//! chosen: {op: balance, from: graded.equal, per: prompt_id, at_most: 1, rows: 2000}
//! ```

mod groups;
mod totals;

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_data::{Item, Value};
use flow_dataflow::{Body, Stage};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{BuildError, Definition, Env, StepContext};
use groups::Groups;
use totals::{Shares, Totals};

/// Options of `balance`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Column that groups rows for `at_most` and `at_least`.
    per: Option<String>,
    /// Most rows kept of a group, at least 1.
    #[schemars(range(min = 1))]
    at_most: Option<u32>,
    /// Fewest rows that a group must have to be kept at all, at least 1 and at most `at_most`.
    #[schemars(range(min = 1))]
    at_least: Option<u32>,
    /// Most rows kept in a round, at least 1.
    #[schemars(range(min = 1))]
    rows: Option<u64>,
    /// Column whose values get equal shares of `rows`.
    by: Option<String>,
    /// Shares of `rows` for the values of a column.
    quotas: Option<Quotas>,
}

/// Shares of all rows for the values of a column.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Quotas {
    /// The column.
    column: String,
    /// Share of each value, above 0; together at most 1.
    shares: BTreeMap<String, f64>,
}

/// The operator.
pub(crate) struct Balance;

impl Definition for Balance {
    const NAME: &'static str = "balance";
    const SOURCE: &'static str = include_str!("balance.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = config.conflicts();
        let quotas = config.quotas.as_ref().map(|quotas| &quotas.column);
        let columns = [("per", config.per.as_ref()), ("by", config.by.as_ref()), ("quotas.column", quotas)];
        for (key, name) in columns {
            problems.extend(name.and_then(|name| inputs[0].column(key, name).err()));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Shape::new(inputs[0].columns.clone()))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let mut stages = Vec::new();
        if let Some(per) = &config.per {
            let groups = Groups::new(per, step.column(per), config.at_least, config.at_most);
            stages.push(Stage::Keyed(Arc::new(groups)));
        }
        if let Some(rows) = config.rows {
            let shares = match (&config.by, config.quotas) {
                (Some(by), _) => Shares::Equal(step.column(by)),
                (None, Some(quotas)) => Shares::Given(step.column(&quotas.column), quotas.shares),
                (None, None) => Shares::None,
            };
            let rows = usize::try_from(rows).unwrap_or(usize::MAX);
            stages.push(Stage::Keyed(Arc::new(Totals { rows, shares })));
        }
        Ok(Body::Chain(stages))
    }
}

impl Config {
    /// What does not go together.
    fn conflicts(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut conflict = |wrong: bool, key: &str, words: &str, help: &str| {
            if wrong {
                problems.push(Problem::new(key, words).with_help(help));
            }
        };
        let limited = self.at_most.is_some() || self.at_least.is_some();
        let shared = self.by.is_some() || self.quotas.is_some();
        let idle = !limited && !shared && self.rows.is_none() && self.per.is_none();
        conflict(idle, "", "nothing limits the rows", "set `at_most`, `at_least` or `rows`");
        conflict(
            limited && self.per.is_none(),
            "",
            "`at_most` and `at_least` need groups",
            "add `per: prompt_id`",
        );
        conflict(
            self.per.is_some() && !limited,
            "per",
            "groups have no limit",
            "set `at_most` or `at_least`",
        );
        conflict(shared && self.rows.is_none(), "", "shares need a total", "set `rows`");
        conflict(
            self.by.is_some() && self.quotas.is_some(),
            "by",
            "both `by` and `quotas` share the rows",
            "keep one of them",
        );
        if let (Some(least), Some(most)) = (self.at_least, self.at_most) {
            let words = format!("`at_least` is {least}, above `at_most`, which is {most}");
            conflict(
                least > most,
                "at_least",
                &words,
                "a group that is kept has between `at_least` and `at_most` rows",
            );
        }
        let empty = self.quotas.as_ref().is_some_and(|quotas| quotas.shares.is_empty());
        conflict(
            empty,
            "quotas.shares",
            "there is no share",
            "give each value its share: `{1: 0.5, 2: 0.5}`",
        );
        let shares = self.quotas.iter().flat_map(|quotas| &quotas.shares);
        for (value, share) in shares.clone() {
            let words = format!("expected a share above 0 up to 1, found {share}");
            conflict(
                !(*share > 0.0 && *share <= 1.0),
                &format!("quotas.shares.{value}"),
                &words,
                "shares are parts of `rows`",
            );
        }
        let sum: f64 = shares.map(|(_, share)| share).sum();
        conflict(
            sum > 1.0 + 1e-9,
            "quotas.shares",
            &format!("the shares sum to {sum}, above 1"),
            "lower them",
        );
        problems
    }
}

/// A cell as the keys of `shares` name it.
fn label(item: &Item, at: usize) -> String {
    match item.get(at) {
        Value::Text(text) => text.to_string(),
        other => crate::cells::to_json(other).to_string(),
    }
}

#[cfg(test)]
mod tests;
