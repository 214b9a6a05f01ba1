//! What a store holds, and which pipelines use it: what `flow du` shows and `flow gc` goes by.

use std::collections::BTreeSet;
use std::path::Path;

use flow_data::Id;
use flow_store::{Answers, Error, Use, shelf};

use crate::exec::store::{halt, look, models_folder};
use crate::exec::usage::uses;
use crate::halt::Halt;

/// A store as it is found.
pub(crate) struct Inventory {
    /// The kept answers.
    pub(crate) answers: Answers,
    /// Trained models by digest, and what a killed run left of some, with their sizes in bytes.
    pub(crate) models: Vec<(String, u64)>,
    /// What pipelines used in their last runs.
    pub(crate) uses: Vec<Use>,
    /// Notes of uses that cannot be read.
    pub(crate) damaged_uses: u64,
}

impl Inventory {
    /// Looks at the store in `folder`.
    pub(crate) fn of(folder: &Path) -> Result<Self, Halt> {
        let found = || -> Result<_, Error> { Ok((shelf(&models_folder(folder))?, uses(folder).all()?)) };
        let (models, (uses, damaged_uses)) = found().map_err(|error| halt(&error))?;
        Ok(Self { answers: look(folder)?, models, uses, damaged_uses })
    }

    /// The uses of pipelines whose files are still there.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Use> {
        self.uses.iter().filter(|used| is_live(used))
    }

    /// The keys of the answers that live pipelines use.
    pub(crate) fn used_answers(&self) -> BTreeSet<Id> {
        self.live().flat_map(|used| used.answers.iter().copied()).collect()
    }

    /// Whether a live pipeline uses the model of this name.
    pub(crate) fn uses_model(&self, name: &str) -> bool {
        name.parse().is_ok_and(|digest: Id| self.live().any(|used| used.models.contains(&digest)))
    }

    /// Why nothing can be given up, where it is not known what is used.
    pub(crate) fn doubt(&self) -> Option<String> {
        let open = self.live().find(|used| used.is_open).map(|used| {
            let file = used.user.file.display();
            format!("the last run of `{file}` has not ended; run it to its end first, or remove the file")
        });
        let damaged = (self.damaged_uses > 0)
            .then(|| "a note of what a pipeline uses is damaged; run every pipeline again first".to_owned());
        let unknown = (self.uses.is_empty() && (!self.answers.is_empty() || !self.models.is_empty()))
            .then(|| "no pipeline has noted what it uses; run those that are to be kept first".to_owned());
        open.or(damaged).or(unknown)
    }
}

/// Whether the pipeline's file is still there.
pub(crate) fn is_live(used: &Use) -> bool {
    used.user.file.exists()
}
