//! The last checkpoint of a `train` step that names a folder is copied there.

use std::path::Path;
use std::{fs, io};

use flow_dataflow::Session;
use flow_operators::{Models, StepContext, destination};

use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

/// Copies the checkpoints of the last round; an older checkpoint in the folder is replaced whole, cards (`*.md`) stay.
pub(crate) fn copy(pipeline: &Pipeline, session: &Session, models: &Models) -> Result<(), Halt> {
    let plan = &pipeline.plan;
    for (at, step) in plan.steps.iter().enumerate() {
        let Some(folder) = destination(&StepContext { plan, step }) else { continue };
        let Some(last) = session.rows(at, Some(0)).into_keys().next_back() else { continue };
        replace(&models.path(&last.id), &folder).map_err(|error| {
            let message = format!("cannot copy the checkpoint to `{}`: {error}", folder.display());
            pipeline.halt_at_step(Exit::Failed, &codes::PUBLISH, &step.name, message)
        })?;
    }
    Ok(())
}

/// Puts a copy of the folder `from` at `to`, which is missing, empty or holds a checkpoint.
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    let occupied = to.exists() && fs::read_dir(to)?.next().is_some();
    if occupied && !to.join("config.json").exists() {
        return Err(io::Error::other("something that is no checkpoint is there"));
    }
    let beside = |mark: &str| to.with_file_name(format!(".tmp-{mark}-{}", std::process::id()));
    let (fresh, old) = (beside("new"), beside("old"));
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::create_dir(&fresh)?;
    let copied =
        keep_cards(to, &fresh).and_then(|()| fill(from, &fresh)).and_then(|()| swap(&fresh, to, &old));
    if copied.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&fresh);
    }
    copied
}

/// The texts that people have put beside a checkpoint, such as its card, stay.
fn keep_cards(to: &Path, fresh: &Path) -> io::Result<()> {
    if !to.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(to)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "md") {
            fs::copy(&path, fresh.join(path.file_name().unwrap_or_default()))?;
        }
    }
    Ok(())
}

fn fill(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy)?;
        fs::File::open(copy)?.sync_all()?;
    }
    Ok(())
}

/// Moves `fresh` to `to`; what was there is gone afterwards, or back when the move fails.
fn swap(fresh: &Path, to: &Path, old: &Path) -> io::Result<()> {
    if !to.exists() {
        return fs::rename(fresh, to);
    }
    fs::rename(to, old)?;
    if let Err(error) = fs::rename(fresh, to) {
        fs::rename(old, to)?;
        return Err(error);
    }
    fs::remove_dir_all(old)
}
