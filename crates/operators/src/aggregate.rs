//! `aggregate` lets a model write one completion from all that were drawn for a prompt (Self-MoA, arXiv 2502.00674).
//!
//! The model sees the rendered template with the list `responses`; the row keeps the plain `prompt`. With a `window` it
//! reads so many at a time, in passes: each pass after the first reads what the one before wrote, repeated `reserved`
//! times, and then the next ones (Self-MoA-Seq). Responses come in the order of their row ids.
//!
//! Ports: `out`, one row per prompt and round: the columns of its first response, `responses`, and the record `draw`, which
//! hides that response's; its parents are the responses. Verdicts of the first response stay until judged anew.
//!
//! Rejects: `no_text` (the response is missing), `not_read` (beyond what all passes read), `not_rendered` (the template
//! prints a null), `not_drawn` (the prompt does not fit the model's context), `server_refused` and `server_failed` (a server has no
//! answer; `docs/servers.md`). A model whose scores are not finite numbers ends the run.
//!
//! Cost: a model call per prompt and pass, memoised by model, rendered prompt, settings and stream; keeps the rows arranged.
//!
//! ```yaml
//! synthesis: {op: aggregate, from: attempts, model: policy, window: 6, reserved: 3, temperature: 0.0}
//! ```

use std::sync::Arc;

use flow_data::{Id, Item, Type, Value, kind};
use flow_dataflow::{Body, EffectOp, KeyedOp, Out, Stage};
use flow_plan::{Input, Problem, Shape};

use crate::collect::{Gather, collected};
use crate::drawing::{Drawing, Drawn, Refused};
use crate::draws::{Ask, Draw, Draws};
use crate::sampling::with_sampling;
use crate::template::Template;
use crate::{BuildError, Definition, Env, StepContext};

/// What the model is asked.
const TEMPLATE: &str = include_str!("aggregate/template.txt");

/// The list that templates go through.
const RESPONSES: &str = "responses";

with_sampling! {
    temperature: "crate::defaults::temperature",
    /// Options of `aggregate`.
    pub(crate) struct Config {
        /// The model: a declared one, or a step that trains one.
        #[expect(dead_code, reason = "planning resolves it by its key")]
        model: String,
        /// What the model is asked, a Jinja template over `responses` and the columns; by default from `prompt`.
        template: Option<String>,
        /// Column that holds a response.
        #[serde(default = "crate::defaults::completion")]
        completion: String,
        /// Responses read at a time; all of them where it is not given.
        #[schemars(range(min = 1, max = 1024))]
        window: Option<usize>,
        /// How often a pass reads what the one before wrote, below `window`; only with `window`.
        #[serde(default = "reserved")]
        #[schemars(range(min = 1, max = 1023))]
        reserved: usize,
        /// Most passes with a `window`.
        #[serde(default = "passes")]
        #[schemars(range(min = 1, max = 64))]
        passes: usize,
    }
}

fn reserved() -> usize {
    3
}

fn passes() -> usize {
    10
}

impl Config {
    /// What is wrong with the keys of passes.
    fn misread(&self) -> Option<Problem> {
        let (given, key) = if self.reserved == reserved() { ("passes", "window") } else { ("reserved", "reserved") };
        match self.window {
            Some(window) if self.reserved >= window => {
                let words = format!("expected `reserved` below `window`, {window}, found {}", self.reserved);
                let help = "every pass must read something new: raise `window` or lower `reserved`";
                Some(Problem::new(key, words).with_help(help))
            }
            None if self.reserved != reserved() || self.passes != passes() => {
                let words = format!("`{given}` says nothing without a `window`: all responses are read at once");
                Some(Problem::new(given, words).with_help("give a `window`, or leave it out"))
            }
            _ => None,
        }
    }
}

/// The operator.
pub(crate) struct Aggregate;

