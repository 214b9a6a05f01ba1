//! Texts made of a row's columns, and conditions on them, in the Jinja language.
//!
//! Beside Jinja's own filters there is `integers`: the whole numbers that a text writes, in order.

mod order;

use flow_data::{Columns, Item, Value};
use flow_plan::{Input, Problem};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, UndefinedBehavior};

const NAME: &str = "template";

/// A template whose variables are columns. Printing a null or a name that is no column is an error, never an empty
/// text.
pub(crate) struct Template {
    environment: Environment<'static>,
    /// Name and position of each column that the template mentions.
    used: Vec<(String, usize)>,
    /// Those that it orders by without asking whether they are null.
    ordered: Vec<(String, usize)>,
}

impl Template {
    /// The template `text` over rows with `columns`. Errs where the text is no template.
    pub(crate) fn new(text: &str, columns: &Columns) -> Result<Self, Error> {
        let environment = environment(text)?;
        let names = names(&environment)?;
        let known = |names: Vec<String>| {
            names.into_iter().filter_map(|name| columns.index(&name).map(|at| (name, at))).collect()
        };
        Ok(Self { environment, used: known(names), ordered: known(order::ordered(text)) })
    }

    /// What is wrong with the template `text` under the config key `key`: its syntax, or names of no column.
    pub(crate) fn check(key: &str, text: &str, input: &Input<'_>) -> Vec<Problem> {
        match environment(text).and_then(|environment| names(&environment)) {
            Err(error) => {
                let line = error.line().map(|line| format!(" in line {line}")).unwrap_or_default();
                vec![Problem::new(
                    key,
                    format!("expected a template, found an error{line}: {}", reason(&error)),
                )]
            }
            Ok(names) => misused(key, &names, text, input),
        }
    }

    /// The text for `item`. Errs with the reason for people.
    pub(crate) fn render(&self, item: &Item) -> Result<String, String> {
        self.rendered(item, |_, cell| variable(cell))
    }

    /// The same with another value in the place of the column `name`.
    pub(crate) fn render_with(&self, item: &Item, (name, value): (&str, &Value)) -> Result<String, String> {
        self.rendered(item, |column, cell| variable(if column == name { value } else { cell }))
    }

    fn rendered(
        &self,
        item: &Item,
        variable: impl Fn(&str, &Value) -> minijinja::Value,
    ) -> Result<String, String> {
        if let Some((name, _)) = self.ordered.iter().find(|(_, at)| *item.get(*at) == Value::Null) {
            return Err(format!("`{name}` is null, which is neither more nor less than anything"));
        }
        let cells = self.used.iter().map(|(name, at)| (name.as_str(), variable(name, item.get(*at))));
        let context = minijinja::Value::from_pairs(cells);
        let text = self.environment.get_template(NAME).and_then(|template| template.render(context));
        text.map_err(|error| {
            let nulls = self.used.iter().filter(|(_, at)| *item.get(*at) == Value::Null);
            let nulls: Vec<String> = nulls.map(|(name, _)| format!("`{name}`")).collect();
            match nulls.is_empty() {
                true => reason(&error),
                false => format!("{}; null in this row: {}", reason(&error), nulls.join(", ")),
            }
        })
    }
}

/// An expression over columns that holds for a row or does not.
pub(crate) struct Condition(Template);

impl Condition {
    /// The condition `text` over rows with `columns`. Errs where the text is no expression.
    pub(crate) fn new(text: &str, columns: &Columns) -> Result<Self, Error> {
        environment("")?.compile_expression(text)?;
        Template::new(&condition(text), columns).map(Self)
    }

    /// What is wrong with the condition `text` under the config key `key`: its syntax, or names of no column.
    pub(crate) fn check(key: &str, text: &str, input: &Input<'_>) -> Vec<Problem> {
        match Self::new(text, input.columns) {
            Err(error) => {
                let words = format!("expected an expression, found an error: {}", reason(&error));
                vec![Problem::new(key, words)]
            }
            Ok(Self(template)) => {
                let names = names(&template.environment).unwrap_or_default();
                misused(key, &names, &condition(text), input)
            }
        }
    }

    /// Whether it holds for `item`. Errs with the reason for people.
    pub(crate) fn holds(&self, item: &Item) -> Result<bool, String> {
        self.0.render(item).map(|text| text == HOLDS)
    }
}

/// What a condition that holds is rendered to.
const HOLDS: &str = "1";

/// The template that is [`HOLDS`] where the expression `text` holds.
fn condition(text: &str) -> String {
    format!("{{% if {text} %}}{HOLDS}{{% endif %}}")
}

/// The `names` of the template `text` that are no columns, and columns that it orders with something of another kind.
fn misused(key: &str, names: &[String], text: &str, input: &Input<'_>) -> Vec<Problem> {
    let unknown = names.iter().filter_map(|name| input.column(key, name).err());
    let help = "make it a number first: `answer | float > 5`; or quote the number to compare texts";
    let unlike = order::unlike(text, input.columns).into_iter();
    unknown.chain(unlike.map(|words| Problem::new(key, words).with_help(help))).collect()
}

fn environment(text: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.add_filter("integers", integers);
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(SyntaxConfig::builder().keep_trailing_newline(true).build()?);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_formatter(|out, state, value| match value.is_none() {
        true => Err(Error::new(ErrorKind::UndefinedError, "a null is printed")),
        false => minijinja::escape_formatter(out, state, value),
    });
    environment.add_template_owned(NAME, text.to_owned())?;
    Ok(environment)
}

/// The variables of the template that it does not set itself, in alphabetical order.
fn names(environment: &Environment<'_>) -> Result<Vec<String>, Error> {
    let undeclared = environment.get_template(NAME)?.undeclared_variables(false);
    let is_global = |name: &String| environment.globals().any(|(global, _)| global == name);
    let mut names: Vec<String> = undeclared.into_iter().filter(|name| !is_global(name)).collect();
    names.sort_unstable();
    Ok(names)
}

/// A cell as templates see it.
fn variable(cell: &Value) -> minijinja::Value {
    match cell {
        Value::Null => ().into(),
        Value::Bool(value) => (*value).into(),
        Value::Int(value) => (*value).into(),
        Value::Float(value) => (*value).into(),
        Value::Text(text) => text.clone().into(),
        Value::Texts(texts) => texts.iter().cloned().collect(),
        Value::Floats(floats) => floats.iter().copied().collect(),
    }
}

/// The runs of digits in `text`.
fn integers(text: &str) -> Vec<String> {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.filter(|run| !run.is_empty()).map(str::to_owned).collect()
}

fn reason(error: &Error) -> String {
    error.detail().map_or_else(|| error.kind().to_string(), str::to_owned)
}
