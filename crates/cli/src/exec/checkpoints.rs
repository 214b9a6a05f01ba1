//! The last checkpoint of a step that names a folder for it is copied there, with a card.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use flow_dataflow::Session;
use flow_operators::{Models, StepContext, destination};
use serde::{Deserialize, Serialize};

use super::captures::Captures;
use super::card;
use crate::halt::{Halt, chain};
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

/// Refuses folders that checkpoints could not be copied to, before anything is computed for them.
pub(crate) fn expect_places(pipeline: &Pipeline) -> Result<(), Halt> {
    let plan = &pipeline.plan;
    for step in &plan.steps {
        let Some(folder) = destination(&StepContext { plan, step }) else { continue };
        expect_place(&folder).map_err(|error| refusal(pipeline, &step.name, &folder, &error.to_string()))?;
    }
    Ok(())
}

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
        let refused = |cause: String| refusal(pipeline, &step.name, &folder, &cause);
        models.expect_whole(&last.row.id).map_err(|error| refused(chain(&error)))?;
        let card = card::card(pipeline, step, last, (captures, session), models);
        replace(&models.path(&last.row.id), &folder, (&plan.name, &card))
            .map_err(|error| refused(error.to_string()))?;
    }
    Ok(())
}

fn refusal(pipeline: &Pipeline, step: &str, folder: &Path, cause: &str) -> Halt {
    let message = format!("cannot copy the checkpoint to `{}`: {cause}", folder.display());
    pipeline.halt_at_step(Exit::Failed, &codes::PUBLISH, step, message)
}

/// Whether a checkpoint can be put at `to`: nothing is there but what was copied there before and texts of people, and a folder can be made
/// beside it.
fn expect_place(to: &Path) -> io::Result<()> {
    if let Some(foreign) = foreign(to)? {
        let foreign = foreign.display();
        return Err(io::Error::other(format!(
            "`{foreign}` is there, and would be lost; name another folder, or move it"
        )));
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let probe = beside(to, "probe");
    fs::create_dir(&probe)?;
    fs::remove_dir(&probe)
}

/// The file by which a copy is known, whatever people write into its card: a [`Mark`], or empty in copies of old.
const MARK: &str = ".copied_by_flow";

/// What a copy is of.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// The name of the pipeline that made it.
    pub(crate) pipeline: String,
    /// Its files without card and mark, and their sizes in bytes.
    files: BTreeMap<PathBuf, u64>,
}

impl Mark {
    /// Of the folder `from`, whose checkpoint `pipeline` trained.
    fn of(from: &Path, pipeline: &str) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        sizes(from, Path::new(""), &mut files)?;
        Ok(Self { pipeline: pipeline.to_owned(), files })
    }

    /// That of the copy in `folder`; none where there is no mark that says more than that it is one.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(MARK)).ok()?).ok()
    }

    /// Whether all files are in `folder`, as large as they were.
    pub(crate) fn is_whole(&self, folder: &Path) -> bool {
        self.files
            .iter()
            .all(|(name, size)| fs::metadata(folder.join(name)).is_ok_and(|found| found.len() == *size))
    }
}

/// The files of the folder `from` by their paths in it, which begin with `within`, and their sizes.
fn sizes(from: &Path, within: &Path, files: &mut BTreeMap<PathBuf, u64>) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = within.join(entry.file_name());
        match entry.file_type()?.is_dir() {
            true => sizes(&entry.path(), &name, files)?,
            false => drop(files.insert(name, entry.metadata()?.len())),
        }
    }
    Ok(())
}

/// What is in a copy beside texts.
const PARTS: [&str; 10] = [
    MARK,
    "adapter",
    "adapter/adapter_config.json",
    "adapter/adapter_model.safetensors",
    "chat_template.jinja",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
    "trained_on.parquet",
];

/// The first entry of the folder `to` that neither belongs to a checkpoint that was copied there nor is a text of people: any part of a
/// checkpoint that has come there in another way.
fn foreign(to: &Path) -> io::Result<Option<PathBuf>> {
    if !to.exists() {
        return Ok(None);
    }
    let card = to.join(card::NAME);
    let is_copy = to.join(MARK).exists() || card.exists() && card::is_ours(&card);
    let mut entries = entries(to)?;
    if to.join("adapter").is_dir() {
        entries.extend(self::entries(&to.join("adapter"))?);
    }
    entries.sort();
    Ok(entries.into_iter().find(|path| {
        let belongs = PARTS.iter().any(|part| *path == to.join(part));
        let is_text = has_extension(path, "md") && path.parent() == Some(to);
        !(is_text || is_copy && belongs)
    }))
}

fn entries(folder: &Path) -> io::Result<Vec<PathBuf>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
}

fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

/// Puts a copy of the folder `from`, whose checkpoint `pipeline` trained, with its `card` at `to`, which is missing or holds a copy made before
/// and texts of people.
fn replace(from: &Path, to: &Path, (pipeline, card): (&str, &str)) -> io::Result<()> {
    expect_place(to)?;
    let mark = serde_json::to_vec(&Mark::of(from, pipeline)?)?;
    let (fresh, old) = (beside(to, "new"), beside(to, "old"));
    fs::create_dir(&fresh)?;
    let copied = keep_texts(to, &fresh)
        .and_then(|()| fill(from, &fresh))
        .and_then(|()| fs::write(fresh.join(MARK), mark))
        .and_then(|()| put_card(&fresh, card))
        .and_then(|()| swap(&fresh, to, &old));
    if copied.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_dir_all(&fresh);
    }
    copied
}

/// A name of this process next to `to`.
fn beside(to: &Path, mark: &str) -> PathBuf {
    to.with_file_name(format!(".tmp-{mark}-{}", std::process::id()))
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
        if has_extension(&path, "md") {
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
