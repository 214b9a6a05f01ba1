//! `flow plan`: what a run would do, and why, before it is paid for.

use std::path::PathBuf;

use crate::args::{Format, Overlay};
use crate::exec::{Device, Extent, narrowed};
use crate::forecast::Forecast;
use crate::halt::Halt;
use crate::record::Record;
use crate::setup::Setup;
use crate::{Catalog, Exit, pipeline, term};

/// Arguments of `plan`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The pipeline file.
    file: PathBuf,
    #[command(flatten)]
    overlay: Overlay,
    #[command(flatten)]
    extent: Extent,
    /// What models would draw and learn on; no influence on what is drawn, a training on another one is another.
    #[arg(long, value_enum, value_name = "DEVICE", default_value_t)]
    device: Device,
    /// Folder that keeps the answers of models and the trained models between runs.
    #[arg(long, value_name = "DIR", default_value = ".flow")]
    store: PathBuf,
    /// Exit with 3 when a run would change anything, as scripts want to know.
    #[arg(long)]
    detailed_exitcode: bool,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Tells what `exec` would do. Asks no model and publishes nothing.
pub(crate) fn plan(catalog: Catalog<'_>, args: &Args) -> Result<Exit, Halt> {
    let pipeline = narrowed(pipeline::load(catalog, &args.file, &args.overlay)?, &args.extent)?;
    let setup = Setup::of(pipeline, &args.store)?;
    let last = Record::load(&setup.folder, &setup.pipeline.plan)?;
    args.device.foresee(&setup)?;
    let forecast = Forecast::new(catalog, &setup, last.as_ref())?;
    let forecast = forecast.drawing_on(args.device, &setup)?.beside(&setup, &args.file)?;
    args.extent.expect_known(&setup.pipeline.plan, &forecast)?;
    match args.format {
        Format::Json => term::json(&forecast)?,
        Format::Text => term::data(&forecast.text())?,
    }
    Ok(if args.detailed_exitcode && forecast.is_work() { Exit::Work } else { Exit::Done })
}
