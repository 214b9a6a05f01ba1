//! `flow gc`: gives up what no pipeline uses any more.

use std::path::PathBuf;

use flow_store::{Error, Memo, Swept, discard};
use serde_json::json;

use crate::args::Format;
use crate::chart::counted;
use crate::du::size;
use crate::exec::store::{halt, lock, memo_folder, models_folder};
use crate::exec::usage::uses;
use crate::halt::Halt;
use crate::inventory::{Inventory, is_live};
use crate::{Exit, term};

/// Arguments of `gc`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folder of the store.
    #[arg(long, value_name = "DIR", default_value = ".flow")]
    store: PathBuf,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
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
}

/// Keeps what the last run of every pipeline used whose file is still there, and removes the rest of the store. A crash
/// on the way leaves a store that can be used, and swept again.
pub(crate) fn gc(args: &Args, command: &str) -> Result<Exit, Halt> {
    if !args.store.exists() {
        return tell(args, &Removed::default(), None);
    }
    let _lock = lock(&args.store, command)?;
    let inventory = Inventory::of(&args.store)?;
    if let Some(doubt) = inventory.doubt() {
        return tell(args, &Removed::default(), Some(&doubt));
    }
    let removed = sweep(args, &inventory).map_err(|error| halt(&error))?;
    tell(args, &removed, None)
}

fn sweep(args: &Args, inventory: &Inventory) -> Result<Removed, Error> {
    let used = inventory.used_answers();
    let answers = Memo::sweep(&memo_folder(&args.store), &|key| used.contains(key), args.dry_run)?;
    let mut removed = Removed { answers, ..Removed::default() };
    for (name, bytes) in inventory.models.iter().filter(|(name, _)| !inventory.uses_model(name)) {
        removed.models += 1;
        removed.model_bytes += bytes;
        if !args.dry_run {
            discard(&models_folder(&args.store).join(name))?;
        }
    }
    for gone in inventory.uses.iter().filter(|used| !args.dry_run && !is_live(used)) {
        uses(&args.store).remove(&gone.user)?;
    }
    Ok(removed)
}

fn tell(args: &Args, removed: &Removed, doubt: Option<&str>) -> Result<Exit, Halt> {
    let Removed { answers, models, model_bytes } = removed;
    let bytes = answers.bytes + model_bytes;
    match (args.format, doubt) {
        (Format::Json, _) => term::json(&json!({
            "dry_run": args.dry_run, "answers": answers.answers, "models": models, "bytes": bytes, "doubt": doubt,
        }))?,
        (Format::Text, Some(doubt)) => term::tell(&format!("nothing was removed: {doubt}\n")),
        (Format::Text, None) => {
            let count = |n: u64, noun| counted(i64::try_from(n).unwrap_or(i64::MAX), noun);
            let (answers, models) = (count(answers.answers, "answer"), count(*models, "model"));
            let verb = if args.dry_run { "would free" } else { "freed" };
            term::tell(&format!("{verb} {}: {answers}, {models} that no pipeline uses\n", size(bytes)));
        }
    }
    Ok(Exit::Done)
}
