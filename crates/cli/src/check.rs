//! `flow check`: every mistake of the files, in one pass, without running anything.

use std::path::PathBuf;

use flow_spec::{render, to_json};
use serde_json::{Value as Json, json};

use crate::args::{Format, Overlay};
use crate::halt::Halt;
use crate::{Catalog, Exit, pipeline, term};

/// Arguments of `check`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Pipeline files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// For people (stderr) or for programs (stdout).
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    overlay: Overlay,
}

/// Tells all mistakes; [`Exit::Invalid`] if there is one.
pub(crate) fn check(catalog: Catalog<'_>, args: &Args) -> Result<Exit, Halt> {
    let (mut texts, mut objects) = (Vec::new(), Vec::new());
    let (mut n_errors, mut n_warnings) = (0, 0);
    for file in &args.files {
        let checked = pipeline::check_profiles(catalog, file, &args.overlay)?;
        for diagnostic in &checked.diagnostics {
            let count = if diagnostic.is_error() { &mut n_errors } else { &mut n_warnings };
            *count += 1;
            texts.push(render(diagnostic, &checked.sources));
            objects.push(to_json(diagnostic, &checked.sources));
        }
    }
    match args.format {
        Format::Text => term::tell(&told(texts, args.files.len(), n_errors, n_warnings)),
        Format::Json => term::json(&object(objects, n_errors, n_warnings))?,
    }
    Ok(if n_errors > 0 { Exit::Invalid } else { Exit::Done })
}

fn told(mut texts: Vec<String>, n_files: usize, n_errors: usize, n_warnings: usize) -> String {
    let count = |n: usize, thing: &str| format!("{n} {thing}{}", if n == 1 { "" } else { "s" });
    texts.push(format!(
        "{} checked: {}, {}\n",
        count(n_files, "file"),
        count(n_errors, "error"),
        count(n_warnings, "warning")
    ));
    texts.join("\n")
}

fn object(diagnostics: Vec<Json>, n_errors: usize, n_warnings: usize) -> Json {
    json!({"errors": n_errors, "warnings": n_warnings, "diagnostics": diagnostics})
}
