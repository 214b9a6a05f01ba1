//! `critique` judges a completion step by step and says why.
//!
//! `by: equations` works out every equation that the completion writes (a step is a line) and needs no model.
//! `by: model` asks a critic, which answers in the form of AutoMathCritique (arXiv 2411.16579): each step copied and
//! labelled, then the final answer. The default template asks for that form; `template` overrides it and sees the
//! row's columns.
//!
//! Ports: `sound`, rows in which no step (and, for a model, not the answer either) was found wrong; `flawed`, the
//! others. Both are the row followed by the record `critique`.
//!
//! Rejects: with `by: model` only, `malformed_critique` (the critic did not keep to the form), `not_rendered` (the
//! template prints a null), `not_drawn` (the prompt does not fit the critic's context), `server_refused` and
//! `server_failed` (a server has no answer). A critic whose scores are not finite numbers ends the run.
//!
//! Cost: by equations, linear in the text; by model, one memoised call per row.
//!
//! ```yaml
//! checked: {op: critique, from: graded.different, by: model, model: critic, max_tokens: 512}
//! ```

mod critic;

use std::sync::Arc;

use flow_data::{Item, Type, Value, kind};
use flow_dataflow::{Body, Out, RowOp, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_verify::{Label, check_steps, first_wrong};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::drawing::Drawn;
use crate::template::Template;
use crate::{BuildError, Definition, Env, StepContext};
use critic::Critic;

/// What a critic is asked.
const TEMPLATE: &str = include_str!("critique/template.txt");

/// Options of `critique`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Who judges.
    by: By,
    /// The critic, for `by: model`: a declared model, or a step that trains one.
    model: Option<String>,
    /// What the critic is asked, a Jinja template over the row's columns; by default from `prompt` and `completion`.
    template: Option<String>,
    /// Column that holds the completion, for `by: equations`.
    #[serde(default = "crate::defaults::completion")]
    completion: String,
    /// Divides the critic's scores; by default 0, which always takes the likeliest token.
    #[schemars(range(min = 0.0, max = 100.0))]
    temperature: Option<f64>,
    /// Keeps the fewest likeliest tokens whose probabilities reach this sum, above 0 to 1; by default 1.
    #[schemars(range(min = 0.000_001, max = 1.0))]
    top_p: Option<f64>,
    /// Keeps this many likeliest tokens; 0, the default, keeps all.
    top_k: Option<u32>,
    /// Most tokens of a critique, at least 1; by default 512.
    #[schemars(range(min = 1))]
    max_tokens: Option<u32>,
    /// Texts that end a critique and are cut from it; by default none.
    #[schemars(inner(length(min = 1)))]
    stop: Option<Vec<String>>,
    /// Names the critic's random streams; by default the pipeline's seed.
    seed: Option<u64>,
}

/// Who judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum By {
    /// The equations that the completion writes.
    Equations,
    /// A model.
    Model,
}

/// The operator.
pub(crate) struct Critique;

impl Definition for Critique {
    const NAME: &'static str = "critique";
    const SOURCE: &'static str = include_str!("critique.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Vec::new();
        match config.by {
            By::Equations => {
                problems.extend(config.for_models().map(|key| {
                    let problem = Problem::new(key, format!("`{key}` is used by `by: model` only"));
                    problem.with_help("remove it, or set `by: model`")
                }));
                problems.extend(inputs[0].column_of("completion", &config.completion, &[Type::Text]).err());
            }
            By::Model => {
                if config.model.is_none() {
                    problems
                        .push(Problem::new("by", "`by: model` needs a model").with_help("add `model: NAME`"));
                }
                let template = config.template.as_deref().unwrap_or(TEMPLATE);
                problems.extend(Template::check("template", template, &inputs[0]));
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let columns = inputs[0].columns.extended(kind("critique").columns());
        let shape = Shape::with_ports([("sound", columns.clone()), ("flawed", columns)]);
        Ok(if config.by == By::Model { shape.using("model") } else { shape })
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        let stage = match config.by {
            By::Equations => Stage::Row(Arc::new(Equations { completion: step.column(&config.completion) })),
            By::Model => Stage::Effect(Arc::new(Drawn(Critic::new(&config, step, env)?))),
        };
        Ok(Body::Chain(vec![stage]))
    }
}

impl Config {
    /// The keys given that only a model has a use for.
    fn for_models(&self) -> impl Iterator<Item = &'static str> {
        let given = [
            ("model", self.model.is_some()),
            ("template", self.template.is_some()),
            ("temperature", self.temperature.is_some()),
            ("top_p", self.top_p.is_some()),
            ("top_k", self.top_k.is_some()),
            ("max_tokens", self.max_tokens.is_some()),
            ("stop", self.stop.is_some()),
            ("seed", self.seed.is_some()),
        ];
        given.into_iter().filter(|(_, given)| *given).map(|(key, _)| key)
    }
}

/// The record `critique` with the port that it leaves by.
struct Judged {
    critique: String,
    labels: Vec<&'static str>,
    first_wrong: Option<usize>,
    verdict: &'static str,
}

