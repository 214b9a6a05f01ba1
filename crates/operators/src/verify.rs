//! `verify` compares the answer that a completion states with the known one.
//!
//! Numbers compare as exact values (`0.50` is `1/2`); what cannot be decided is `unknown`, a verdict of its own. A row
//! without a known answer is unknown too. `preset` sets the rules as a data set wants them; each other key changes one:
//!
//! - `gsm8k`: numbers in running text; the last one where nothing marks the answer.
//! - `math`: mathematics, mostly in boxes; several boxes side by side are one answer. The same as no preset.
//! - `aime`: integers; decimals are exact.
//! - `boxed`: in a box behind the reasoning, and nowhere else.
//! - `numeric`: the last number, and roundings of the known one are right.
//! - `choice`: the letter of a choice, or its text where the column `options` has the choices.
//! - `exact`: the whole completion, by character.
//!
//! With `code`, the completion is a program and the tests of its row are the judge: pairs of input and output
//! (`tests: stdin_stdout`), or code that must run to its end (`tests: asserts`). The program is what stands between the last
//! fences, else the whole completion. It runs in a jail: no network, no file of this machine, no other process, and limits
//! on time, memory, output, files and threads. Tests of imports and assertions only are checked in another jail, on the values
//! that the program tells as plain data: it never holds what it is compared with, and cannot say that it has passed. Where the kernel cannot build the jail the run ends before it begins;
//! `sandbox: none` runs programs without. `prune: hard` asks for all tests, `prune: soft` for any. The record `trial`
//! follows, with the reason of each test; `method` is the reason of the first that failed.
//!
//! Ports: `equal`, `different`, `unknown`: each row, followed by the record `verdict`, leaves by one of them. A
//! completion that states no answer is `different`, by method `no answer`, unless `on_missing: reject`; of a guided draw, an
//! answer that only the given part states is none. With
//! `on_unknown: accept`, unknown rows leave by `equal`; their column `verdict` still says what is known.
//!
//! Rejects: `no_answer`, with `on_missing: reject` only; `unknown`, with `on_unknown: reject` only;
//! `uneven_tests`, where a row has more inputs than outputs or fewer.
//!
//! Cost: linear in the text; microseconds a row. With `code`, about 20 ms of a processor a test beside the program's own
//! time, 40 ms with `asserts`; memoised by program, tests, limits and interpreter.
//!
//! ```yaml
//! graded: {op: verify, from: attempts, preset: gsm8k, on_unknown: reject}
//! tested: {op: verify, from: programs, code: {language: python, tests: stdin_stdout, prune: hard, seconds: 2}}
//! ```

mod code;

use std::sync::Arc;

use flow_data::{Columns, Item, Type, Value, kind};
use flow_dataflow::{Body, Out, Port, RowOp, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_verify::{Grader, Outcome};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{BuildError, Definition, Env, StepContext, grading};
use code::Code;

/// Options of `verify`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The data set whose rules hold: `gsm8k`, `math`, `aime`, `boxed`, `numeric`, `choice` or `exact`.
    preset: Option<String>,
    /// Where a completion states its answer: `auto`, `boxed`, `final_line`, `tag`, `phrase`, `last_line`, `last_number`,
    /// `last_expression`, `choice`, `whole`, `json:PATH` or `regex:PATTERN`; `auto` without a preset.
    extract: Option<String>,
    /// How clearly an answer must be marked: `strict`, `normal` or `lenient`; `normal` without a preset.
    strictness: Option<String>,
    /// What several boxes mean: `last`, `joined` or `all`; `joined` without a preset.
    boxes: Option<String>,
    /// How answers are compared: `math`, `numeric` or `exact`; `math` without a preset.
    compare: Option<String>,
    /// What `10%` equals: `either` of `0.1` and `10`, the `value` 0.1, or the `sign`'s 10; `either` without a preset.
    percent: Option<String>,
    /// When a decimal stands for a value that rounds to it: `exact` (never), `doubt` (it is unknown), `rounded`, `places:N`
    /// or `relative:N`; `doubt` without a preset.
    decimals: Option<String>,
    /// Whether the order of a list without brackets counts: `any` or `listed`; `any` without a preset.
    order: Option<String>,
    /// Whether a unit of the known answer must be given: `optional` or `required`; `optional` without a preset.
    units: Option<String>,
    /// Column that holds the texts of a row's choices, the first being `A`; none by default.
    options: Option<String>,
    /// Column that holds the completion.
    #[serde(default = "crate::defaults::completion")]
    completion: String,
    /// Column that holds the known answer.
    #[serde(default = "crate::defaults::answer")]
    answer: String,
    /// Tests that the completion, a program, must pass; it is then not compared with an answer.
    code: Option<Code>,
    /// Where a completion goes that states no answer.
    #[serde(default)]
    on_missing: OnMissing,
    /// Where a row goes that cannot be decided.
    #[serde(default)]
    on_unknown: OnUnknown,
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

/// Where a row goes that cannot be decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum OnUnknown {
    /// To the port `unknown`.
    #[default]
    Route,
    /// To the rejected rows.
    Reject,
    /// To the port `equal`.
    Accept,
}

