//! The card of a checkpoint that a step leaves in a folder of its own: what it is, what it learned from, how it scored.

use std::fmt::Write;
use std::path::Path;

use flow_data::{Item, Kind, kind};
use flow_dataflow::Session;
use flow_operators::Models;
use flow_plan::Step;

use super::captures::Captures;
use crate::columns::grouped;
use crate::pipeline::Pipeline;

/// The file's name, as model hubs show it.
pub(super) const NAME: &str = "README.md";

/// The line by which a card is known as one that may be written anew.
const MARK: &str = "generated_by: flow\n";

/// Whether the card at `path`, if there is one, may be replaced: people's own stay.
pub(super) fn is_ours(path: &Path) -> bool {
    std::fs::read_to_string(path).map_or(!path.exists(), |card| card.contains(MARK))
}

/// The card of the checkpoint that `step` made of a round, as Markdown with the head that hubs read. The same run gives the
/// same bytes.
pub(super) fn card(
    pipeline: &Pipeline,
    step: &Step,
    checkpoint: &Item,
    (captures, session): (&Captures, &Session),
    models: &Models,
) -> String {
    let mut card = format!("---\n{MARK}library_name: transformers\ntags:\n- flow\n");
    write(&mut card, pipeline, step, checkpoint, models)
        .and_then(|()| scores(&mut card, pipeline, checkpoint, captures, session))
        .expect("writing to a string cannot fail");
    card
}

fn write(
    card: &mut String,
    pipeline: &Pipeline,
    step: &Step,
    checkpoint: &Item,
    models: &Models,
) -> std::fmt::Result {
    let cells = Cells { kind: kind("checkpoint"), item: checkpoint };
    let digest = cells.text("start_model").and_then(|digest| digest.parse().ok());
    let start = digest.and_then(|digest| models.declared_folder(&digest));
    if let Some(start) = &start {
        writeln!(card, "base_model: {}", start.display())?;
    }
    let round = match checkpoint.row.round {
        0 => String::new(),
        round => format!(", round {round}"),
    };
    let plan = &pipeline.plan;
    writeln!(card, "---\n\n# {} of {}\n", step.name, plan.name)?;
    writeln!(
        card,
        "Made by step `{}` of the Flow pipeline `{}`{round}, seed {}.\n",
        step.name, plan.name, plan.seed
    )?;
    writeln!(card, "| | |\n| --- | --- |\n| model | `{}` |", cells.text("model").unwrap_or_default())?;
    if let Some(start) = cells.text("start_model") {
        writeln!(card, "| trained from | `{start}` |")?;
    }
    writeln!(card, "| data | `{}` |", cells.text("dataset").unwrap_or_default())?;
    for (name, column) in [
        ("examples", "n_examples"),
        ("optimiser steps", "n_steps"),
        ("tokens", "n_tokens"),
        ("experts a layer", "n_experts"),
    ] {
        if let Some(n) = cells.int(column).filter(|n| *n > 0) {
            writeln!(card, "| {name} | {} |", grouped(n))?;
        }
    }
    let settings = serde_json::to_string_pretty(&step.written).expect("a config is maps with text keys");
    writeln!(
        card,
        "\nDigests are of contents: `flow show` and the tables under `run` have them too.\n\n## Settings\n\n```json\n{settings}\n```"
    )
}

/// What steps have measured of the checkpoint, over all problems.
fn scores(
    card: &mut String,
    pipeline: &Pipeline,
    checkpoint: &Item,
    captures: &Captures,
    session: &Session,
) -> std::fmt::Result {
    let model = Cells { kind: kind("checkpoint"), item: checkpoint }.text("model");
    let rows = captures.rows(session, "metric");
    let of_model = rows.iter().filter(|(_, item)| {
        let cells = Cells { kind: kind("metric"), item };
        cells.text("model") == model && cells.int("level").is_none()
    });
    let mut head = "\n## Scores\n\n| step | metric | value | 95 % interval | problems |\n| --- | --- | --- | --- | --- |\n";
    for (step, item) in of_model {
        let cells = Cells { kind: kind("metric"), item };
        let share = |column| 100.0 * cells.float(column).unwrap_or(f64::NAN);
        card.push_str(std::mem::take(&mut head));
        writeln!(
            card,
            "| `{}` | {} | {:.1} % | {:.1} to {:.1} | {} |",
            pipeline.plan.steps[*step].name,
            cells.text("metric").unwrap_or_default(),
            share("value"),
            share("low"),
            share("high"),
            grouped(cells.int("n_problems").unwrap_or_default())
        )?;
    }
    Ok(())
}

/// The cells of a row by the names that its kind gives them.
struct Cells<'a> {
    kind: &'a Kind,
    item: &'a Item,
}

impl<'a> Cells<'a> {
    fn at(&self, column: &str) -> usize {
        self.kind.columns().index(column).expect("the record kind has this column")
    }

    fn text(&self, column: &str) -> Option<&'a str> {
        self.item.text(self.at(column))
    }

    fn int(&self, column: &str) -> Option<i64> {
        self.item.int(self.at(column))
    }

    fn float(&self, column: &str) -> Option<f64> {
        self.item.float(self.at(column))
    }
}
