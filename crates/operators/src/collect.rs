//! `collect` makes one row of each group: the texts of a column become a list.
//!
//! What a template goes through (`{% for response in responses %}`), such as the draws of a prompt that a model is to learn
//! to aggregate. The row has the columns of the group's first row; texts come in the order of their row ids. Rounds are
//! groups of their own.
//!
//! Ports: `out`, one row per group: the columns of its first row, the list, and `parent_ids`, the rows it was made of.
//!
//! Rejects: `no_text` (the column is null), `over_cap` (beyond `at_most`).
//!
//! Cost: keeps the rows arranged; a changed row costs its group.
//!
//! ```yaml
//! six: {op: collect, from: attempts, per: prompt_id, column: completion, to: responses, at_most: 6}
//! ```

use std::sync::Arc;

use flow_data::{Column, Columns, Id, Item, Type, Value};
use flow_dataflow::{Body, KeyedOp, Out, Stage};
use flow_plan::{Input, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::render::new_column;
use crate::{BuildError, Definition, Env, StepContext};

/// Options of `collect`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Column that groups rows.
    #[serde(default = "prompt_id")]
    per: String,
    /// Column whose texts are collected.
    #[serde(default = "crate::defaults::completion")]
    column: String,
    /// Column that the list becomes, lowercase letters, digits and `_`.
    to: String,
    /// Most texts of a list, at least 1; by default all.
    #[schemars(range(min = 1))]
    at_most: Option<usize>,
}

fn prompt_id() -> String {
    "prompt_id".into()
}

/// The operator.
pub(crate) struct Collect;

impl Definition for Collect {
    const NAME: &'static str = "collect";
    const SOURCE: &'static str = include_str!("collect.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<flow_plan::Problem>> {
        let input = &inputs[0];
        let wanted = [("per", &config.per), ("column", &config.column)];
        let mut problems: Vec<_> =
            wanted.iter().filter_map(|(key, name)| input.column_of(key, name, &[Type::Text]).err()).collect();
        problems.extend(new_column("to", &config.to).err());
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Shape::new(input.columns.extended(&collected(&config.to)).extended(&parents())))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let gather = Gather {
            per: step.column(&config.per),
            column: step.column(&config.column),
            most: config.at_most.unwrap_or(usize::MAX),
            beyond: "over_cap",
        };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(gather))]))
    }
}

/// The column that a list becomes.
pub(crate) fn collected(name: &str) -> Columns {
    Columns::new([Column::new(name, Type::Texts, false, "What was collected, in order.")])
}

fn parents() -> Columns {
    Columns::new([Column::new("parent_ids", Type::Texts, false, "The rows that it was made of.")])
}

/// Makes one row of the rows of a group: the first one's cells, the texts, the row ids.
pub(crate) struct Gather {
    /// Column that groups rows.
    pub(crate) per: usize,
    /// Column whose texts are gathered.
    pub(crate) column: usize,
    /// Most texts of a group.
    pub(crate) most: usize,
    /// Why rows beyond that are rejected.
    pub(crate) beyond: &'static str,
}

impl KeyedOp for Gather {
    fn key(&self, item: &Item) -> Id {
        Id::of("prompt", [item.text(self.per).unwrap_or_default().as_bytes()])
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        let mut read: Vec<(&Item, &str)> = Vec::new();
        for item in items {
            match item.text(self.column) {
                None => out.reject(item, "no_text", "the column is null"),
                Some(_) if read.len() == self.most => {
                    out.reject(item, self.beyond, format!("at most {} of a group are read", self.most));
                }
                Some(text) => read.push((item, text)),
            }
        }
        let Some(((first, _), others)) = read.split_first() else { return };
        others.iter().for_each(|(item, _)| out.take(item));
        let ids: Vec<String> = read.iter().map(|(item, _)| item.row.id.to_string()).collect();
        let cells = vec![
            Value::Texts(read.iter().map(|(_, text)| Arc::from(*text)).collect()),
            Value::texts(ids.iter().map(String::as_str)),
        ];
        let round = first.row.round;
        let id = Id::of("aggregate", [&self.key(first).0[..], &round.to_le_bytes()]);
        out.derive(0, first, round, id, cells);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::testing::{columns, mistakes, run};

    #[test]
    fn the_texts_of_a_group_become_a_list() {
        let rows: Vec<Json> = [("a", Some("x")), ("a", Some("y")), ("a", Some("z")), ("b", Some("x")), ("b", None)]
            .iter()
            .map(|(id, text)| json!({"prompt_id": id, "prompt": "?", "completion": text}))
            .collect();
        let ports = run(&columns("prompt draw"), &rows, "op: collect, to: responses, at_most: 2");
        let mut out: Vec<_> = ports["out"].iter().map(|row| (&row["prompt_id"], &row["responses"])).collect();
        out.sort_by_key(|(id, _)| id.to_string());
        assert_eq!(out[0].1.as_array().map(Vec::len), Some(2));
        assert_eq!(out[1], (&json!("b"), &json!(["x"])));
        for row in &ports["out"] {
            assert_eq!(row["parent_ids"].as_array().map(Vec::len), row["responses"].as_array().map(Vec::len));
        }
        let mut reasons: Vec<_> = ports["rejected"].iter().map(|row| row["reason"].to_string()).collect();
        reasons.sort();
        assert_eq!(reasons, ["\"no_text\"", "\"over_cap\""]);
    }

    #[test]
    fn columns_must_be_there() {
        let found = |options: &str| mistakes(Some(&columns("prompt draw")), &format!("op: collect, to: texts{options}"));
        assert!(found("").is_empty());
        assert!(found(", column: reply")[0].contains("has no column `reply`"));
        assert!(found(", per: level")[0].contains("level"));
    }
}
