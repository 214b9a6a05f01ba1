//! Notes in the store what a pipeline uses of it, so that `flow gc` knows what to keep.

use std::path::{Path, PathBuf, absolute};

use flow_data::Id;
use flow_plan::Plan;
use flow_store::{Error, Use, User, Uses};

use super::store::halt;
use crate::halt::Halt;

/// The note of one run.
pub(crate) struct Usage {
    uses: Uses,
    before: Option<Use>,
    begun: Use,
}

impl Usage {
    /// Notes that the pipeline in `file` begins to use the store in `folder`. Until [`Usage::end`], or should the run be
    /// killed, nothing of the store may be given up.
    pub(crate) fn begin(folder: &Path, file: &Path, plan: &Plan) -> Result<Self, Halt> {
        let user = User { file: place(file), name: plan.name.clone(), out: place(Path::new(&plan.out)) };
        let uses = uses(folder);
        let begin = || -> Result<Option<Use>, Error> {
            let before = uses.of(&user)?;
            let begun = Use::begun(user.clone());
            uses.save(&before.as_ref().map_or(begun.clone(), |before| begun.joined(before)))?;
            Ok(before)
        };
        let before = begin().map_err(|error| halt(&error))?;
        Ok(Self { uses, before, begun: Use::begun(user) })
    }

    /// Notes the keys of the `answers` and the `models` that were used. Unless the run was `whole`, what was used before is kept too.
    pub(crate) fn end(self, mut answers: Vec<Id>, models: Vec<Id>, whole: bool) -> Result<(), Halt> {
        answers.sort_unstable();
        answers.dedup();
        let used = Use { is_open: false, answers, models, ..self.begun };
        let used = match self.before.filter(|_| !whole) {
            Some(before) => used.joined(&before),
            None => used,
        };
        self.uses.save(&used).map_err(|error| halt(&error))
    }
}

/// The other pipelines that have run from the store in `folder`, publish in the same `out` as `plan`, and are still there; `file` is its own.
pub(crate) fn sharers(folder: &Path, file: &Path, plan: &Plan) -> Result<Vec<String>, Halt> {
    let (file, out) = (place(file), place(Path::new(&plan.out)));
    let (uses, _) = uses(folder).all().map_err(|error| halt(&error))?;
    let users = uses.into_iter().map(|used| used.user);
    let others = users.filter(|user| user.out == out && user.file != file && user.file.exists());
    Ok(others.map(|user| user.file.display().to_string()).collect())
}

fn place(path: &Path) -> PathBuf {
    absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The uses of the store in `folder`.
pub(crate) fn uses(folder: &Path) -> Uses {
    Uses::new(&folder.join("uses"))
}