impl Judged {
    fn emit(self, item: &Item, out: &mut Out<'_>) {
        let port = u8::from(self.verdict == "wrong" || self.first_wrong.is_some());
        let first_wrong = self.first_wrong.map(|at| at as i64);
        let labels = Value::texts(self.labels);
        out.extend(port, item, vec![self.critique.into(), labels, first_wrong.into(), self.verdict.into()]);
    }
}

/// Judges by the equations that the completion writes.
struct Equations {
    completion: usize,
}

impl RowOp for Equations {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        let steps = check_steps(item.text(self.completion).unwrap_or_default());
        let verdict = match first_wrong(&steps) {
            Some(_) => "wrong",
            None if flow_verify::all_sound(&steps) => "correct",
            None => "unchecked",
        };
        let judged = Judged {
            critique: flow_verify::Critique::from_steps(&steps).to_string(),
            labels: steps.iter().map(|step| name(step.label)).collect(),
            first_wrong: first_wrong(&steps),
            verdict,
        };
        judged.emit(item, out);
    }
}

fn name(label: Label) -> &'static str {
    match label {
        Label::Correct => "correct",
        Label::Wrong => "wrong",
        Label::Unchecked => "unchecked",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::testing::{columns, mistakes, run, run_answered};

    fn rows(completions: &[&str]) -> Vec<Json> {
        completions.iter().map(|completion| json!({"prompt": "1+1?", "completion": completion})).collect()
    }

    #[test]
    fn equations_label_steps() {
        let completions = ["1+1=2\n2+2=4\n#### 4", "1+1=2\n2+2=5\n#### 5", "two"];
        let ports = run(&columns("prompt draw"), &rows(&completions), "op: critique, by: equations");
        let (sound, flawed) = (&ports["sound"], &ports["flawed"]);
        assert_eq!((sound.len(), flawed.len()), (2, 1));
        assert_eq!(sound[0]["step_labels"], json!(["correct", "correct", "unchecked"]));
        assert_eq!(
            (&sound[0]["critique_verdict"], sound[0].get("first_wrong_step")),
            (&json!("correct"), None)
        );
        assert_eq!(sound[1]["critique_verdict"], "unchecked");
        assert_eq!(
            (&flawed[0]["critique_verdict"], &flawed[0]["first_wrong_step"]),
            (&json!("wrong"), &json!(1))
        );
        assert!(
            flawed[0]["critique"].as_str().is_some_and(|text| text.contains("In `2+2=5` the left side is 4"))
        );
    }

    fn criticised(answer: &str) -> (String, Json) {
        let yaml = "op: critique, by: model, model: critic";
        let ports = run_answered(&columns("prompt draw"), &rows(&["1+1=2\n#### 2"]), yaml, answer);
        let mut rows =
            ports.into_iter().flat_map(|(port, rows)| rows.into_iter().map(move |row| (port.clone(), row)));
        let only = rows.next().expect("the row leaves by some port");
        assert_eq!(rows.next(), None);
        only
    }

    const STEP: &str = "Step sentence: 1+1=2\nCorrectness of the step: Correct\nExplanation: It holds.\n\n";

    #[test]
    fn a_model_is_read_by_its_form() {
        let (port, row) =
            criticised(&format!("{STEP}Correctness of the final answer: Correct\nExplanation: Yes."));
        assert_eq!(
            (&*port, &row["step_labels"], &row["critique_verdict"]),
            ("sound", &json!(["correct"]), &json!("correct"))
        );
        assert!(row["critique"].as_str().is_some_and(|text| text.starts_with("Step sentence: 1+1=2")));
        let (port, row) =
            criticised(&format!("{STEP}Correctness of the final answer: Wrong\nExplanation: No."));
        assert_eq!(
            (&*port, &row["critique_verdict"], row.get("first_wrong_step")),
            ("flawed", &json!("wrong"), None)
        );
        let wrong = STEP.replace("Correct\n", "Wrong\n");
        let (port, row) =
            criticised(&format!("{wrong}Correctness of the final answer: Correct\nExplanation: Yes."));
        assert_eq!((&*port, &row["first_wrong_step"]), ("flawed", &json!(0)));
    }

    #[test]
    fn a_critique_out_of_form_is_rejected() {
        for answer in ["Looks good to me.", STEP, ""] {
            let (port, row) = criticised(answer);
            assert_eq!((&*port, &row["reason"]), ("rejected", &json!("malformed_critique")));
        }
    }

    #[test]
    fn mistakes_are_told_before_the_run() {
        let check = |yaml: &str| mistakes(Some(&columns("prompt draw")), &format!("op: critique, {yaml}"));
        assert_eq!(check("by: equations, model: critic, top_p: 0.9, top_k: 5, completion: level").len(), 4);
        assert_eq!(check("by: model, template: \"{{ complet }}\"").len(), 2);
        let found = mistakes(Some(&columns("draw")), "op: critique, by: model, model: critic");
        assert!(found.len() == 1 && found[0].contains("has no column `prompt`"), "{found:?}");
    }
}
