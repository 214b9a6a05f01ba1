//! `flow du`: what the store holds, for whom.

use std::path::PathBuf;

use flow_data::Id;
use flow_store::{Answers, Use};
use serde::Serialize;

use crate::args::Format;
use crate::columns::{columns, grouped};
use crate::exec::store::halt;
use crate::halt::Halt;
use crate::inventory::{Inventory, is_live};
use crate::{Exit, term};

/// Arguments of `du`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Folder of the store.
    #[arg(long, value_name = "DIR", default_value = ".flow")]
    store: PathBuf,
    /// For people or for programs; both on stdout.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// What a store holds; its JSON form is what `--format json` prints.
#[derive(Debug, Serialize)]
struct Holdings {
    store: String,
    /// Answers of models and other slow things.
    answers: Amount,
    /// Trained models.
    models: Amount,
    pipelines: Vec<Pipeline>,
    /// What no pipeline used in its last run.
    unused_answers: Amount,
    unused_models: Amount,
    /// Why `flow gc` would remove nothing.
    doubt: Option<String>,
}

/// A number of things and their size.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Amount {
    n: u64,
    bytes: u64,
}

/// What one pipeline used in its last run.
#[derive(Debug, Serialize)]
struct Pipeline {
    file: String,
    name: String,
    out: String,
    /// Whether the file is still there.
    live: bool,
    answers: Amount,
    models: Amount,
}

/// Prints what the store holds.
pub(crate) fn du(args: &Args) -> Result<Exit, Halt> {
    let holdings = Holdings::of(args)?;
    match args.format {
        Format::Json => term::json(&holdings)?,
        Format::Text => term::data(&holdings.text())?,
    }
    Ok(Exit::Done)
}

impl Holdings {
    fn of(args: &Args) -> Result<Self, Halt> {
        let inventory = Inventory::of(&args.store)?;
        let Inventory { answers, models, uses, .. } = &inventory;
        let all = Amount { n: answers.len() as u64, bytes: answers.bytes() };
        let used = amount(answers, inventory.used_answers())?;
        let unused_models = models.iter().filter(|(name, _)| !inventory.uses_model(name));
        Ok(Self {
            store: args.store.display().to_string(),
            answers: all,
            models: sum(models),
            pipelines: uses.iter().map(|used| Pipeline::of(used, &inventory)).collect::<Result<_, _>>()?,
            unused_answers: Amount { n: all.n - used.n, bytes: all.bytes.saturating_sub(used.bytes) },
            unused_models: sum(unused_models),
            doubt: inventory.doubt(),
        })
    }

    fn text(&self) -> String {
        let head = ["", "answers", "size", "models", "size"].map(str::to_owned).to_vec();
        let line = |what: String, answers: Amount, models: Amount| {
            vec![what, whole(answers.n), size(answers.bytes), whole(models.n), size(models.bytes)]
        };
        let mut rows = vec![head, line(format!("all of {}", self.store), self.answers, self.models)];
        for pipeline in &self.pipelines {
            let gone = if pipeline.live { "" } else { " (the file is gone; `flow gc --forget` it)" };
            rows.push(line(
                format!("{} in {}{gone}", pipeline.file, pipeline.out),
                pipeline.answers,
                pipeline.models,
            ));
        }
        rows.push(line("used by no pipeline".to_owned(), self.unused_answers, self.unused_models));
        let doubt = self.doubt.as_ref().map(|doubt| format!("\n`flow gc` would remove nothing: {doubt}\n"));
        columns(&rows) + &doubt.unwrap_or_default()
    }
}

impl Pipeline {
    fn of(used: &Use, inventory: &Inventory) -> Result<Self, Halt> {
        let names: Vec<String> = used.models.iter().map(Id::to_string).collect();
        Ok(Self {
            file: used.user.file.display().to_string(),
            name: used.user.name.clone(),
            out: used.user.out.display().to_string(),
            live: is_live(used),
            answers: amount(&inventory.answers, used.answers.iter().copied())?,
            models: sum(inventory.models.iter().filter(|(name, _)| names.contains(name))),
        })
    }
}

/// Those of the keys that have an answer, and the size of these.
fn amount(answers: &Answers, keys: impl IntoIterator<Item = Id>) -> Result<Amount, Halt> {
    let mut amount = Amount::default();
    for key in keys {
        let bytes = answers.bytes_of(&key).map_err(|error| halt(&error))?;
        amount.n += u64::from(bytes > 0);
        amount.bytes += bytes;
    }
    Ok(amount)
}

fn sum<'a>(models: impl IntoIterator<Item = &'a (String, u64)>) -> Amount {
    models
        .into_iter()
        .fold(Amount::default(), |sum, (_, bytes)| Amount { n: sum.n + 1, bytes: sum.bytes + bytes })
}

fn whole(n: u64) -> String {
    grouped(i64::try_from(n).unwrap_or(i64::MAX))
}

/// A size as people say it.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let unit = (1..units.len()).rev().find(|unit| bytes >> (10 * (unit + 1)) > 0).unwrap_or(0);
    format!("{:.1} {}", bytes as f64 / f64::powi(1024.0, unit as i32 + 1), units[unit])
}

#[cfg(test)]
mod tests {
    use super::size;

    #[test]
    fn sizes_are_told_in_the_largest_unit_that_they_fill() {
        let told = [0, 1000, 1 << 20, 5 << 29, 1 << 40].map(size);
        assert_eq!(told, ["0.0 KiB", "1.0 KiB", "1.0 MiB", "2.5 GiB", "1.0 TiB"]);
    }
}
