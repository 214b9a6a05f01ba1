//! `dedup` keeps one of the rows that say the same.
//!
//! Rows are the same when the given columns are equal, cell by cell. The row with the lowest id stays; with
//! `across_rounds`, that of the earliest round.
//!
//! Ports: `out`, the kept rows as they came.
//!
//! Rejects: `duplicate`; the detail names the row that stays.
//!
//! Cost: keeps the rows arranged (about 60 bytes each); a changed row costs its own duplicates.
//!
//! ```yaml
//! distinct: {op: dedup, from: graded.equal, columns: [prompt, completion], ignore_whitespace: true}
//! ```

use std::sync::Arc;

use flow_data::{Id, Item, Value, encode};
use flow_dataflow::{Body, KeyedOp, Out, Stage};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{BuildError, Definition, Env, StepContext};

/// Options of `dedup`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Columns that are compared.
    #[serde(default = "columns")]
    #[schemars(length(min = 1))]
    columns: Vec<String>,
    /// Whether texts are the same that differ in white space only.
    #[serde(default)]
    ignore_whitespace: bool,
    /// Whether a row of a later round is a duplicate of an earlier round's; by default each round is by itself.
    #[serde(default)]
    across_rounds: bool,
}

fn columns() -> Vec<String> {
    vec!["prompt".into(), "completion".into()]
}

/// The operator.
pub(crate) struct Dedup;

impl Definition for Dedup {
    const NAME: &'static str = "dedup";
    const SOURCE: &'static str = include_str!("dedup.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let columns = config.columns.iter().enumerate();
        let problems =
            columns.filter_map(|(at, name)| inputs[0].column(&format!("columns.{at}"), name).err());
        let problems: Vec<Problem> = problems.collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Shape::new(inputs[0].columns.clone()))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let distinct = Distinct {
            columns: config.columns.iter().map(|name| step.column(name)).collect(),
            ignore_whitespace: config.ignore_whitespace,
            across_rounds: config.across_rounds,
        };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(distinct))]))
    }
}

struct Distinct {
    columns: Vec<usize>,
    ignore_whitespace: bool,
    across_rounds: bool,
}

impl KeyedOp for Distinct {
    fn key(&self, item: &Item) -> Id {
        let cell = |at: &usize| match item.get(*at) {
            Value::Text(text) if self.ignore_whitespace => one_spaced(text).into(),
            other => other.clone(),
        };
        let mut bytes = Vec::new();
        encode(&self.columns.iter().map(cell).collect::<Vec<Value>>(), &mut bytes);
        Id::of("distinct", [bytes.as_slice()])
    }

    fn across_rounds(&self) -> bool {
        self.across_rounds
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        let (kept, duplicates) = items.split_first().expect("a group is never empty");
        out.pass(0, kept);
        let detail = format!("the same as row {}", kept.row.id);
        duplicates.iter().for_each(|item| out.reject(item, "duplicate", &*detail));
    }
}

/// `text` with each run of white space as one space, none at the ends.
fn one_spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use crate::testing::{Ports, columns, mistakes, run};

    fn dedup(rows: &[Json], options: &str) -> Ports {
        run(&columns("prompt draw"), rows, &format!("op: dedup{options}"))
    }

    fn row(prompt: &str, completion: &str, level: i64, round: i64) -> Json {
        json!({"prompt": prompt, "completion": completion, "level": level, "round": round})
    }

    #[test]
    fn the_lowest_id_stays() {
        let rows = [row("q", "a", 1, 0), row("q", "b", 2, 0), row("q", "a", 3, 0), row("p", "a", 4, 0)];
        let ports = dedup(&rows, "");
        let levels: Vec<_> = ports["out"].iter().map(|row| row["level"].clone()).collect();
        assert_eq!(levels, [1, 2, 4]);
        assert_eq!(
            (&ports["rejected"][0]["level"], &ports["rejected"][0]["reason"]),
            (&json!(3), &json!("duplicate"))
        );
    }

    #[test]
    fn white_space_can_be_ignored() {
        let rows = [row("q", " a  b\n", 1, 0), row("q", "a b", 2, 0), row("q", "ab", 3, 0)];
        assert_eq!(dedup(&rows, "")["out"].len(), 3);
        assert_eq!(dedup(&rows, ", ignore_whitespace: true")["out"].len(), 2);
    }

    #[test]
    fn rounds_are_apart_unless_asked_for() {
        let rows = [row("q", "a", 1, 2), row("q", "a", 2, 1)];
        assert_eq!(dedup(&rows, "")["out"].len(), 2);
        let ports = dedup(&rows, ", across_rounds: true");
        assert_eq!((ports["out"].len(), &ports["out"][0]["round"]), (1, &json!(1)));
    }

    #[test]
    fn unknown_columns_are_told() {
        let found = mistakes(Some(&columns("prompt")), "op: dedup, columns: [prompt, compltion]");
        assert!(found.len() == 1 && found[0].starts_with("`compltion`"), "{found:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn every_distinct_pair_stays_once(pairs in proptest::collection::vec(("[ab]{1,2}", "[ab]{1,2}"), 1..40)) {
            let rows: Vec<Json> = pairs.iter().map(|(prompt, completion)| row(prompt, completion, 1, 0)).collect();
            let ports = dedup(&rows, "");
            let pair = |row: &Json| (row["prompt"].to_string(), row["completion"].to_string());
            let kept: BTreeSet<_> = ports["out"].iter().map(pair).collect();
            prop_assert_eq!(kept.len(), ports["out"].len());
            prop_assert_eq!(kept, rows.iter().map(pair).collect());
        }
    }
}
