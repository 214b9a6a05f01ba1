//! Why a verb ended early: what to tell, and the exit code.

use flow_spec::{Code, Diagnostic, Sources, render, to_json};
use serde_json::{Value as Json, json};

use crate::{Exit, codes, term};

pub(crate) use flow_operators::chain;

/// An early end. Located mistakes look as `flow check` shows them, others the same without an excerpt.
#[derive(Debug)]
pub(crate) struct Halt {
    exit: Exit,
    told: Vec<Told>,
}

/// One mistake, for people and for programs.
#[derive(Debug)]
struct Told {
    text: String,
    json: Json,
}

impl Halt {
    /// Ends with one mistake that has no place in the pipeline's text, and the help that goes with its code.
    pub(crate) fn new(exit: Exit, code: &Code, message: impl Into<String>) -> Self {
        Self::with(exit, code.id, &message.into(), codes::help(code))
    }

    /// The same with one sentence that can be acted on.
    pub(crate) fn with(exit: Exit, code: &str, message: &str, help: Option<&str>) -> Self {
        let mut text = format!("error[{code}]: {message}\n");
        text.extend(help.map(|help| format!(" = help: {help}\n")));
        let json = json!({"severity": "error", "code": code, "message": message, "help": help});
        Self { exit, told: vec![Told { text, json }] }
    }

    /// Ends because of a panic, which has told itself on stderr.
    pub(crate) fn of_panic() -> Self {
        let json = json!({"severity": "error", "code": codes::FAULT.id, "message": codes::FAULT.title});
        Self { exit: Exit::Failed, told: vec![Told { text: String::new(), json }] }
    }

    /// Ends with mistakes that have places in `sources`.
    pub(crate) fn located(exit: Exit, diagnostics: &[Diagnostic], sources: &Sources) -> Self {
        let told = diagnostics
            .iter()
            .map(|diagnostic| Told { text: render(diagnostic, sources), json: to_json(diagnostic, sources) });
        Self { exit, told: told.collect() }
    }

    /// Tells the mistakes on stderr, or as JSON on stdout, and returns the exit code.
    pub(crate) fn tell(self, as_json: bool) -> Exit {
        if as_json {
            // The exit code says what happened even where stdout is gone.
            let _ = term::json(&self.json());
        } else {
            term::tell(&self.text());
        }
        self.exit
    }

    /// The mistakes for people.
    pub(crate) fn text(&self) -> String {
        let texts: Vec<&str> = self.told.iter().map(|told| told.text.as_str()).collect();
        texts.join("\n")
    }

    /// The mistakes for programs.
    pub(crate) fn json(&self) -> Json {
        let diagnostics: Vec<&Json> = self.told.iter().map(|told| &told.json).collect();
        json!({"outcome": "failed", "diagnostics": diagnostics})
    }
}
