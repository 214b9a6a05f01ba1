//! `render` makes a prompt of a row's columns with a Jinja template.
//!
//! The template's variables are the columns; a name that is no column is found by `flow check`. Line breaks stand as
//! written, the last one too. A null may be asked for (`{% if solution %}`, `{% if level is none %}`), but printing one, or ordering one
//! (`{% if level < 4 %}`), rejects the row.
//!
//! Ports: `out`, the row followed by the column `to`, which hides an earlier one of the same name.
//!
//! Rejects: `not_rendered` (a null was printed or ordered, or an operation does not fit the value).
//!
//! Cost: one rendering per row.
//!
//! ```yaml
//! asked: {op: render, from: questions, template: "Question: {{ prompt }}\nAnswer:"}
//! ```

use std::sync::Arc;

use flow_data::{Column, Columns, Item, Type};
use flow_dataflow::{Body, Out, RowOp, Stage};
use flow_plan::{Input, Problem, Shape};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::fields::reserved;
use crate::template::Template;
use crate::{BuildError, Definition, Env, StepContext};

/// Options of `render`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The template.
    template: String,
    /// Column that the text becomes, lowercase letters, digits and `_`.
    #[serde(default = "crate::defaults::prompt")]
    to: String,
}

/// Checks the name of a column that the key `key` makes.
pub(crate) fn new_column(key: &str, name: &str) -> Result<(), Problem> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if !name.is_empty() && name.chars().all(is_part) {
        return reserved(key, name);
    }
    Err(Problem::new(key, format!("expected lowercase letters, digits and `_`, found \"{name}\"")))
}

/// The operator.
pub(crate) struct Render;

impl Definition for Render {
    const NAME: &'static str = "render";
    const SOURCE: &'static str = include_str!("render.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let mut problems = Template::check("template", &config.template, &inputs[0]);
        problems.extend(new_column("to", &config.to).err());
        if !problems.is_empty() {
            return Err(problems);
        }
        let text = Column::new(&config.to, Type::Text, false, "Rendered from a template.");
        Ok(Shape::new(inputs[0].columns.extended(&Columns::new([text]))))
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let template = Template::new(&config.template, &step.columns());
        let template = template.map_err(|error| BuildError::step(&step.step.name, error.to_string()))?;
        Ok(Body::Chain(vec![Stage::Row(Arc::new(Renderer(template)))]))
    }
}

struct Renderer(Template);

impl RowOp for Renderer {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        match self.0.render(item) {
            Ok(text) => out.extend(0, item, vec![text.into()]),
            Err(detail) => out.reject(item, "not_rendered", detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use crate::testing::{columns, mistakes, run};

    fn render(row: Json, template: &str) -> Result<String, String> {
        let ports =
            run(&columns("prompt"), &[row], &format!("op: render, template: {}", Json::from(template)));
        let cell = |port: &str, name: &str| Some(ports[port].first()?[name].as_str()?.to_owned());
        cell("out", "prompt").ok_or_else(|| cell("rejected", "detail").unwrap_or_default())
    }

    #[test]
    fn columns_are_variables_and_nothing_is_escaped_or_trimmed() {
        let row = json!({"prompt": "1 < 2?", "level": 3});
        assert_eq!(render(row, "L{{ level }}: {{ prompt }}\n\n"), Ok("L3: 1 < 2?\n\n".into()));
    }

    #[test]
    fn a_null_can_be_asked_for_but_not_printed() {
        let row = json!({"prompt": "q"});
        assert_eq!(render(row.clone(), "{% if answer %}{{ answer }}{% else %}-{% endif %}"), Ok("-".into()));
        assert_eq!(
            render(row, "{{ prompt }} {{ answer }}"),
            Err("a null is printed; null in this row: `answer`".into())
        );
    }

    #[test]
    fn the_text_can_become_another_column() {
        let ports = run(
            &columns("prompt"),
            &[json!({"prompt": "q"})],
            "op: render, template: \"<{{ prompt }}>\", to: shown",
        );
        assert_eq!(ports["out"], [json!({"prompt": "q", "shown": "<q>"})]);
    }

    #[test]
    fn mistakes_are_told_before_the_run() {
        let check = |yaml: &str| mistakes(Some(&columns("prompt")), &format!("op: render, template: {yaml}"));
        let found = check("\"{{ promt }} {{ anwser }} {{ range(3) }} {% set x = 1 %}{{ x }}\", to: A-b");
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found.iter().any(|one| one.contains("did you mean `prompt`")), "{found:?}");
        let found = check("x, to: row_id");
        assert!(found.len() == 1 && found[0].contains("`own_row_id`"), "{found:?}");
        let found = check("\"{{ prompt \"");
        assert!(
            found.len() == 1 && found[0].contains("expected a template, found an error in line 1"),
            "{found:?}"
        );
    }
}
