//! `flow why`: why a step would run, or ran last; where a row comes from and whether the last run had it.

mod row;

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use crate::args::{Format, Overlay};
use crate::exec::{Extent, named, narrowed};
use crate::forecast::Forecast;
use crate::halt::Halt;
use crate::record::Record;
use crate::setup::Setup;
use crate::{Catalog, Exit, pipeline, term};

/// Digits of a row's identity that tell it from a step's name.
const LEAST_DIGITS: usize = 8;

/// Arguments of `why`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The pipeline file.
    file: PathBuf,
    /// A step, or a row's `row_id`: at least its first 8 digits.
    what: String,
    #[command(flatten)]
    overlay: Overlay,
    #[command(flatten)]
    extent: Extent,
    /// Folder that keeps the answers of models and the trained models between runs.
    #[arg(long, value_name = "DIR", default_value = ".flow")]
    store: PathBuf,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Tells why. Asks no model and publishes nothing.
pub(crate) fn why(catalog: Catalog<'_>, args: &Args) -> Result<Exit, Halt> {
    let pipeline = narrowed(pipeline::load(catalog, &args.file, &args.overlay)?, &args.extent)?;
    let setup = Setup::of(pipeline, &args.store)?;
    let last = Record::load(&setup.folder, &setup.pipeline.plan)?;
    setup.look_back(last.as_ref());
    let plan = &setup.pipeline.plan;
    let told = match plan.step(&args.what) {
        None if is_row(&args.what) => row::told(catalog, &setup, last.as_ref(), &args.what)?,
        _ => {
            let step = &plan.steps[named(plan, &args.what)?].name;
            of_step(&Forecast::new(catalog, &setup, last.as_ref())?, last.as_ref(), step)
        }
    };
    match args.format {
        Format::Json => term::json(&told.json)?,
        Format::Text => term::data(&told.text)?,
    }
    Ok(Exit::Done)
}

/// An explanation, for people and for programs.
struct Told {
    text: String,
    json: Json,
}

fn is_row(what: &str) -> bool {
    what.len() >= LEAST_DIGITS && what.chars().all(|digit| digit.is_ascii_hexdigit())
}

/// Why the step `name` would run; when it would not, why it did.
fn of_step(forecast: &Forecast, last: Option<&Record>, name: &str) -> Told {
    let chain = forecast.reasons(name);
    if !chain.is_empty() {
        let lines: Vec<String> = chain
            .iter()
            .map(|(depth, step, words)| format!("{}{step}: {words}\n", "  ".repeat(*depth)))
            .collect();
        let reasons: Vec<Json> =
            chain.iter().map(|(_, step, words)| json!({"step": step, "because": words})).collect();
        let text = format!("a run would change `{name}`:\n{}", lines.concat());
        return Told { text, json: json!({"step": name, "would_change": true, "because": reasons}) };
    }
    let Some(before) = last.and_then(|last| last.steps.get(name)) else {
        let text = format!("no run of `{name}` is known in this store\n");
        return Told { text, json: json!({"step": name, "would_change": true, "because": []}) };
    };
    let because = match before.because.as_slice() {
        [] if before.calls == 0 => "nothing was different from the run before".to_owned(),
        [] => "its answers were not kept yet".to_owned(),
        words => words.join("; "),
    };
    let text = format!(
        "a run would not change `{name}`. The last one made {} calls for it and reused {} answers: {because}\n",
        before.calls, before.reused
    );
    let json = json!({
        "step": name, "would_change": false,
        "last": {"calls": before.calls, "reused": before.reused, "because": before.because},
    });
    Told { text, json }
}
