//! `flow report`: what a run came to, as one HTML file that needs nothing else.

mod examples;
mod funnel;
mod lengths;
mod likelihoods;
mod page;
mod scores;
mod tables;
mod training;
mod work;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use flow_dataflow::Driver;

use crate::args::Overlay;
use crate::forecast::traced;
use crate::halt::{Halt, chain};
use crate::pipeline::run_folder;
use crate::record::Record;
use crate::setup::Setup;
use crate::{Catalog, Exit, codes, term};
use page::{Page, START};
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
    if let Some(output) = &args.output {
        expect_no_other_file(output)?;
    }
    let setup = Setup::new(catalog, &args.file, &args.overlay, &args.store)?;
    let plan = &setup.pipeline.plan;
    let last = Record::load(&setup.folder, plan)?;
    setup.look_back(last.as_ref());
    let driver = traced(catalog, &setup, last.as_ref())?;
    if last.is_none() && !is_begun(&driver) {
        let message = format!("`{}` has not been run with the store `{}`", plan.name, args.store.display());
        let help = "run `flow exec` first, with the same `--store`";
        return Err(Halt::with(Exit::Failed, codes::NOT_RUN.id, &message, Some(help)));
    }
    let tables = Tables::of(plan, &driver);

    let mut page = Page::new(&plan.name);
    page.lead(work::lead(plan, &driver));
    page.section("Accuracy", scores::accuracy(&tables));
    page.section("Likelihood of given texts", likelihoods::likelihoods(&tables));
    page.section("How often problems are solved", scores::solved(plan, &tables));
    page.section("From prompts to data", funnel::levels(&tables));
    page.section("What went no further", funnel::rejected(&tables));
    page.section("Completions", lengths::completions(&tables));
    page.section("Training", training::training(&tables));
    page.section("What was paid for", work::paid(plan, driver.session(), last.as_ref()));
    page.section("Examples", examples::examples(&tables));

    let lacking = work::lacking(plan, &driver);
    let path = args.output.clone().unwrap_or_else(|| run_folder(plan).join(named(lacking.is_some())));
    publish(&path, &page.html(), args.output.is_none())?;
    lacking.into_iter().for_each(|lacking| term::tell(&format!("{lacking}\n")));
    term::data(&format!("{}\n", path.display()))?;
    Ok(Exit::Done)
}

/// The name among the tables of the run: the report of a whole run is not replaced by one that lacks answers.
fn named(is_incomplete: bool) -> &'static str {
    if is_incomplete { "report-incomplete.html" } else { "report.html" }
}

/// Whether any answer of the pipeline is kept, as of a run that has not ended.
fn is_begun(driver: &Driver) -> bool {
    driver
        .session()
        .efforts()
        .iter()
        .flat_map(|efforts| efforts.values())
        .any(|effort| work::answered(effort) > 0)
}

/// Errs where the report would take the place of something that is no report.
fn expect_no_other_file(path: &Path) -> Result<(), Halt> {
    let mut start = String::new();
    let read = |file: File| file.take(START.len() as u64).read_to_string(&mut start).is_ok();
    let is_file = fs::metadata(path).is_ok_and(|found| found.is_file());
    if !is_file || File::open(path).is_ok_and(read) && START.starts_with(&start) {
        return Ok(());
    }
    let message = format!("`{}` is there, and is no report", path.display());
    Err(Halt::with(Exit::Usage, codes::PUBLISH.id, &message, Some("name another file")))
}

/// Puts the whole file in its place, or none of it; what is no plain file, such as a pipe, is written to. Makes the folder
/// where that is `ours`.
fn publish(path: &Path, text: &str, ours: bool) -> Result<(), Halt> {
    let failed = |reason: String| {
        let message = format!("cannot write `{}`: {reason}", path.display());
        Halt::with(Exit::Failed, codes::PUBLISH.id, &message, Some("the folder must be there and writable"))
    };
    if let Some(folder) = path.parent().filter(|_| ours) {
        fs::create_dir_all(folder).map_err(|error| failed(error.to_string()))?;
    }
    // The file that a link leads to is the one to replace.
    let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    match fs::symlink_metadata(&place) {
        Ok(found) if !found.is_file() => fs::write(&place, text).map_err(|error| failed(error.to_string())),
        _ => flow_store::write_whole(&place, text.as_bytes()).map_err(|error| failed(chain(&error))),
    }
}
