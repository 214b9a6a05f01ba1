//! `gate` ends the rounds when a metric falls: no round follows one that is too far below the best before it.
//!
//! It reads the metrics of an `evaluate` step and becomes effective as `rounds.gate`. A first round always passes. The
//! data and the model of a round that does not pass stay published; nothing is made from them.
//!
//! Ports: `out`, one row per round (record `gate`); `closed`, those that did not pass, after which no round may follow.
//!
//! Rejects: none. A metric that nothing measures ends the run.
//!
//! Cost: linear in the metrics.
//!
//! ```yaml
//! guard: {op: gate, from: scores, metric: pass@1, max_drop: 0.02}
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_data::{Id, Item, Round, Type, Value, kind};
use flow_dataflow::{Body, KeyedOp, Out, Stage};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::metric::Metric;
use crate::{BuildError, Definition, Env, StepContext};

/// Options of `gate`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The metric that decides, over all levels: `pass@K`, `maj@K` or `coverage`.
    #[serde(default = "metric")]
    metric: String,
    /// How far the metric may fall below the best earlier round, 0 to 1.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    max_drop: f64,
}

fn metric() -> String {
    "pass@1".into()
}

/// The columns that are read, as `evaluate` makes them.
const METRIC: [(&str, Type); 3] = [("metric", Type::Text), ("level", Type::Int), ("value", Type::Float)];

/// The operator.
pub(crate) struct Gate;

impl Definition for Gate {
    const NAME: &'static str = "gate";
    const SOURCE: &'static str = include_str!("gate.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Vec::new();
        problems.extend(Metric::parse(&config.metric).err().map(|message| Problem::new("metric", message)));
        let missing =
            METRIC.iter().find_map(|(name, kind)| inputs[0].column_of("from", name, &[*kind]).err());
        problems.extend(missing.map(|problem| problem.with_help("gate the metrics of an `evaluate` step")));
        if !problems.is_empty() {
            return Err(problems);
        }
        let columns = kind("gate").columns();
        Ok(Shape::with_ports([("out", columns.clone()), ("closed", columns.clone())]).ending())
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let gatekeeper = Gatekeeper {
            columns: METRIC.map(|(name, _)| step.column(name)),
            metric: config.metric,
            max_drop: config.max_drop,
        };
        Ok(Body::Chain(vec![Stage::Keyed(Arc::new(gatekeeper))]))
    }
}

struct Gatekeeper {
    /// Where the columns of [`METRIC`] are.
    columns: [usize; 3],
    metric: String,
    max_drop: f64,
}

impl KeyedOp for Gatekeeper {
    fn key(&self, _: &Item) -> Id {
        Id::default()
    }

    fn across_rounds(&self) -> bool {
        true
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        items.iter().for_each(|item| out.take(item));
        let values: BTreeMap<Round, f64> =
            items.iter().filter_map(|item| Some((item.row.round, self.value(item)?))).collect();
        if values.is_empty() {
            out.fail("no_metric", format!("nothing measures `{}`, by which the gate decides", self.metric));
        }
        let mut best: Option<f64> = None;
        for (round, value) in values {
            let passed = best.is_none_or(|best| value >= best - self.max_drop);
            let cells: Vec<Value> =
                vec![self.metric.as_str().into(), value.into(), best.into(), passed.into()];
            let id = Id::of("gate", [&round.to_le_bytes()[..]]);
            if !passed {
                out.create(1, round, id, cells.clone());
            }
            out.create(0, round, id, cells);
            best = Some(best.map_or(value, |best| best.max(value)));
        }
    }
}

impl Gatekeeper {
    /// The metric's value over all levels, if that is what the row says.
    fn value(&self, item: &Item) -> Option<f64> {
        let [metric, level, value] = self.columns;
        let decides = item.text(metric) == Some(&self.metric) && *item.get(level) == Value::Null;
        item.float(value).filter(|_| decides)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::testing::{Ports, columns, mistakes, run};

    fn gate(values: &[f64], options: &str) -> Ports {
        let row = |(round, value): (usize, &f64)| json!({"round": round, "metric": "pass@1", "value": value});
        let mut rows: Vec<Json> = values.iter().enumerate().map(row).collect();
        // Other metrics and single levels do not decide.
        rows.push(json!({"round": 1, "metric": "pass@8", "value": 0.0}));
        rows.push(json!({"round": 1, "metric": "pass@1", "level": 6, "value": 0.0}));
        run(&columns("metric"), &rows, &format!("op: gate{options}"))
    }

    fn passed(ports: &Ports) -> Vec<bool> {
        ports["out"].iter().filter_map(|row| row["passed"].as_bool()).collect()
    }

    #[test]
    fn a_round_below_the_best_before_it_closes_the_gate() {
        let ports = gate(&[0.5, 0.6, 0.55, 0.6], "");
        assert_eq!(passed(&ports), [true, true, false, true]);
        assert_eq!((&ports["out"][0].get("baseline"), &ports["out"][2]["baseline"]), (&None, &json!(0.6)));
        assert_eq!(ports["closed"].len(), 1);
        assert_eq!((&ports["closed"][0]["round"], &ports["closed"][0]["value"]), (&json!(2), &json!(0.55)));
    }

    #[test]
    fn a_drop_can_be_tolerated() {
        assert_eq!(passed(&gate(&[0.5, 0.25, 0.24], ", max_drop: 0.25")), [true, true, false]);
    }

    #[test]
    fn mistakes_are_told_together() {
        let found = mistakes(Some(&columns("score")), "op: gate, metric: accuracy, max_drop: 2");
        assert_eq!(found.len(), 3, "{found:?}");
    }
}
