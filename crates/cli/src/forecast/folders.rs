//! What readers see now, where a run would put something else in its place though no row changes.

use std::path::{Path, PathBuf};

use flow_operators::{StepContext, destination, publication};
use flow_store::Snapshot;
use serde::Serialize;

use super::{Forecast, Reading, StepForecast};
use crate::exec::checkpoints::Mark;
use crate::exec::usage::sharers;
use crate::halt::Halt;
use crate::setup::Setup;

/// A folder with what was published, or with the copy of a checkpoint, that is not as the last run left it.
#[derive(Debug, Serialize)]
pub(super) struct Folder {
    step: String,
    pub(super) folder: String,
    #[serde(flatten)]
    pub(super) state: State,
}

/// What is the matter with a folder.
#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(super) enum State {
    /// Nothing is published there any more.
    Missing,
    /// The last checkpoint is not there.
    NoCheckpoint,
    /// A file is missing or has another size, or the manifest cannot be read.
    Damaged,
    /// Another pipeline has published there.
    Foreign {
        /// Its name.
        pipeline: String,
    },
}

impl Reading<'_> {
    /// The folders of steps that published or copied in the last run, or that another pipeline publishes in.
    pub(super) fn folders(&self, steps: &[StepForecast]) -> Vec<Folder> {
        let plan = self.plan();
        let of = |(step, forecast): (&flow_plan::Step, &StepForecast)| {
            let context = StepContext { plan, step };
            let was_there =
                self.last.is_some_and(|last| last.steps.contains_key(&step.name)) && forecast.had_rows;
            let (folder, state) = found(&context, was_there)?;
            Some(Folder { step: step.name.clone(), folder: folder.display().to_string(), state })
        };
        plan.steps.iter().zip(steps).filter_map(of).collect()
    }
}

/// The folder of a step, and what is the matter with it.
fn found(context: &StepContext<'_>, was_there: bool) -> Option<(PathBuf, State)> {
    let name = &context.plan.name;
    if let Some(folder) = destination(context) {
        let state = state_of_copy(&folder, name, was_there)?;
        return Some((folder, state));
    }
    let folder = publication(context)?.folder;
    let state = state(&folder, name, was_there)?;
    Some((folder, state))
}

fn state(folder: &Path, pipeline: &str, was_published: bool) -> Option<State> {
    match Snapshot::current(folder) {
        Ok(None) => was_published.then_some(State::Missing),
        Ok(Some(snapshot)) => {
            let name = snapshot.manifest.lineage.get("pipeline").and_then(|name| name.as_str());
            match name {
                Some(other) if other != pipeline => Some(State::Foreign { pipeline: other.to_owned() }),
                _ => (!snapshot.is_whole()).then_some(State::Damaged),
            }
        }
        Err(_) => Some(State::Damaged),
    }
}

/// The same of a folder that a checkpoint was copied to.
fn state_of_copy(folder: &Path, pipeline: &str, was_copied: bool) -> Option<State> {
    let is_there = folder.join("config.json").is_file();
    match Mark::read(folder).filter(|_| is_there) {
        Some(mark) if mark.pipeline != pipeline => Some(State::Foreign { pipeline: mark.pipeline }),
        Some(mark) => (was_copied && !mark.is_whole(folder)).then_some(State::Damaged),
        None => (was_copied && !is_there).then_some(State::NoCheckpoint),
    }
}

impl Forecast {
    /// The same with the other pipelines that have run from this store, publish in the same `out`, and are still there; `file`
    /// is this one's.
    pub(crate) fn beside(self, setup: &Setup, file: &Path) -> Result<Self, Halt> {
        let shares_out_with = sharers(&setup.folder, file, &setup.pipeline.plan)?;
        Ok(Self { shares_out_with, ..self })
    }
}