/// The ports, in order.
const PORTS: [Outcome; 3] = [Outcome::Equal, Outcome::Different, Outcome::Unknown];

/// The operator.
pub(crate) struct Verify;

impl Definition for Verify {
    const NAME: &'static str = "verify";
    const SOURCE: &'static str = include_str!("verify.rs");
    const VERSION: u32 = 2;
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        if let Some(code) = &config.code {
            return code.shape(&inputs[0], &config.completion, &config.comparing());
        }
        let mut problems = config.grader().err().unwrap_or_default();
        for (key, name) in [("completion", &config.completion), ("answer", &config.answer)] {
            problems.extend(inputs[0].column_of(key, name, &[Type::Text]).err());
        }
        if let Some(name) = &config.options {
            problems.extend(inputs[0].column_of("options", name, &[Type::Texts]).err());
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let columns = inputs[0].columns.extended(kind("verdict").columns());
        Ok(Shape::with_ports(PORTS.map(|outcome| (outcome.name(), columns.clone()))))
    }

    fn body(config: Config, step: &StepContext<'_>, env: &Env) -> Result<Body, BuildError> {
        if let Some(code) = &config.code {
            return code.body(step, env, &config.completion, (config.on_missing, config.on_unknown));
        }
        let invalid = |problems: Vec<Problem>| BuildError::step(&step.step.name, &problems[0].message);
        let verifier = Verifier {
            grader: config.grader().map_err(invalid)?,
            completion: step.column(&config.completion),
            answer: step.column(&config.answer),
            options: config.options.as_ref().map(|name| step.column(name)),
            given: given(&step.columns(), &config.completion),
            on_missing: config.on_missing,
            on_unknown: config.on_unknown,
        };
        Ok(Body::Chain(vec![Stage::Row(Arc::new(verifier))]))
    }
}

/// The column of the record `guidance` that says how many characters of a completion were given; none where rows are not of guided draws.
fn given(columns: &Columns, completion: &str) -> Option<usize> {
    let is_guided = kind("guidance").columns().names().all(|name| columns.index(name).is_some());
    columns.index("given").filter(|_| is_guided && completion == crate::defaults::completion())
}

impl Config {
    /// The preset with the single keys set; all that is wrong with them.
    fn grader(&self) -> Result<Grader, Vec<Problem>> {
        grading::grader(self.preset.as_deref(), self.single_keys())
    }

    /// The keys that change one rule and are given, with their values.
    fn single_keys(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let keys = [
            ("extract", &self.extract),
            ("strictness", &self.strictness),
            ("boxes", &self.boxes),
            ("compare", &self.compare),
            ("percent", &self.percent),
            ("decimals", &self.decimals),
            ("order", &self.order),
            ("units", &self.units),
        ];
        keys.into_iter().filter_map(|(key, value)| Some((key, value.as_deref()?)))
    }

    /// The keys that are given and say how answers compare.
    fn comparing(&self) -> Vec<&'static str> {
        let others = [("preset", &self.preset), ("options", &self.options)];
        let others = others.into_iter().filter_map(|(key, value)| value.as_ref().map(|_| key));
        others.chain(self.single_keys().map(|(key, _)| key)).collect()
    }
}

struct Verifier {
    grader: Grader,
    completion: usize,
    answer: usize,
    options: Option<usize>,
    /// Where a row says how many characters of its completion were given, if it does.
    given: Option<usize>,
    on_missing: OnMissing,
    on_unknown: OnUnknown,
}

impl RowOp for Verifier {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        let completion = item.text(self.completion).unwrap_or_default();
        let given = self.given.and_then(|at| item.int(at)).and_then(|given| usize::try_from(given).ok()).unwrap_or(0);
        let graded = match self.options.map(|at| item.get(at)) {
            Some(Value::Texts(choices)) => {
                let mut grader = self.grader.clone();
                grader.options.choices = choices.iter().map(|choice| choice.to_string()).collect();
                grading::grade_own(&grader, item.text(self.answer), completion, given)
            }
            _ => grading::grade_own(&self.grader, item.text(self.answer), completion, given),
        };
        let verdict = graded.verdict;
        match verdict.outcome {
            _ if graded.extracted.is_none() && self.on_missing == OnMissing::Reject => {
                out.reject(item, "no_answer", verdict.witness);
            }
            Outcome::Unknown if self.on_unknown == OnUnknown::Reject => {
                out.reject(item, "unknown", format!("{}: {}", verdict.method, verdict.witness));
            }
            outcome => {
                let extracted = graded.extracted.as_deref();
                let cells = vec![
                    extracted.into(),
                    outcome.name().into(),
                    verdict.method.into(),
                    verdict.witness.into(),
                ];
                out.extend(port(outcome, self.on_unknown), item, cells);
            }
        }
    }
}

