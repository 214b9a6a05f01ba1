//! `flow show`: rows of a step in full, as they are known without asking any model.

use std::path::PathBuf;

use flow_data::{Columns, Item, Value};
use flow_dataflow::{Driver, Port};
use flow_operators::cells::to_json;
use flow_plan::{Plan, Step};
use flow_spec::help_with_names;
use serde_json::{Map, Value as Json, json};

use crate::args::{Format, Overlay};
use crate::columns::{counted, grouped};
use crate::exec::named;
use crate::forecast::traced;
use crate::halt::Halt;
use crate::record::Record;
use crate::setup::Setup;
use crate::{Catalog, Exit, codes, term};

/// Arguments of `show`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The pipeline file.
    file: PathBuf,
    /// A step, or one of its ports: `graded`, `graded.different`, `graded.rejected`.
    what: String,
    #[command(flatten)]
    overlay: Overlay,
    /// Folder that keeps the answers of models and the trained models between runs.
    #[arg(long, value_name = "DIR", default_value = ".flow")]
    store: PathBuf,
    /// Rows to show, at most.
    #[arg(short, long, value_name = "N", default_value_t = 5)]
    n: usize,
    /// Rows of this round only.
    #[arg(long, value_name = "N")]
    round: Option<u32>,
    /// For people or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

/// Shows the rows with the lowest identities, which are hashes: a fair choice, and the same one each time.
pub(crate) fn show(catalog: Catalog<'_>, args: &Args) -> Result<Exit, Halt> {
    let setup = Setup::new(catalog, &args.file, &args.overlay, &args.store)?;
    let plan = &setup.pipeline.plan;
    let (at, port, columns) = place(plan, &args.what)?;
    let last = Record::load(&setup.folder, plan)?;
    setup.look_back(last.as_ref());
    let driver = traced(catalog, &setup, last.as_ref())?;
    expect_round(args.round, &driver)?;
    let mut rows: Vec<_> = driver.rows(at, port).collect();
    rows.retain(|row| args.round.is_none_or(|round| row.round == round));
    rows.sort_by_key(|row| (row.id, row.round));
    let shown: Vec<Item> =
        rows.iter().take(args.n).map(|row| Item::load(driver.session().heap(), *row)).collect();
    let more = driver.pending().rounds(at).any(|round| args.round.is_none_or(|only| only == round));
    match args.format {
        Format::Json => term::json(&json!({
            "step": plan.steps[at].name, "port": port_name(&plan.steps[at], port), "rows_known": rows.len(),
            "more": more, "rows": shown.iter().map(|item| object(columns, item)).collect::<Vec<_>>(),
        }))?,
        Format::Text => {
            let texts: Vec<String> = shown.iter().map(|item| text(columns, item)).collect();
            term::data(&texts.join("\n"))?;
            let known = i64::try_from(rows.len()).unwrap_or(i64::MAX);
            let of = i64::try_from(shown.len()).unwrap_or(i64::MAX);
            let more = if more {
                "; answers are not there yet that more rows rest on: `flow exec` asks for them"
            } else {
                ""
            };
            term::tell(&format!("{} of {} in `{}`{more}\n", grouped(of), counted(known, "row"), args.what));
        }
    }
    Ok(Exit::Done)
}

/// Errs where the pipeline has no such round.
fn expect_round(round: Option<u32>, driver: &Driver) -> Result<(), Halt> {
    match (round, driver.last_round()) {
        (Some(round), last) if round > last => {
            let message = format!("there is no round {round}");
            let help = format!("the last one is {last}; rows of no round are in round 0");
            Err(Halt::with(Exit::Usage, codes::NO_STEP.id, &message, Some(&help)))
        }
        _ => Ok(()),
    }
}

fn port_name(step: &Step, port: Option<Port>) -> &str {
    let described = port.and_then(|port| step.ports.get(usize::from(port)));
    described.map_or("rejected", |described| &described.name)
}

/// The step and the port that `what` names, `None` for rejected rows, with the columns there.
fn place<'a>(plan: &'a Plan, what: &str) -> Result<(usize, Option<Port>, &'a Columns), Halt> {
    let (name, port) = match what.rsplit_once('.') {
        Some((name, port)) if plan.step(what).is_none() => (name, Some(port)),
        _ => (what, None),
    };
    let at = named(plan, name)?;
    let step = &plan.steps[at];
    let index = match port {
        Some("rejected") => return Ok((at, None, &step.rejected)),
        Some(port) => step.ports.iter().position(|described| described.name == port),
        None => Some(0),
    };
    let found = index.and_then(|index| Some((Port::try_from(index).ok()?, step.ports.get(index)?)));
    match found {
        Some((port, described)) => Ok((at, Some(port), &described.columns)),
        None => Err(no_port(step, port.unwrap_or_default())),
    }
}

fn no_port(step: &Step, port: &str) -> Halt {
    let names: Vec<&str> = step.ports.iter().map(|port| port.name.as_str()).chain(["rejected"]).collect();
    let help = help_with_names(port, "its ports", &names);
    Halt::with(
        Exit::Usage,
        codes::NO_STEP.id,
        &format!("step `{}` has no port `{port}`", step.name),
        Some(&help),
    )
}

/// What the row says, by the names of the columns.
fn cells<'a>(columns: &'a Columns, item: &'a Item) -> impl Iterator<Item = (&'a str, &'a Value)> {
    columns.visible().map(|(at, column)| (&*column.name, item.get(at)))
}

fn object(columns: &Columns, item: &Item) -> Json {
    let place = [("row_id", item.row.id.to_string().into()), ("round", item.row.round.into())];
    let place = place.into_iter().map(|(name, value): (&str, Json)| (name.to_owned(), value));
    let cells = cells(columns, item).map(|(name, value)| (name.to_owned(), to_json(value)));
    Json::Object(place.chain(cells).collect::<Map<_, _>>())
}

/// A line for each cell that is not null; texts of several lines stand below their name.
fn text(columns: &Columns, item: &Item) -> String {
    let mut text = format!("{}  round {}\n", item.row.id, item.row.round);
    for (name, value) in cells(columns, item) {
        match value {
            Value::Null => {}
            Value::Text(value) if value.trim_end().contains('\n') => {
                let lines: String = value.trim_end().lines().map(|line| format!("    {line}\n")).collect();
                text.push_str(&format!("  {name}:\n{lines}"));
            }
            Value::Text(value) => text.push_str(&format!("  {name}: {}\n", value.trim_end())),
            Value::Floats(floats) => text.push_str(&format!("  {name}: {} numbers\n", floats.len())),
            value => text.push_str(&format!("  {name}: {}\n", to_json(value))),
        }
    }
    text
}
