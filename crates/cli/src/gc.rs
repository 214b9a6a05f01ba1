//! `flow gc`: gives up what no pipeline uses any more.

use std::path::PathBuf;

use flow_store::{Error, Memo, Swept, discard};
use serde_json::json;

use crate::args::Format;
use crate::columns::counted;
use crate::du::size;
use crate::exec::store::{halt, lock, memo_folder, models_folder};
use crate::exec::usage::uses;
use crate::halt::Halt;
use crate::inventory::Inventory;
use crate::{Exit, codes, term};

/// Arguments of `gc`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folder of the store.
    #[arg(long, value_name = "DIR", default_value = ".flow")]
    store: PathBuf,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    /// Give up what the pipeline FILE used, be it there or not. May be given several times.
    #[arg(long, value_name = "FILE")]
    forget: Vec<PathBuf>,
    /// For people (stderr) or for programs (stdout).
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// What was removed, or would be.
#[derive(Default)]
struct Removed {
    answers: Swept,
    models: u64,
    model_bytes: u64,
    /// Pipelines that were kept for, though their files are not where they were.
    gone: Vec<String>,
}

/// Keeps what the last run of every pipeline used, and removes the rest of the store. A pipeline whose file was moved or removed
/// is named, and kept for until it is to be forgotten. A crash on the way leaves a store that can be used, and swept again.
pub(crate) fn gc(args: &Args, command: &str) -> Result<Exit, Halt> {
    if !args.store.exists() {
        return tell(args, &Removed::default(), None);
    }
    if !memo_folder(&args.store).exists() {
        let message = format!("`{}` is no store: it has no answers of a run", args.store.display());
        let help = "name the folder that runs were given as `--store`";
        return Err(Halt::with(Exit::Usage, codes::STORE.id, &message, Some(help)));
    }
    let _lock = lock(&args.store, command)?;
    let inventory = Inventory::of(&args.store)?.forget(&args.forget)?;
    if let Some(doubt) = inventory.doubt() {
        return tell(args, &Removed::default(), Some(&doubt));
    }
    let removed = sweep(args, &inventory).map_err(|error| halt(&error))?;
    tell(args, &removed, None)
}

fn sweep(args: &Args, inventory: &Inventory) -> Result<Removed, Error> {
    let used = inventory.used_answers();
    let answers = Memo::sweep(&memo_folder(&args.store), &|key| used.contains(key), args.dry_run)?;
    let mut removed = Removed { answers, gone: inventory.gone().collect(), ..Removed::default() };
    for (name, bytes) in inventory.models.iter().filter(|(name, _)| !inventory.uses_model(name)) {
        removed.models += 1;
        removed.model_bytes += bytes;
        if !args.dry_run {
            discard(&models_folder(&args.store).join(name))?;
        }
    }
    for forgotten in inventory.forgotten.iter().filter(|_| !args.dry_run) {
        uses(&args.store).remove(&forgotten.user)?;
    }
    Ok(removed)
}

fn tell(args: &Args, removed: &Removed, doubt: Option<&str>) -> Result<Exit, Halt> {
    let Removed { answers, models, model_bytes, gone } = removed;
    let bytes = answers.bytes + model_bytes;
    match (args.format, doubt) {
        (Format::Json, _) => term::json(&json!({
            "dry_run": args.dry_run, "answers": answers.answers, "models": models, "bytes": bytes,
            "gone": gone, "doubt": doubt,
        }))?,
        (Format::Text, Some(doubt)) => term::tell(&format!("nothing was removed: {doubt}\n")),
        (Format::Text, None) => {
            let count = |n: u64, noun| counted(i64::try_from(n).unwrap_or(i64::MAX), noun);
            let (answers, models) = (count(answers.answers, "answer"), count(*models, "model"));
            let verb = if args.dry_run { "would free" } else { "freed" };
            let kept = gone.iter().map(|file| {
                format!("kept what `{file}` used, which is not there any more; `flow gc --forget {file}` gives it up\n")
            });
            let text = format!("{verb} {}: {answers}, {models} that no pipeline uses\n", size(bytes));
            term::tell(&(text + &kept.collect::<String>()));
        }
    }
    Ok(Exit::Done)
}
