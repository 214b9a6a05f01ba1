//! What a store holds, and which pipelines use it: what `flow du` shows and `flow gc` goes by.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf, absolute};

use flow_data::Id;
use flow_store::{Answers, Error, Use, shelf};

use crate::exec::store::{halt, look, models_folder};
use crate::exec::usage::uses;
use crate::halt::Halt;
use crate::{Exit, codes};

/// A store as it is found.
pub(crate) struct Inventory {
    /// The kept answers.
    pub(crate) answers: Answers,
    /// Trained models by digest, and what a killed run left of some, with their sizes in bytes.
    pub(crate) models: Vec<(String, u64)>,
    /// What pipelines used in their last runs, and is kept for them.
    pub(crate) uses: Vec<Use>,
    /// What was used by those that are not to be kept for.
    pub(crate) forgotten: Vec<Use>,
    /// Notes of uses that cannot be read.
    damaged: Vec<PathBuf>,
}

impl Inventory {
    /// Looks at the store in `folder`.
    pub(crate) fn of(folder: &Path) -> Result<Self, Halt> {
        let found = || -> Result<_, Error> { Ok((shelf(&models_folder(folder))?, uses(folder).all()?)) };
        let (models, (uses, damaged)) = found().map_err(|error| halt(&error))?;
        Ok(Self { answers: look(folder)?, models, uses, forgotten: Vec::new(), damaged })
    }

    /// Keeps nothing for the pipelines in `files`, whether these are still there or not. Errs when one has not used the store.
    pub(crate) fn forget(mut self, files: &[PathBuf]) -> Result<Self, Halt> {
        for file in files {
            let place = absolute(file).unwrap_or_else(|_| file.clone());
            let (forgotten, uses): (Vec<_>, Vec<_>) =
                self.uses.into_iter().partition(|used| used.user.file == place);
            if forgotten.is_empty() {
                let message = format!("no run of `{}` has used this store", file.display());
                let help = Some("`flow du` lists the pipelines that have");
                return Err(Halt::with(Exit::Usage, codes::STORE.id, &message, help));
            }
            self.uses = uses;
            self.forgotten.extend(forgotten);
        }
        Ok(self)
    }

    /// The pipelines whose files have been moved or removed, and that are kept for all the same.
    pub(crate) fn gone(&self) -> impl Iterator<Item = String> {
        self.uses.iter().filter(|used| !is_live(used)).map(|used| used.user.file.display().to_string())
    }

    /// The keys of the answers that pipelines use.
    pub(crate) fn used_answers(&self) -> BTreeSet<Id> {
        self.uses.iter().flat_map(|used| used.answers.iter().copied()).collect()
    }

    /// Whether a pipeline uses the model of this name.
    pub(crate) fn uses_model(&self, name: &str) -> bool {
        name.parse().is_ok_and(|digest: Id| self.uses.iter().any(|used| used.models.contains(&digest)))
    }

    /// Why nothing can be given up, where it is not known what is used.
    pub(crate) fn doubt(&self) -> Option<String> {
        let open = self.uses.iter().find(|used| used.is_open).map(|used| {
            let (file, out) = (used.user.file.display(), used.user.out.display());
            format!(
                "the last run of `{file}` that published in `{out}` has not ended, so that it is not known what it used; run it to \
                 its end, or give up what it used by `flow gc --forget {file}`"
            )
        });
        let damaged = self.damaged.first().map(|note| {
            format!(
                "the note `{}` of what a pipeline uses is damaged; run every pipeline again, or remove the note to give up what \
                 only that one used",
                note.display()
            )
        });
        let nothing_noted = self.uses.is_empty() && self.forgotten.is_empty();
        let unknown = (nothing_noted && (!self.answers.is_empty() || !self.models.is_empty()))
            .then(|| "no pipeline has noted what it uses; run those that are to be kept first".to_owned());
        open.or(damaged).or(unknown)
    }
}

/// Whether the pipeline's file is still there.
pub(crate) fn is_live(used: &Use) -> bool {
    used.user.file.exists()
}
