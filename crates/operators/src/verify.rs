//! `verify` compares the answer that a completion states with the known one.
//!
//! Numbers compare as exact values (`0.50` is `1/2`); what cannot be decided is `unknown`, a verdict of its own. A row
//! without a known answer is unknown too.
//!
//! Ports: `equal`, `different`, `unknown`: each row, followed by the record `verdict`, leaves by one of them. A
//! completion that states no answer is `different`, by method `no answer`, unless `on_missing: reject`.
//!
//! Rejects: `no_answer`, with `on_missing: reject` only.
//!
//! Cost: linear in the text; about a microsecond a row.
//!
//! ```yaml
//! graded: {op: verify, from: attempts, extract: final_line, compare: math}
//! ```

use std::sync::Arc;

use flow_data::{Item, Type, Value, kind};
use flow_dataflow::{Body, Out, Port, RowOp, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_verify::{Compare, Extract, Outcome, UnknownName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BuildError, Definition, Env, StepContext};

/// Options of `verify`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where a completion states its answer: `final_line`, `boxed`, `last_number` or `auto`.
    #[serde(default = "crate::defaults::extract")]
    extract: String,
    /// How answers are compared: `math`, `numeric` or `exact`.
    #[serde(default = "crate::defaults::compare")]
    compare: String,
    /// Column that holds the completion.
    #[serde(default = "crate::defaults::completion")]
    completion: String,
    /// Column that holds the known answer.
    #[serde(default = "crate::defaults::answer")]
    answer: String,
    /// Where a completion goes that states no answer.
    #[serde(default)]
    on_missing: OnMissing,
}

/// Where a completion goes that states no answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnMissing {
    /// To the port `different`: it does not reach the known answer.
    #[default]
    Different,
    /// To the rejected rows.
    Reject,
}

/// The ports, in order.
const PORTS: [Outcome; 3] = [Outcome::Equal, Outcome::Different, Outcome::Unknown];

/// The operator.
pub(crate) struct Verify;

impl Definition for Verify {
    const NAME: &'static str = "verify";
    const SOURCE: &'static str = include_str!("verify.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Vec::new();
        problems
            .extend(config.extract.parse::<Extract>().err().map(|e| Problem::new("extract", e.to_string())));
        problems
            .extend(config.compare.parse::<Compare>().err().map(|e| Problem::new("compare", e.to_string())));
        for (key, name) in [("completion", &config.completion), ("answer", &config.answer)] {
            problems.extend(inputs[0].column_of(key, name, &[Type::Text]).err());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let columns = inputs[0].columns.extended(kind("verdict").columns());
        Ok(Shape::with_ports(PORTS.map(|outcome| (outcome.name(), columns.clone()))))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let invalid = |error: UnknownName| BuildError::step(&step.step.name, error.to_string());
        let verifier = Verifier {
            completion: step.column(&config.completion),
            answer: step.column(&config.answer),
            extract: config.extract.parse().map_err(invalid)?,
            compare: config.compare.parse().map_err(invalid)?,
            on_missing: config.on_missing,
        };
        Ok(Body::Chain(vec![Stage::Row(Arc::new(verifier))]))
    }
}

struct Verifier {
    completion: usize,
    answer: usize,
    extract: Extract,
    compare: Compare,
    on_missing: OnMissing,
}

impl RowOp for Verifier {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        let completion = item.text(self.completion).unwrap_or_default();
        let stated = flow_verify::extract(completion, self.extract).map(|answer| answer.text);
        let mut emit = |outcome: Outcome, method: &str, witness: &str| {
            let verdict: Vec<Value> =
                vec![stated.into(), outcome.name().into(), method.into(), witness.into()];
            out.extend(port(outcome), item, verdict);
        };
        match (item.text(self.answer), stated) {
            (_, None) if self.on_missing == OnMissing::Reject => {
                out.reject(item, "no_answer", "the completion states no answer");
            }
            (None, _) => emit(Outcome::Unknown, "no known answer", "there is nothing to compare with"),
            (Some(_), None) => emit(Outcome::Different, "no answer", "the completion states no answer"),
            (Some(known), Some(stated)) => {
                let verdict = flow_verify::compare(known, stated, self.compare);
                emit(verdict.outcome, verdict.method, &verdict.witness);
            }
        }
    }
}

fn port(outcome: Outcome) -> Port {
    match outcome {
        Outcome::Equal => 0,
        Outcome::Different => 1,
        Outcome::Unknown => 2,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::testing::{Ports, columns, mistakes, run};

    fn verify(rows: &[(Option<&str>, Option<&str>)], options: &str) -> Ports {
        let row = |(at, (completion, answer)): (usize, &(Option<&str>, Option<&str>))| json!({"prompt_id": at.to_string(), "completion": completion, "answer": answer});
        let rows: Vec<Json> = rows.iter().enumerate().map(row).collect();
        run(&columns("prompt draw"), &rows, &format!("op: verify{options}"))
    }

    fn ids<'a>(ports: &'a Ports, port: &str) -> Vec<&'a str> {
        ports[port].iter().filter_map(|row| row["prompt_id"].as_str()).collect()
    }

    const ROWS: [(Option<&str>, Option<&str>); 6] = [
        (Some("2+2=4\n#### 4"), Some("4.0")),
        (Some("#### 5"), Some("4")),
        (Some("#### x+1"), Some("1+x")),
        (Some("no idea"), Some("4")),
        (Some("#### 4"), None),
        (None, Some("4")),
    ];

    #[test]
    fn every_row_leaves_by_one_port() {
        let ports = verify(&ROWS, "");
        assert_eq!(ids(&ports, "equal"), ["0"]);
        assert_eq!(ids(&ports, "different"), ["1", "3", "5"]);
        assert_eq!(ids(&ports, "unknown"), ["2", "4"]);
        assert!(ports["rejected"].is_empty());
        let equal = &ports["equal"][0];
        assert_eq!(
            (&equal["extracted"], &equal["verdict"], &equal["method"]),
            (&json!("4"), &json!("equal"), &json!("number"))
        );
        assert_eq!(ports["different"][1]["method"], "no answer");
        assert_eq!(ports["different"][1].get("extracted"), None);
    }

    #[test]
    fn missing_answers_can_be_rejected() {
        let ports = verify(&ROWS, ", on_missing: reject");
        assert_eq!(ids(&ports, "different"), ["1"]);
        assert_eq!(ids(&ports, "rejected"), ["3", "5"]);
    }

    #[test]
    fn ports_are_the_outcomes() {
        for (at, outcome) in PORTS.into_iter().enumerate() {
            assert_eq!(usize::from(port(outcome)), at);
        }
    }

    #[test]
    fn mistakes_are_told_together() {
        let found =
            mistakes(Some(&columns("prompt draw")), "op: verify, extract: x, compare: y, answer: anser");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[2].contains("did you mean `answer`"), "{found:?}");
    }
}
