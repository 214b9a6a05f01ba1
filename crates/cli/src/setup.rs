//! What every verb that runs a pipeline needs first: the pipeline, its models, the kept answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_data::Id;
use flow_dataflow::{Memo, MemoryMemo, Network};
use flow_operators::{Env, Models, Remarks, assemble};
use flow_spec::Diagnostic;

use crate::args::Overlay;
use crate::exec::{Store, declare};
use crate::halt::Halt;
use crate::pipeline::{self, Pipeline};
use crate::record::Record;
use crate::{Catalog, Exit, codes, kept, starts};

/// A pipeline with its models loaded.
pub(crate) struct Setup {
    /// The pipeline.
    pub(crate) pipeline: Pipeline,
    /// Folder of the store.
    pub(crate) folder: PathBuf,
    /// Declared and trained models.
    pub(crate) models: Arc<Models>,
    /// Digests of the declared models, in the order of their names.
    pub(crate) digests: Vec<Id>,
    /// What operators have to say.
    pub(crate) remarks: Remarks,
}

impl Setup {
    /// Checks the pipeline at `file` and loads its models. Trained ones are kept in the store at `folder`.
    pub(crate) fn new(
        catalog: Catalog<'_>,
        file: &Path,
        overlay: &Overlay,
        folder: &Path,
    ) -> Result<Self, Halt> {
        let pipeline = pipeline::load(catalog, file, overlay)?;
        Self::of(pipeline, folder)
    }

    /// Loads the models of a checked pipeline. Trained ones are kept in the store at `folder`.
    pub(crate) fn of(pipeline: Pipeline, folder: &Path) -> Result<Self, Halt> {
        let models = Arc::new(Models::new(&folder.join("models")));
        let remarks = Remarks::default();
        let digests = declare(&pipeline, &models, &remarks)?;
        starts::expect(&pipeline)?;
        Ok(Self { pipeline, folder: folder.to_owned(), models, digests, remarks })
    }

    /// Lets trainings count as computed by what the run `last` computed them by: for verbs that look at what it made.
    pub(crate) fn look_back(&self, last: Option<&Record>) {
        if let Some(computer) = last.and_then(|last| last.computer.as_ref()) {
            self.models.look_back(computer);
        }
    }

    /// The same models for another text of the pipeline, which declares them alike.
    pub(crate) fn with(&self, pipeline: Pipeline) -> Result<Self, Halt> {
        starts::expect(&pipeline)?;
        Ok(Self {
            pipeline,
            folder: self.folder.clone(),
            models: self.models.clone(),
            digests: self.digests.clone(),
            remarks: self.remarks.clone(),
        })
    }

    /// The surroundings of its operators.
    pub(crate) fn env(&self, threads: usize) -> Env {
        Env { threads, models: self.models.clone(), dry: false, remarks: self.remarks.clone() }
    }

    /// What runs, after the run that `last` tells of.
    pub(crate) fn network(
        &self,
        catalog: Catalog<'_>,
        env: &Env,
        last: Option<&Record>,
    ) -> Result<Network, Halt> {
        let mut network = assemble(&self.pipeline.plan, catalog, env).map_err(|error| {
            let mistake = self.pipeline.mistake_in_step(&codes::SETUP, &error.step, &[], error.message);
            let code = error.code.unwrap_or(mistake.code);
            let mistake = Diagnostic { code, help: error.help.or(mistake.help.clone()), ..mistake };
            Halt::located(Exit::Invalid, &[mistake], &self.pipeline.sources)
        })?;
        network.rounds.kept = kept::rounds(&self.pipeline.plan, last);
        Ok(network)
    }

    /// The kept answers, to look at only; none where there is no store yet.
    pub(crate) fn memo(&self) -> Result<Arc<dyn Memo>, Halt> {
        match self.folder.join("memo").exists() {
            true => Store::answers(&self.folder),
            false => Ok(Arc::new(MemoryMemo::default())),
        }
    }
}