impl Definition for Aggregate {
    const NAME: &'static str = "aggregate";
    const SOURCE: &'static str = include_str!("aggregate.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let input = &inputs[0];
        let mut problems = Vec::new();
        problems.extend(input.column_of("from", "prompt_id", &[Type::Text]).err());
        problems.extend(input.column_of("completion", &config.completion, &[Type::Text]).err());
        problems.extend(config.misread());
        let columns = input.columns.extended(&collected(RESPONSES));
        let seen = Input { columns: &columns, ..*input };
        problems.extend(Template::check("template", config.template.as_deref().unwrap_or(TEMPLATE), &seen));
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Shape::new(columns.extended(kind("draw").columns())).using("model"))
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let params = config.params();
        let seed = config.seed.unwrap_or(step.plan.seed);
        let columns = step.columns();
        let template = Template::new(
            config.template.as_deref().unwrap_or(TEMPLATE),
            &columns.extended(&collected(RESPONSES)),
        );
        let template = template.map_err(|error| BuildError::step(&step.step.name, error.to_string()))?;
        let reading = Reading {
            window: config.window,
            reserved: config.reserved,
            passes: config.window.map_or(1, |_| config.passes),
        };
        let gather = Gather {
            per: step.column("prompt_id"),
            column: step.column(&config.completion),
            most: reading.most(),
            beyond: "not_read",
        };
        let (template, draws) = (Arc::new(template), Arc::new(Draws::new(step, env, params, seed)));
        let pass = |at| {
            let (template, draws) = (template.clone(), draws.clone());
            let pass = Pass { at, reading, width: columns.len(), template, draws };
            Stage::Effect(Arc::new(Drawn(pass)) as Arc<dyn EffectOp>)
        };
        let stages = [Stage::Keyed(Arc::new(gather) as Arc<dyn KeyedOp>)].into_iter();
        Ok(Body::Chain(stages.chain((0..reading.passes).map(pass)).collect()))
    }
}

/// How responses are shared out among passes.
#[derive(Clone, Copy)]
struct Reading {
    window: Option<usize>,
    reserved: usize,
    passes: usize,
}

impl Reading {
    /// Responses that all passes read together.
    fn most(&self) -> usize {
        self.window.map_or(usize::MAX, |window| window + (self.passes - 1) * (window - self.reserved))
    }

    /// The responses that pass `at` reads of `all`; `written` is what the pass before wrote. `None` where nothing is left.
    fn window<'a>(&self, at: usize, all: &'a [Arc<str>], written: &'a Arc<str>) -> Option<Vec<&'a Arc<str>>> {
        let Some(window) = self.window else { return (at == 0).then(|| all.iter().collect()) };
        if at == 0 {
            return Some(all.iter().take(window).collect());
        }
        let fresh = window - self.reserved;
        let next = all.get(window + (at - 1) * fresh..).filter(|next| !next.is_empty())?;
        Some(std::iter::repeat_n(written, self.reserved).chain(next.iter().take(fresh)).collect())
    }
}

/// One pass over the responses of a gathered row; it leaves a row as it is that has no more of them.
struct Pass {
    at: usize,
    reading: Reading,
    /// Cells of a response.
    width: usize,
    template: Arc<Template>,
    draws: Arc<Draws>,
}

impl Pass {
    /// The responses that it reads, if there are any left.
    fn window(&self, item: &Item) -> Option<Value> {
        let Value::Texts(all) = item.get(self.width) else { return None };
        // The texts and row ids of the responses stand between the first response and what was written.
        let written: Arc<str> = item.text(self.width + 2).unwrap_or_default().into();
        let window = self.reading.window(self.at, all, &written)?;
        Some(Value::Texts(window.into_iter().cloned().collect()))
    }
}

impl Drawing for Pass {
    fn draws(&self) -> &Draws {
        &self.draws
    }

    fn first(&self, item: &Item) -> Result<u32, Refused> {
        Ok(self.window(item).is_some().into())
    }

