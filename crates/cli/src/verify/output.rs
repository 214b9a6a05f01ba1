//! Where verdicts go: stdout or a file, as lines, one JSON value, text or Parquet.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use flow_data::{Column, Columns, Type, Value};
use serde_json::json;

use super::row::Verdict;
use super::tally::Tally;
use super::{VerdictFormat, extension};
use crate::halt::{Halt, chain};
use crate::{Exit, codes, term};

/// Lines are written to stdout in blocks of about so many bytes.
const BLOCK: usize = 1 << 16;

/// Takes verdicts one by one.
pub(super) struct Sink {
    format: VerdictFormat,
    file: Option<OutputFile>,
    /// Lines that wait to be written to stdout.
    block: String,
    /// The verdicts that are shown at the end.
    kept: Vec<Verdict>,
}

/// A file that verdicts are written to; it gets its name when it is whole.
enum OutputFile {
    Lines { path: PathBuf, unfinished: PathBuf, writer: BufWriter<File> },
    Table { path: PathBuf, rows: Vec<Vec<Value>> },
}

impl Sink {
    /// A sink to `output`, else to stdout. Errs when the file cannot be written.
    pub(super) fn new(format: VerdictFormat, output: Option<&Path>) -> Result<Self, Halt> {
        let file = output.map(OutputFile::new).transpose()?;
        Ok(Self { format, file, block: String::new(), kept: Vec::new() })
    }

    /// Takes the next verdict.
    pub(super) fn take(&mut self, verdict: Verdict) -> Result<(), Halt> {
        let is_shown = match self.format {
            VerdictFormat::Jsonl => false,
            VerdictFormat::Json => self.file.is_none(),
            VerdictFormat::Text => !verdict.agrees() || verdict.verdict == flow_verify::Outcome::Unknown,
        };
        match &mut self.file {
            Some(file) => file.take(&verdict)?,
            None if self.format == VerdictFormat::Jsonl => self.line(&verdict)?,
            None => {}
        }
        if is_shown {
            self.kept.push(verdict);
        }
        Ok(())
    }

    /// Finishes the file and shows what is to be shown.
    pub(super) fn finish(mut self, tally: &Tally) -> Result<(), Halt> {
        term::data(&std::mem::take(&mut self.block))?;
        self.file.map(OutputFile::finish).transpose()?;
        match self.format {
            VerdictFormat::Jsonl => term::tell(&tally.text()),
            VerdictFormat::Json => {
                let mut figures = tally.json();
                if !self.kept.is_empty() {
                    figures["rows_judged"] = json!(self.kept);
                }
                term::json(&figures)?;
            }
            VerdictFormat::Text => {
                let lines: String = self.kept.iter().map(shown).collect();
                let gap = if lines.is_empty() { "" } else { "\n" };
                term::data(&(lines + gap + &tally.text()))?;
            }
        }
        Ok(())
    }

    fn line(&mut self, verdict: &Verdict) -> Result<(), Halt> {
        self.block.push_str(&line(verdict));
        if self.block.len() < BLOCK {
            return Ok(());
        }
        term::data(&std::mem::take(&mut self.block))
    }
}

/// A verdict as people read it.
fn shown(verdict: &Verdict) -> String {
    let label = match verdict.expected {
        None => "",
        Some(true) => ", expected equal",
        Some(false) => ", expected different",
    };
    format!("{}: {}{label} ({}): {}\n", verdict.id, verdict.verdict, verdict.method, verdict.witness)
}

fn line(verdict: &Verdict) -> String {
    serde_json::to_string(verdict).expect("a verdict has text keys") + "\n"
}

impl OutputFile {
    fn new(path: &Path) -> Result<Self, Halt> {
        let path = path.to_owned();
        match extension(&path).as_str() {
            "parquet" => Ok(OutputFile::Table { path, rows: Vec::new() }),
            "jsonl" | "ndjson" => {
                let unfinished = path.with_extension("jsonl.unfinished");
                let file = File::create(&unfinished).map_err(|error| failed(&unfinished, &error))?;
                Ok(OutputFile::Lines { path, unfinished, writer: BufWriter::new(file) })
            }
            _ => {
                let message =
                    format!("expected `--output` to end in .jsonl or .parquet, found `{}`", path.display());
                Err(Halt::with(
                    Exit::Usage,
                    codes::AUDIT_OUTPUT.id,
                    &message,
                    Some("name the file by its format"),
                ))
            }
        }
    }

    fn take(&mut self, verdict: &Verdict) -> Result<(), Halt> {
        match self {
            OutputFile::Lines { unfinished, writer, .. } => {
                writer.write_all(line(verdict).as_bytes()).map_err(|error| failed(unfinished, &error))
            }
            OutputFile::Table { rows, .. } => {
                rows.push(cells(verdict));
                Ok(())
            }
        }
    }

    fn finish(self) -> Result<(), Halt> {
        match self {
            OutputFile::Lines { path, unfinished, mut writer } => {
                let renamed = writer.flush().and_then(|()| std::fs::rename(&unfinished, &path));
                renamed.map_err(|error| failed(&path, &error))
            }
            OutputFile::Table { path, rows } => {
                flow_store::write_table(&path, &table_columns(), &rows).map_err(|error| failed(&path, &error))
            }
        }
    }
}

/// The columns of verdicts in Parquet.
fn table_columns() -> Columns {
    let column = |name: &str, kind, nullable, doc: &str| Column::new(name, kind, nullable, doc);
    Columns::new([
        column("id", Type::Text, false, "The row's id, else its place in the file."),
        column("extracted", Type::Text, true, "The answer that was compared; null when none was found."),
        column("verdict", Type::Text, false, "`equal`, `different` or `unknown`."),
        column("method", Type::Text, false, "How the verdict was reached."),
        column("witness", Type::Text, false, "The form that decided, for people to check."),
        column("expected", Type::Bool, true, "The label of the row; null without one."),
    ])
}

fn cells(verdict: &Verdict) -> Vec<Value> {
    vec![
        verdict.id.as_str().into(),
        verdict.extracted.as_deref().into(),
        verdict.verdict.name().into(),
        verdict.method.into(),
        verdict.witness.as_str().into(),
        verdict.expected.map_or(Value::Null, Value::Bool),
    ]
}

fn failed(path: &Path, error: &dyn std::error::Error) -> Halt {
    let message = format!("cannot write `{}`: {}", path.display(), chain(error));
    Halt::with(Exit::Failed, codes::AUDIT_OUTPUT.id, &message, Some("the folder must be there and writable"))
}
