//! `flow graph`: the steps of a pipeline, as text for drawing programs.

use std::path::PathBuf;

use clap::ValueEnum;

use crate::args::Overlay;
use crate::halt::Halt;
use crate::{Catalog, Exit, pipeline, term};

/// Arguments of `graph`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The pipeline file.
    file: PathBuf,
    /// The drawing program's language.
    #[arg(long, value_enum, default_value_t)]
    format: Language,
    #[command(flatten)]
    overlay: Overlay,
}

/// A drawing program's language.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Language {
    /// Mermaid, as Markdown viewers draw it.
    #[default]
    Mermaid,
    /// Graphviz DOT.
    Dot,
}

/// Prints the graph.
pub(crate) fn graph(catalog: Catalog<'_>, args: &Args) -> Result<Exit, Halt> {
    let pipeline = pipeline::load(catalog, &args.file, &args.overlay)?;
    let text = match args.format {
        Language::Mermaid => flow_plan::graph::mermaid(&pipeline.plan),
        Language::Dot => flow_plan::graph::dot(&pipeline.plan),
    };
    term::data(&text)?;
    Ok(Exit::Done)
}
