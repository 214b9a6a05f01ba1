//! `flow verify`: what the answer checker says of a file of answers, and how that agrees with labels.

mod options;
mod output;
mod row;
mod rows;
mod tally;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use flow_verify::Grader;

use crate::columns::counted;
use crate::halt::Halt;
use crate::{Exit, codes, term};
use output::Sink;
use rows::Names;
use tally::Tally;

/// Arguments of `verify`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "Fields of a row: `gold` (a text, or a list of accepted ones) and `pred`; optional `id`, `expected` (true \
                        where the label says that they are the same), `options` (the list of a row's choices, or a map of keys \
                        as in --with for that row) and `kind` (`equiv`: `pred` is the answer alone)."
)]
pub(crate) struct Args {
    /// Rows to verify: JSON lines or Parquet.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The data set whose rules hold. Without one, `pred` is taken for an answer alone, and searched for one where it is not.
    #[arg(long, value_name = "NAME", value_parser = preset_names())]
    preset: Option<String>,
    /// Changes one key of the preset, such as `extract=boxed`; the keys are those of `verify` in a pipeline.
    #[arg(long, value_name = "KEY=VALUE")]
    with: Vec<String>,
    /// What the file calls a field, such as `gold=expected_answer`. May be given several times.
    #[arg(long, value_name = "FIELD=NAME")]
    field: Vec<String>,
    /// Where the verdicts go, .jsonl or .parquet; stdout by default.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// A line for each row, one value for all, or a table for people that lists what disagrees.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: VerdictFormat,
}

/// How verdicts are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum VerdictFormat {
    /// One JSON object per row on stdout, the table on stderr.
    #[default]
    Jsonl,
    /// One JSON value on stdout: the figures, and the verdicts unless `--output` takes them.
    Json,
    /// Text on stdout: the rows that disagree with their labels or are not decided, then the table.
    Text,
}

fn preset_names() -> clap::builder::PossibleValuesParser {
    Grader::PRESETS.into()
}

/// So many rows that cannot be judged are told one by one.
const TOLD: u64 = 5;

/// Verifies every row of the file. Rows that cannot be judged are left out, told, and end with a failure.
pub(crate) fn verify(args: &Args) -> Result<Exit, Halt> {
    let judge = row::Judge::new(grader(args)?, args.preset.is_none() && !names_rule(args));
    let names = Names::parse(&args.field)?;
    expect_another_file(args)?;
    let rows = rows::read(&args.file, names)?;
    let mut sink = Sink::new(args.format, args.output.as_deref())?;
    let mut tally = Tally::default();
    // Keys of other checkers, each told once.
    let mut foreign: Vec<String> = Vec::new();
    for read in rows {
        let (place, fields) = read?;
        let judged = fields.and_then(|fields| {
            for key in options::foreign(&fields)? {
                if !foreign.iter().any(|told| told == key) {
                    term::tell(&format!("{place}: `options.{key}` says nothing here and is left aside\n"));
                    foreign.push(key.to_owned());
                }
            }
            judge.judge(&place, &fields)
        });
        match judged {
            Ok(verdict) => {
                tally.count(&verdict);
                sink.take(verdict)?;
            }
            Err(problem) => {
                if tally.count_unread() < TOLD {
                    term::tell(&format!("{place}: {problem}\n"));
                }
            }
        }
    }
    if tally.rows() > 0 {
        sink.finish(&tally)?;
    }
    match tally.unread() {
        0 if tally.rows() > 0 => Ok(Exit::Done),
        0 => Err(unfit(args, "has no rows")),
        unread if tally.rows() == 0 => {
            Err(unfit(args, &format!("has no row that can be judged, of {unread}")))
        }
        unread => Err(unfit(
            args,
            &format!(
                "has {} that cannot be judged",
                counted(i64::try_from(unread).unwrap_or(i64::MAX), "row")
            ),
        )),
    }
}

/// Errs where the verdicts would take the place of the answers.
fn expect_another_file(args: &Args) -> Result<(), Halt> {
    let place = |path: &Path| path.canonicalize().ok();
    let Some(output) =
        args.output.as_deref().filter(|output| place(output).is_some_and(|at| place(&args.file) == Some(at)))
    else {
        return Ok(());
    };
    let message = format!("`{}` is the file of answers itself", output.display());
    Err(Halt::with(Exit::Usage, codes::AUDIT_OUTPUT.id, &message, Some("write the verdicts to another file")))
}

/// The grader that the arguments describe.
fn grader(args: &Args) -> Result<Grader, Halt> {
    let usage = |message: String, help: &str| Halt::with(Exit::Usage, codes::GRADER.id, &message, Some(help));
    let preset = args.preset.as_deref().map_or(Ok(Grader::default()), Grader::preset);
    let mut grader = preset.map_err(|error| usage(error.to_string(), "name a preset"))?;
    let mut pairs = Vec::new();
    for pair in &args.with {
        let Some((key, value)) = pair.split_once('=') else {
            return Err(usage(
                format!("expected KEY=VALUE in `--with`, found `{pair}`"),
                "write `--with extract=boxed`",
            ));
        };
        pairs.push((Grader::KEYS.iter().position(|known| *known == key), key, value));
    }
    // `compare` brings defaults for the keys behind it.
    pairs.sort_by_key(|(order, ..)| *order);
    for (_, key, value) in pairs {
        grader
            .set(key, value)
            .map_err(|error| usage(error.to_string(), "see `flow ops verify` for the keys"))?;
    }
    Ok(grader)
}

fn names_rule(args: &Args) -> bool {
    args.with.iter().any(|pair| pair.starts_with("extract="))
}

fn unfit(args: &Args, problem: &str) -> Halt {
    let message = format!("{} {problem}", args.file.display());
    let help = "rows need `gold` and `pred`, or say what they are called by `--field gold=answer`; see `flow verify --help`";
    Halt::with(Exit::Failed, codes::AUDIT_ROW.id, &message, Some(help))
}

/// The extension of a path, in lower case.
fn extension(path: &Path) -> String {
    path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}
