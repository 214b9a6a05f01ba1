//! `filter` keeps the rows for which an expression holds.
//!
//! `where` is a Jinja expression over the row's columns, such as `level >= 4 and n_tokens < 200`. Beside Jinja's own filters
//! there is `integers`, the whole numbers that a text writes: `completion | integers | length`. A name that is no column is found
//! by `flow check`, and so is a text that is ordered with a number (`answer > 5`). A null equals nothing but `none`, and is neither more
//! nor less than anything: a row whose `level` is null is rejected by `level < 4`, unless the expression asks for it (`level is none or ..`).
//!
//! Ports: `out`, the rows for which it holds, as they came.
//!
//! Rejects: `filtered` (it does not hold), `not_evaluated` (an operation does not fit the value, a null is ordered).
//!
//! Cost: one evaluation per row.
//!
//! ```yaml
//! reasoned: {op: filter, from: fixed.equal, where: "completion | integers | length >= (solution | integers | length) - 2"}
//! ```

use std::sync::Arc;

use flow_data::Item;
use flow_dataflow::{Body, Out, RowOp, Stage};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::template::Condition;
use crate::{BuildError, Definition, Env, StepContext};

/// Options of `filter`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The expression.
    r#where: String,
}

/// The operator.
pub(crate) struct Filter;

impl Definition for Filter {
    const NAME: &'static str = "filter";
    const SOURCE: &'static str = include_str!("filter.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let problems = Condition::check("where", &config.r#where, &inputs[0]);
        if problems.is_empty() { Ok(Shape::new(inputs[0].columns.clone())) } else { Err(problems) }
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let condition = Condition::new(&config.r#where, &step.columns());
        let condition = condition.map_err(|error| BuildError::step(&step.step.name, error.to_string()))?;
        Ok(Body::Chain(vec![Stage::Row(Arc::new(Keeper { condition, text: config.r#where }))]))
    }
}

struct Keeper {
    condition: Condition,
    text: String,
}

impl RowOp for Keeper {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        match self.condition.holds(item) {
            Ok(true) => out.pass(0, item),
            Ok(false) => out.reject(item, "filtered", format!("not: {}", self.text)),
            Err(detail) => out.reject(item, "not_evaluated", detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::testing::{columns, mistakes, run};

    fn kept(row: Json, expression: &str) -> Result<bool, Json> {
        let ports = run(&columns("prompt"), &[row], &format!("op: filter, where: {}", Json::from(expression)));
        match ports["rejected"].first() {
            None => Ok(ports["out"].len() == 1),
            Some(row) if row["reason"] == "filtered" => Ok(false),
            Some(row) => Err(row["reason"].clone()),
        }
    }

    #[test]
    fn an_expression_over_columns_decides() {
        let row = json!({"prompt": "q", "level": 4});
        assert_eq!(kept(row.clone(), "level >= 4 and prompt == 'q'"), Ok(true));
        assert_eq!(kept(row.clone(), "level in [1, 2] or answer is none and level > 4"), Ok(false));
        assert_eq!(kept(row.clone(), "answer == '4'"), Ok(false));
        assert_eq!(kept(row, "prompt + level"), Err(json!("not_evaluated")));
    }

    #[test]
    fn a_null_is_neither_below_nor_above_a_number() {
        let row = json!({"prompt": "q"});
        for expression in ["level < 4", "level > 4", "not level > 4", "4 >= level"] {
            assert_eq!(kept(row.clone(), expression), Err(json!("not_evaluated")), "{expression}");
        }
        assert_eq!(kept(row.clone(), "level is none or level < 4"), Ok(true));
        assert_eq!(kept(row, "level is not none and level < 4"), Ok(false));
    }

    #[test]
    fn integers_of_a_text_are_counted() {
        let row = json!({"prompt": "12 + 7 = <<12+7=19>>19, in 2024.", "answer": "none"});
        assert_eq!(kept(row.clone(), "prompt | integers == ['12', '7', '12', '7', '19', '19', '2024']"), Ok(true));
        assert_eq!(kept(row.clone(), "answer | integers | length == 0"), Ok(true));
        assert_eq!(kept(row, "prompt | integers | length >= [7, answer | integers | length] | min"), Ok(true));
    }

    #[test]
    fn mistakes_are_told_before_the_run() {
        let check = |expression: &str| {
            mistakes(Some(&columns("prompt")), &format!("op: filter, where: {}", Json::from(expression)))
        };
        let found = check("levl > 2 and anser == '1'");
        assert!(found.len() == 2 && found.iter().any(|one| one.contains("did you mean `level`")), "{found:?}");
        let found = check("answer > 5 and level < 3");
        assert!(found.len() == 1 && found[0].contains("`answer | float > 5`"), "{found:?}");
        for expression in ["level >", "", "true %}{% if true"] {
            let found = check(expression);
            assert!(found.len() == 1 && found[0].contains("expected an expression"), "{expression}: {found:?}");
        }
    }
}
