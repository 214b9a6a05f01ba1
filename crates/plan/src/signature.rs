//! What an operator says of itself before anything runs: its keys, its inputs, its ports and their columns.

use flow_data::{Columns, Type};
use flow_spec::{Code, help_with_names};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::codes;

/// An operator of the YAML vocabulary, as planning sees it. The catalog is a plain slice of these.
pub trait Signature: Sync {
    /// The YAML `op`: snake_case, unique in the catalog.
    fn name(&self) -> &'static str;

    /// The `//!` header of the operator's file: what it does, Ports, Rejects, Cost, a YAML example.
    fn header(&self) -> &'static str;

    /// The header without the marks of a comment: Markdown.
    fn manual(&self) -> String {
        let text = |line: &str| {
            line.trim_start_matches("//!").strip_prefix(' ').unwrap_or_default().to_owned() + "\n"
        };
        self.header().lines().map(text).collect()
    }

    /// Raised when the same config and rows would give other results; part of every digest. Starts at 1.
    fn version(&self) -> u32 {
        1
    }

    /// Whether it takes rows.
    fn arity(&self) -> Arity {
        Arity::One
    }

    /// JSON Schema of the operator's own keys (without `op` and `from`), unknown ones denied: [`schema_of`] its config.
    fn config_schema(&self) -> Json;

    /// The ports for these inputs. `config` has passed [`Signature::config_schema`]; there is exactly one input under
    /// [`Arity::One`], none under [`Arity::None`].
    fn shape(&self, config: &Json, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>>;
}

/// Whether rows arrive at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// `from` is not allowed: rows begin here.
    None,
    /// One stream of rows. `from: [a, b]` is the union of both.
    One,
}

/// Rows that arrive at a step.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// What the user wrote: `graded.equal`; the parts of a union are joined by ` + `.
    pub reference: &'a str,
    /// The columns of each row; empty when they are not known.
    pub columns: &'a Columns,
    /// Whether they are known. They are not behind a mistake that hides what arrives; other mistakes are found even then.
    pub is_known: bool,
}

impl Input<'_> {
    /// Rows of which nothing is known.
    pub(crate) fn unknown(nothing: &Columns) -> Input<'_> {
        Input { reference: "", columns: nothing, is_known: false }
    }

    /// Errs unless there is a column `name`, or none is known: with the problem to report for the config key `path`.
    pub fn column(&self, path: &str, name: &str) -> Result<(), Problem> {
        if !self.is_known || self.columns.get(name).is_some() {
            return Ok(());
        }
        let names: Vec<&str> = self.columns.names().collect();
        Err(Problem {
            path: path.to_owned(),
            code: &codes::MISSING_COLUMN,
            message: format!("`{}` has no column `{name}`", self.reference),
            help: Some(help_with_names(name, "its columns", &names)),
        })
    }

    /// The same, and the column must hold one of `kinds`.
    pub fn column_of(&self, path: &str, name: &str, kinds: &[Type]) -> Result<(), Problem> {
        self.column(path, name)?;
        let Some(column) = self.columns.get(name).filter(|column| !kinds.contains(&column.kind)) else {
            return Ok(());
        };
        let expected: Vec<String> = kinds.iter().map(Type::to_string).collect();
        Err(Problem {
            path: path.to_owned(),
            code: &codes::COLUMN_TYPE,
            message: format!(
                "expected column `{name}` of `{}` to hold {}, it holds {}",
                self.reference,
                expected.join(" or "),
                column.kind
            ),
            help: None,
        })
    }
}

/// What a step offers to others, and what it needs beside its inputs.
#[derive(Clone, Debug, Default)]
pub struct Shape {
    /// The ports; the first is the main one, which a bare step name means. Never empty.
    pub ports: Vec<Port>,
    /// Config keys, dotted (`model`, `models.0`), whose text names a declared model or a step that makes one.
    pub models: Vec<String>,
    /// Whether other steps and `rounds.feed` may name this step where a model is expected.
    pub makes_model: bool,
    /// Whether the models it uses must be folders with weights; those of a step that makes a model must be in any case.
    pub needs_weights: bool,
    /// Whether the step is worth running for itself: it writes, trains or measures.
    pub is_end: bool,
}

impl Shape {
    /// One port, `out`, of rows with `columns`.
    pub fn new(columns: Columns) -> Self {
        Self::with_ports([("out", columns)])
    }

    /// Ports by name, the main one first.
    pub fn with_ports<'a>(ports: impl IntoIterator<Item = (&'a str, Columns)>) -> Self {
        let port = |(name, columns): (&str, Columns)| Port { name: name.to_owned(), columns };
        Self { ports: ports.into_iter().map(port).collect(), ..Self::default() }
    }

    /// The same shape, using the model that the config key `key` names.
    #[must_use]
    pub fn using(mut self, key: impl Into<String>) -> Self {
        self.models.push(key.into());
        self
    }

    /// The same shape of a step that reads the weights of the models it uses.
    #[must_use]
    pub fn with_weights(mut self) -> Self {
        self.needs_weights = true;
        self
    }

    /// The same shape of a step that makes a model.
    #[must_use]
    pub fn making_model(mut self) -> Self {
        self.makes_model = true;
        self
    }

    /// The same shape of a step that is worth running for itself.
    #[must_use]
    pub fn ending(mut self) -> Self {
        self.is_end = true;
        self
    }
}

/// A named outlet of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name, as in `step.port`.
    pub name: String,
    /// The columns of each row.
    pub columns: Columns,
}

/// A user's mistake that only the operator can see. Planning finds its place in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The key inside the step, dotted (`per`, `quotas.2`); empty for the step as a whole.
    pub path: String,
    /// The kind of mistake.
    pub code: &'static Code,
    /// Lowercase fact with value and expectation, no period.
    pub message: String,
    /// One sentence that can be acted on.
    pub help: Option<String>,
}

impl Problem {
    /// A combination of keys or values that the operator cannot work with, at the key `path`.
    pub fn new(path: &str, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), code: &codes::CONFIG, message: message.into(), help: None }
    }

    /// The same problem with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The JSON Schema of a config type, for [`Signature::config_schema`].
pub fn schema_of<C: JsonSchema>() -> Json {
    schemars::schema_for!(C).to_value()
}

/// A config read from JSON that passed its schema. Errs where the type is stricter than its schema can say.
pub fn config_of<C: DeserializeOwned>(config: &Json) -> Result<C, Vec<Problem>> {
    C::deserialize(config).map_err(|error| vec![Problem::new("", error.to_string())])
}
