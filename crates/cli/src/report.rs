//! `flow report`: what a run came to, as one HTML file that needs nothing else.

mod examples;
mod expert;
mod funnel;
mod lengths;
mod page;
mod plot;
mod scores;
mod tables;
mod work;

use std::fs;
use std::path::{Path, PathBuf};

use crate::args::Overlay;
use crate::forecast::traced;
use crate::halt::Halt;
use crate::pipeline::run_folder;
use crate::record::Record;
use crate::setup::Setup;
use crate::{Catalog, Exit, codes, term};
use page::Page;
use tables::Tables;

/// Arguments of `report`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The pipeline file.
    file: PathBuf,
    #[command(flatten)]
    overlay: Overlay,
    /// Folder that keeps the answers of models and the trained models between runs.
    #[arg(long, value_name = "DIR", default_value = ".flow")]
    store: PathBuf,
    /// The file to write. By default `report.html` among the tables of the run.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Computes the run again from the kept answers and shows it. Asks no model.
pub(crate) fn report(catalog: Catalog<'_>, args: &Args) -> Result<Exit, Halt> {
    let setup = Setup::new(catalog, &args.file, &args.overlay, &args.store)?;
    let plan = &setup.pipeline.plan;
    let Some(last) = Record::load(&setup.folder, plan)? else {
        let message = format!("`{}` has not been run with the store `{}`", plan.name, args.store.display());
        let help = "run `flow exec` first, with the same `--store`";
        return Err(Halt::with(Exit::Failed, codes::NOT_RUN.id, &message, Some(help)));
    };
    let driver = traced(catalog, &setup, Some(&last))?;
    let tables = Tables::of(plan, driver.session());

    let mut page = Page::new(&plan.name);
    page.lead(work::lead(plan, &driver));
    page.section("Accuracy", scores::accuracy(&tables));
    page.section("How often problems are solved", scores::solved(&tables));
    page.section("From prompts to data", funnel::levels(&tables));
    page.section("What went no further", funnel::rejected(&tables));
    page.section("Completions", lengths::completions(&tables));
    page.section("Training", expert::training(&tables));
    page.section("What was paid for", work::paid(plan, driver.session()));
    page.section("Examples", examples::examples(&tables));

    let path = args.output.clone().unwrap_or_else(|| run_folder(plan).join("report.html"));
    publish(&path, &page.html())?;
    term::data(&format!("{}\n", path.display()))?;
    Ok(Exit::Done)
}

/// Puts the whole file in its place, or none of it.
fn publish(path: &Path, text: &str) -> Result<(), Halt> {
    let partial = path.with_extension("html.partial");
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let put = || {
        folder.map_or(Ok(()), fs::create_dir_all)?;
        fs::write(&partial, text)?;
        fs::rename(&partial, path)
    };
    put().map_err(|error: std::io::Error| {
        let _ = fs::remove_file(&partial);
        Halt::new(Exit::Failed, &codes::PUBLISH, format!("cannot write `{}`: {error}", path.display()))
    })
}