    fn ask(&self, item: &Item, _: u32) -> Result<Ask, Refused> {
        let window = self.window(item).unwrap_or(Value::Null);
        let prompt = self.template.render_with(item, (RESPONSES, &window));
        prompt.map(Ask::from).map_err(|detail| ("not_rendered", detail))
    }

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        let Some(answer) = answers.first() else { return out.pass(0, item) };
        let record = Draw::new(answer).record(&item.row.id, model, self.draws.seed(), 0);
        // The parents are the responses, which the row names already.
        out.revise(0, item, self.width + 2, record[1..].to_vec());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::testing::{Ports, columns, mistakes, run_answered};

    fn aggregate(draws: &[(&str, Option<&str>)], options: &str) -> Ports {
        let row = |(id, completion): &(&str, Option<&str>)| json!({"prompt_id": id, "prompt": "1+1?", "completion": completion});
        let rows: Vec<Json> = draws.iter().map(row).collect();
        run_answered(&columns("prompt draw"), &rows, &format!("op: aggregate, model: critic{options}"), "#### 2")
    }

    #[test]
    fn all_responses_of_a_prompt_become_one() {
        let ports = aggregate(&[("a", Some("x")), ("a", Some("y")), ("b", Some("z")), ("b", None)], "");
        let mut rows: Vec<_> = ports["out"].iter().map(|row| (&row["prompt_id"], &row["responses"])).collect();
        rows.sort_by_key(|(id, _)| id.to_string());
        assert_eq!(rows, [(&json!("a"), &json!(["x", "y"])), (&json!("b"), &json!(["z"]))]);
        for row in &ports["out"] {
            assert_eq!((&row["completion"], &row["prompt"]), (&json!("#### 2"), &json!("1+1?")));
            assert_eq!(row["parent_ids"].as_array().map(Vec::len), row["responses"].as_array().map(Vec::len));
        }
        assert_eq!(ports["rejected"].len(), 1);
        assert_eq!(ports["rejected"][0]["reason"], "no_text");
    }

    #[test]
    fn passes_read_what_was_written_and_what_is_next() {
        let all: Vec<Arc<str>> = (0..8).map(|at| Arc::from(at.to_string())).collect();
        let written: Arc<str> = "best".into();
        let reading = Reading { window: Some(4), reserved: 2, passes: 4 };
        let read = |at| {
            let window = reading.window(at, &all, &written)?;
            Some(window.iter().map(|text| text.to_string()).collect::<Vec<_>>().join(" "))
        };
        let passes: Vec<Option<String>> = (0..4).map(read).collect();
        let expected = ["0 1 2 3", "best best 4 5", "best best 6 7"].map(|text| Some(text.to_owned()));
        assert_eq!(passes[..3], expected);
        assert_eq!(passes[3], None);
        assert_eq!(reading.most(), 10);
    }

    #[test]
    fn a_window_leaves_one_row_with_all_that_was_read() {
        let draws: Vec<_> = (0..7).map(|_| ("a", Some("x"))).collect();
        let ports = aggregate(&draws, ", window: 3, reserved: 1, passes: 2");
        assert_eq!(ports["out"].len(), 1);
        let row = &ports["out"][0];
        assert_eq!(row["responses"].as_array().map(Vec::len), Some(5));
        assert_eq!((&row["completion"], &row["sample_index"]), (&json!("#### 2"), &json!(0)));
        assert_eq!(ports["rejected"].len(), 2);
        assert_eq!(ports["rejected"][0]["reason"], "not_read");
    }

    #[test]
    fn mistakes_are_told() {
        let found = |options: &str| mistakes(Some(&columns("prompt draw")), &format!("op: aggregate, model: critic{options}"));
        assert!(found("").is_empty());
        assert!(found(", window: 3").len() == 1 && found(", window: 3")[0].contains("below `window`, 3, found 3"));
        for (keys, key) in [("reserved: 2", "reserved"), ("passes: 2", "passes")] {
            let found = found(&format!(", {keys}"));
            assert!(found.len() == 1 && found[0].contains(&format!("`{key}` says nothing")), "{found:?}");
        }
        assert!(found(", template: '{{ respones }}'")[0].contains("has no column `respones`"));
        assert_eq!(mistakes(Some(&columns("prompt")), "op: aggregate, model: critic").len(), 1);
    }
}
