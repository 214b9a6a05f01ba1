//! The last checkpoint of a step that names a folder for it is copied there, with a card.

use std::path::Path;
use std::{fs, io};

use flow_dataflow::Session;
use flow_operators::{Models, StepContext, destination};

use super::captures::Captures;
use super::card;
use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

/// Copies the checkpoints of the last round; an older checkpoint in the folder is replaced whole, texts of people (`*.md`) stay.
pub(crate) fn copy(
    pipeline: &Pipeline,
    captures: &Captures,
    session: &Session,
    models: &Models,
) -> Result<(), Halt> {
    let plan = &pipeline.plan;
    let rows = captures.rows(session, "checkpoint");
    for (at, step) in plan.steps.iter().enumerate() {
        let Some(folder) = destination(&StepContext { plan, step }) else { continue };
        let Some((_, last)) = rows.iter().rfind(|(of, _)| *of == at) else { continue };
        let card = card::card(pipeline, step, last, (captures, session), models);
        replace(&models.path(&last.row.id), &folder, &card).map_err(|error| {
            let message = format!("cannot copy the checkpoint to `{}`: {error}", folder.display());
            pipeline.halt_at_step(Exit::Failed, &codes::PUBLISH, &step.name, message)
        })?;
    }
    Ok(())
}

/// Puts a copy of the folder `from` with its `card` at `to`, which is missing, empty or holds a checkpoint.
fn replace(from: &Path, to: &Path, card: &str) -> io::Result<()> {
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
    let copied = keep_texts(to, &fresh)
        .and_then(|()| fill(from, &fresh))
        .and_then(|()| put_card(&fresh, card))
        .and_then(|()| swap(&fresh, to, &old));
    if copied.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&fresh);
    }
    copied
}

/// Writes the card, unless people have written one.
fn put_card(folder: &Path, card: &str) -> io::Result<()> {
    let path = folder.join(card::NAME);
    if card::is_ours(&path) {
        fs::write(&path, card)?;
        fs::File::open(path)?.sync_all()?;
    }
    Ok(())
}

/// The texts that people have put beside a checkpoint stay.
fn keep_texts(to: &Path, fresh: &Path) -> io::Result<()> {
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

/// Copies what is in the folder `from`, folders in it included.
fn fill(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&copy)?;
            fill(&entry.path(), &copy)?;
            continue;
        }
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
