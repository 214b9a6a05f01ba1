//! What operators need of the world: folders, threads, models.

use std::sync::{Arc, Mutex, PoisonError};

use flow_dataflow::SourceError;

use crate::Models;

/// The surroundings of a run.
#[derive(Clone)]
pub struct Env {
    /// Threads for sampling, training and encoding; no influence on results.
    pub threads: usize,
    /// Checkpoints by digest.
    pub models: Arc<Models>,
    /// Whether nothing is written: what would be is only named by its digest.
    pub dry: bool,
    /// What operators have to say while they work.
    pub remarks: Remarks,
}

/// Lines for the person who runs a pipeline, until somebody shows them. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Remarks(Arc<Mutex<Vec<String>>>);

impl Remarks {
    /// Adds a line.
    pub fn add(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    /// The lines that were not taken before.
    pub fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A step that cannot be set up.
#[derive(Clone, Debug, thiserror::Error)]
#[error("step `{step}`: {message}")]
pub struct BuildError {
    /// The step.
    pub step: String,
    /// What is wrong.
    pub message: String,
    /// The code of its kind, where it has one beside that of steps that cannot be set up.
    pub code: Option<&'static str>,
    /// What to do about it.
    pub help: Option<String>,
}

impl BuildError {
    /// An error of a step.
    pub fn step(step: &str, message: impl Into<String>) -> Self {
        Self { step: step.to_owned(), message: message.into(), code: None, help: None }
    }

    /// A file that a step needs and that cannot be read as the pipeline says; `what` is what the file is to it.
    pub fn file(step: &str, what: &str, error: SourceError) -> Self {
        let message = format!("{what}: {}", error.message);
        Self { step: step.to_owned(), message, code: Some(error.code), help: error.help }
    }
}
