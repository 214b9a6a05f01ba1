//! Where a row comes from: every step that it passes, what it says there, and whether the last run had it.

use std::fmt::Write;

use flow_data::{Columns, Item, Row, Value};
use flow_dataflow::{Driver, Port};
use serde_json::json;

use super::Told;
use crate::forecast::traced;
use crate::halt::Halt;
use crate::record::Record;
use crate::setup::Setup;
use crate::{Catalog, Exit, codes};

/// Longest cell that is shown, in characters.
const WIDTH: usize = 120;

/// A row on a port.
struct Place<'a> {
    step: &'a str,
    port: &'a str,
    columns: &'a Columns,
    item: Item,
    /// Whether the last run had it there, word for word; `None` where only a sample of its rows is known.
    known: Option<bool>,
}

/// Tells of all rows whose identity begins with `digits`.
pub(super) fn told(
    catalog: Catalog<'_>,
    setup: &Setup,
    last: Option<&Record>,
    digits: &str,
) -> Result<Told, Halt> {
    let driver = traced(catalog, setup, last)?;
    let places = places(setup, &driver, last, &digits.to_lowercase());
    if places.is_empty() {
        let message =
            format!("no row that is known without a run has an identity that begins with `{digits}`");
        let help = "row_id is a column of published files; rows of a run that is not done are not known yet";
        return Err(Halt::with(Exit::Failed, codes::NO_ROW.id, &message, Some(help)));
    }
    let mut text = String::new();
    for (at, place) in places.iter().enumerate() {
        place.tell(&places[..at], &mut text).expect("writing to a string cannot fail");
    }
    let json = places.iter().map(Place::json).collect();
    Ok(Told { text, json })
}

fn places<'a>(setup: &'a Setup, driver: &Driver, last: Option<&Record>, digits: &str) -> Vec<Place<'a>> {
    let session = driver.session();
    let mut places = Vec::new();
    for (at, step) in setup.pipeline.plan.steps.iter().enumerate() {
        let ports =
            step.ports.iter().enumerate().map(|(at, port)| (Some(at as Port), &*port.name, &port.columns));
        for (port, name, columns) in ports.chain([(None, "rejected", &step.rejected)]) {
            let sample = last.and_then(|last| last.sample(&step.name, name));
            let rows =
                session.rows(at, port).into_keys().filter(|row| row.id.to_string().starts_with(digits));
            places.extend(rows.map(|row: Row| Place {
                step: &step.name,
                port: name,
                columns,
                item: Item::load(session.heap(), row),
                known: sample.and_then(|sample| sample.contains(&row)),
            }));
        }
    }
    places
}

impl Place<'_> {
    /// Tells what the row says here and did not say at the places `before`.
    fn tell(&self, before: &[Place<'_>], text: &mut String) -> std::fmt::Result {
        let Row { id, round, .. } = self.item.row;
        let round = if round == 0 { String::new() } else { format!(", round {round}") };
        let known = match self.known {
            Some(true) => "the last run had it",
            Some(false) => "new or changed since the last run",
            None => "whether the last run had it is not known",
        };
        writeln!(text, "{}.{}{round}  {id}  ({known})", self.step, self.port)?;
        let before: Vec<&Place<'_>> = before.iter().filter(|place| place.item.row.id == id).collect();
        for (at, column) in self.columns.visible() {
            let value = self.item.get(at);
            if *value != Value::Null && !before.iter().any(|place| place.says(&column.name, value)) {
                writeln!(text, "  {}: {}", column.name, shown(value))?;
            }
        }
        Ok(())
    }

    fn says(&self, name: &str, value: &Value) -> bool {
        self.columns.index(name).is_some_and(|at| self.item.get(at) == value)
    }

    fn json(&self) -> serde_json::Value {
        let cells = self.columns.visible().filter(|(at, _)| *self.item.get(*at) != Value::Null);
        let cells: serde_json::Map<String, serde_json::Value> =
            cells.map(|(at, column)| (column.name.to_string(), shown(self.item.get(at)).into())).collect();
        json!({
            "step": self.step, "port": self.port, "round": self.item.row.round,
            "row_id": self.item.row.id.to_string(), "last_run_had_it": self.known, "cells": cells,
        })
    }
}

/// The cell in one line.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Text(text) => text.escape_debug().to_string(),
        Value::Texts(texts) => texts.join(", "),
        Value::Floats(floats) => format!("{} numbers", floats.len()),
    };
    match text.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}
