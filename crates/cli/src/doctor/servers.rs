//! The servers of a pipeline: whether each can be reached, has the model, and draws a token.

use std::path::Path;

use flow_operators::{Remarks, Server};
use flow_server::Probe;
use flow_spec::Served;
use serde::Serialize;

use crate::args::{Format, Overlay};
use crate::columns::columns;
use crate::halt::Halt;
use crate::{Catalog, Exit, codes, pipeline, term};

/// One server of one model.
#[derive(Debug, Serialize)]
struct Findings {
    /// The name in the pipeline.
    name: String,
    /// The name at the server.
    model: String,
    address: String,
    /// Whether draws can be expected to work.
    well: bool,
    /// What it lists, or why that is not known.
    models: Result<Vec<String>, String>,
    /// Whether the model is among them; absent where it lists none.
    listed: Option<bool>,
    /// Milliseconds that one token took, or why there is none.
    draw_ms: Result<u64, String>,
}

/// Asks all servers of the pipeline at `file`.
pub(super) fn examine(
    catalog: Catalog<'_>,
    file: &Path,
    overlay: &Overlay,
    format: Format,
) -> Result<Exit, Halt> {
    let pipeline = pipeline::load(catalog, file, overlay)?;
    let mut findings = Vec::new();
    for (name, model) in &pipeline.plan.models {
        let Some(served) = model.served() else { continue };
        let server = Server::new(served, |variable| std::env::var(variable).ok(), Remarks::default());
        let settings = server.settings().map_err(|message| {
            let mistake = pipeline.mistake(&codes::SERVER, &format!("models.{name}.api_key_env"), message);
            Halt::located(Exit::Failed, &[mistake], &pipeline.sources)
        })?;
        findings.extend(Probe::all(settings).iter().map(|probe| Findings::of(name, served, probe)));
    }
    match format {
        Format::Json => term::json(&findings)?,
        Format::Text => term::data(&text(&findings))?,
    }
    Ok(if findings.iter().all(|found| found.well) { Exit::Done } else { Exit::Failed })
}

impl Findings {
    fn of(name: &str, served: &Served, probe: &Probe) -> Self {
        let drawn = probe.drawn.as_ref().map_err(|fault| fault.detail.clone());
        Self {
            name: name.to_owned(),
            model: served.model.clone(),
            address: probe.endpoint.clone(),
            well: probe.is_well(&served.model),
            models: probe.models.clone().map_err(|fault| fault.detail),
            listed: probe.lists(&served.model),
            draw_ms: drawn.map(|(_, took)| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        }
    }

    fn row(&self) -> Vec<String> {
        let listed = match (&self.models, self.listed) {
            (Err(why), _) => format!("lists no models: {why}"),
            (Ok(_), Some(true)) => format!("has `{}`", self.model),
            (Ok(models), _) => format!("does not list `{}`; it has {}", self.model, models.join(", ")),
        };
        let drew = match &self.draw_ms {
            Ok(took) => format!("drew a token in {took} ms"),
            Err(why) => format!("draws nothing: {why}"),
        };
        let verdict = if self.well { "well" } else { "NOT WELL" };
        vec![self.name.clone(), self.address.clone(), verdict.to_owned(), listed, drew]
    }
}

fn text(findings: &[Findings]) -> String {
    match findings.is_empty() {
        true => {
            "no model of the pipeline is behind a server; `--model DIR` examines a checkpoint\n".to_owned()
        }
        false => columns(&findings.iter().map(Findings::row).collect::<Vec<_>>()),
    }
}