fn port(outcome: Outcome, on_unknown: OnUnknown) -> Port {
    match outcome {
        Outcome::Equal => 0,
        Outcome::Different => 1,
        Outcome::Unknown if on_unknown == OnUnknown::Accept => 0,
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
        (Some("#### blue"), Some("4")),
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
    fn what_was_given_of_a_solution_is_no_answer() {
        let row = |completion: &str, guided: Json, given: Json| {
            json!({"prompt_id": completion, "prompt": "?", "answer": "28", "completion": completion, "guided": guided, "given": given})
        };
        let (told, own) = ("23+5=28\nHello", "23+5=28\n#### 28");
        let rows = [
            row(told, "prefix".into(), 8.into()),
            row(own, "prefix".into(), 8.into()),
            row("So 28", Json::Null, Json::Null),
        ];
        let ports = run(&columns("prompt draw guidance"), &rows, "op: verify");
        assert_eq!(ids(&ports, "equal"), [own, "So 28"]);
        assert_eq!(ids(&ports, "different"), [told]);
    }

    #[test]
    fn missing_answers_can_be_rejected() {
        let ports = verify(&ROWS, ", on_missing: reject");
        assert_eq!(ids(&ports, "different"), ["1"]);
        assert_eq!(ids(&ports, "rejected"), ["3", "5"]);
    }

    #[test]
    fn unknown_rows_go_where_they_are_sent() {
        for (options, equal, unknown, rejected) in [
            ("", vec!["0"], vec!["2", "4"], vec![]),
            (", on_unknown: route", vec!["0"], vec!["2", "4"], vec![]),
            (", on_unknown: accept", vec!["0", "2", "4"], vec![], vec![]),
            (", on_unknown: reject", vec!["0"], vec![], vec!["2", "4"]),
        ] {
            let ports = verify(&ROWS, options);
            assert_eq!((ids(&ports, "equal"), ids(&ports, "unknown")), (equal, unknown), "{options}");
            assert_eq!(ids(&ports, "rejected"), rejected, "{options}");
            assert_eq!(ids(&ports, "different"), ["1", "3", "5"]);
        }
        assert_eq!(verify(&ROWS, ", on_unknown: accept")["equal"][1]["verdict"], "unknown");
        assert_eq!(verify(&ROWS, ", on_unknown: reject")["rejected"][1]["reason"], "unknown");
    }

    #[test]
    fn a_preset_sets_what_single_keys_change() {
        let row = [(Some("It is 0.333"), Some("1/3"))];
        for (options, port) in [
            ("", "unknown"),
            (", preset: numeric", "equal"),
            (", preset: boxed", "different"),
            (", extract: 'regex:is (.*)', compare: exact", "different"),
        ] {
            assert_eq!(ids(&verify(&row, options), port), ["0"], "{options}");
        }
    }

    #[test]
    fn choices_are_read_from_a_column() {
        let rows = [
            json!({"prompt_id": "0", "completion": "The answer is red.", "answer": "B", "choices": ["blue", "red"]}),
            json!({"prompt_id": "1", "completion": "The answer is blue.", "answer": "B", "choices": ["blue", "red"]}),
            json!({"prompt_id": "2", "completion": "(b)", "answer": "B"}),
        ];
        let columns = columns("prompt draw choices:list<text>");
        let ports = run(&columns, &rows, "op: verify, preset: choice, options: choices");
        assert_eq!((ids(&ports, "equal"), ids(&ports, "different")), (vec!["0", "2"], vec!["1"]));
    }

    #[test]
    fn ports_are_the_outcomes() {
        for (at, outcome) in PORTS.into_iter().enumerate() {
            assert_eq!(usize::from(port(outcome, OnUnknown::Route)), at);
        }
    }

    #[test]
    fn mistakes_are_told_together() {
        let found =
            mistakes(Some(&columns("prompt draw")), "op: verify, extract: x, compare: y, answer: anser");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[2].contains("did you mean `answer`"), "{found:?}");
        let keys = ", preset: gsm9k, strictness: x, boxes: x, percent: x, decimals: x, order: x, units: x, options: answer";
        let found = mistakes(Some(&columns("prompt draw")), &format!("op: verify{keys}"));
        assert_eq!(found.len(), 8, "{found:?}");
    }
}
