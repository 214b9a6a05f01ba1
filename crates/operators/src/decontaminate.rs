//! `decontaminate` rejects rows that share a run of words with an evaluation set.
//!
//! Words are compared without case, punctuation and white space; a Chinese character is a word. A row is rejected when
//! any `n` words in a row of its columns stand so in a row of an evaluation file, and a text of fewer words when all of
//! it does. Paths are relative to the folder in which `flow` runs; the files are read when the step is set up.
//!
//! Ports: `out`, the rows without overlap as they came.
//!
//! Rejects: `contaminated`; the detail names the evaluation set, its row and the words. A file that cannot be read and a
//! column that no row has end the run.
//!
//! Cost: keeps 60 bytes for each word of the evaluation files; under a microsecond a word.
//!
//! ```yaml
//! clean: {op: decontaminate, from: questions, against: {gsm8k: {path: data/test.jsonl, columns: [question]}}, n: 13}
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use flow_data::{Id, Item, Type, Value};
use flow_dataflow::{Body, Out, RowOp, SourceError, Stage};
use flow_plan::{Input, Problem, Shape};
use flow_spec::PATH;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::input::{Files, Format, Record};
use crate::{BuildError, Definition, Env, StepContext};

/// Options of `decontaminate`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// The evaluation sets by name; at least one.
    against: BTreeMap<String, Evaluation>,
    /// Columns of a row that are checked.
    #[serde(default = "columns")]
    #[schemars(length(min = 1))]
    columns: Vec<String>,
    /// How many words in a row are an overlap, 1 to 100.
    #[serde(default = "thirteen")]
    #[schemars(range(min = 1, max = 100))]
    n: usize,
}

/// An evaluation set.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Evaluation {
    /// A file; a folder of files; what a `write` step has published; or a name with `*`.
    #[schemars(regex(pattern = PATH))]
    path: String,
    /// How it is written; by default what its extension says: `.jsonl`, `.ndjson` or `.parquet`.
    format: Option<Format>,
    /// Its columns that no row may overlap with.
    #[serde(default = "columns")]
    #[schemars(length(min = 1))]
    columns: Vec<String>,
}

fn columns() -> Vec<String> {
    vec!["prompt".into()]
}

fn thirteen() -> usize {
    13
}

/// The operator.
pub(crate) struct Decontaminate;

impl Definition for Decontaminate {
    const NAME: &'static str = "decontaminate";
    const SOURCE: &'static str = include_str!("decontaminate.rs");
    type Config = Config;

    fn shape(config: &Config, inputs: &[Input<'_>]) -> Result<Shape, Vec<Problem>> {
        let columns = config.columns.iter().enumerate();
        let wrong_column = |(at, name): (usize, &String)| {
            inputs[0].column_of(&format!("columns.{at}"), name, &[Type::Text]).err()
        };
        let mut problems: Vec<Problem> = columns.filter_map(wrong_column).collect();
        if config.against.is_empty() {
            problems.push(Problem::new("against", "expected at least one evaluation set"));
        }
        for (name, set) in &config.against {
            let wrong = Files::new(&set.path, set.format).err();
            problems.extend(wrong.map(|problem| Problem { path: format!("against.{name}.path"), ..problem }));
        }
        if problems.is_empty() { Ok(Shape::new(inputs[0].columns.clone())) } else { Err(problems) }
    }

    fn files(config: &Config) -> Vec<PathBuf> {
        let files = |set: &Evaluation| Files::new(&set.path, set.format).ok()?.list().ok();
        let listed = config.against.values().filter_map(files).flatten();
        listed.map(|file| file.path().to_owned()).collect()
    }

    fn body(config: Config, step: &StepContext<'_>, _: &Env) -> Result<Body, BuildError> {
        let mut known = Known { n: config.n, places: Vec::new(), runs: HashMap::new() };
        for (name, set) in &config.against {
            let what = format!("evaluation set `{name}`");
            let files = Files::new(&set.path, set.format).map_err(|problem| {
                BuildError::step(&step.step.name, format!("{what}: {}", problem.message))
            })?;
            let added = known.add(name, &files, &set.columns);
            added.map_err(|error| BuildError::file(&step.step.name, &what, error))?;
        }
        let columns = config.columns.iter().map(|name| step.column(name)).collect();
        Ok(Body::Chain(vec![Stage::Row(Arc::new(Sieve { columns, known }))]))
    }
}

/// The runs of words of the evaluation sets.
struct Known {
    n: usize,
    /// The rows that have runs, as people look them up.
    places: Vec<String>,
    /// The first row that has a run.
    runs: HashMap<Id, usize>,
}

impl Known {
    /// Adds the rows of a set. Errs when it cannot be read or no row has a column.
    fn add(&mut self, name: &str, files: &Files, columns: &[String]) -> Result<(), SourceError> {
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut absent = names.clone();
        let mut fields = Vec::new();
        for file in files.list()? {
            for record in file.records(&names, &names)? {
                let (at, Ok(record)) = record? else { continue };
                absent.retain(|name| text(&record, name).is_none());
                if fields.is_empty() {
                    fields = record.names();
                }
                self.add_row(format!("{name}: {}", file.place(at)), &record, &names);
            }
        }
        match absent.first() {
            Some(name) => Err(files.no_field(name, &fields)),
            None => Ok(()),
        }
    }

    fn add_row(&mut self, place: String, record: &Record, columns: &[&str]) {
        self.places.push(place);
        let row = self.places.len() - 1;
        for name in columns {
            let words = words(text(record, name).unwrap_or_default());
            for run in runs(&words, self.n) {
                self.runs.entry(identity(run)).or_insert(row);
            }
        }
    }

    /// The first overlap of `text`: the place of the evaluation row, and the words.
    fn overlap(&self, text: &str) -> Option<(&str, String)> {
        let words = words(text);
        let shared =
            |run: &[String]| Some((self.places[*self.runs.get(&identity(run))?].as_str(), run.join(" ")));
        runs(&words, self.n).find_map(shared)
    }
}

struct Sieve {
    columns: Vec<usize>,
    known: Known,
}

impl RowOp for Sieve {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        let texts = self.columns.iter().filter_map(|at| item.text(*at));
        match texts.filter_map(|text| self.known.overlap(text)).next() {
            Some((place, words)) => {
                out.reject(item, "contaminated", format!("{place} has the words \"{words}\""))
            }
            None => out.pass(0, item),
        }
    }
}

/// The text of a record under `name`.
fn text<'a>(record: &'a Record, name: &str) -> Option<&'a str> {
    match record {
        Record::Json(map) => map.get(name)?.as_str(),
        Record::Table(columns, cells) => match &cells[columns.index(name)?] {
            Value::Text(text) => Some(text),
            _ => None,
        },
    }
}

/// The words of a text: runs of letters and digits in lower case, and single Chinese characters.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let is_han = ('\u{3400}'..='\u{9fff}').contains(&c);
        if (is_han || !c.is_alphanumeric()) && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if is_han {
            words.push(c.to_string());
        } else if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// Every `n` words in a row; of fewer words, all of them at once.
fn runs(words: &[String], n: usize) -> impl Iterator<Item = &[String]> {
    words.windows(n.min(words.len()).max(1))
}

/// What names a run. A shorter run is never part of a longer one, because its number of words is in the name.
fn identity(run: &[String]) -> Id {
    Id::of("run", run.iter().map(|word| word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;
    use serde_json::{Value as Json, json};
    use tempfile::TempDir;

    use super::*;
    use crate::testing::{Ports, columns, mistakes, run, set_up};

    const HELD_OUT: &str = "{\"question\": \"How many figs are there in three boxes of seven figs each?\"}\n\n\
                            {\"question\": \"What is 2 + 3?\"}\n{\"question\": \"一共有多少个苹果\"}\n";

    fn sift(prompts: &[&str], options: &str) -> Ports {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("test.jsonl");
        fs::write(&path, HELD_OUT).unwrap();
        let rows: Vec<Json> = prompts.iter().map(|prompt| json!({"prompt": prompt})).collect();
        let against = format!("against: {{figs: {{path: {}, columns: [question]}}}}", path.display());
        run(&columns("prompt"), &rows, &format!("op: decontaminate, {against}{options}"))
    }

    #[test]
    fn rows_that_share_a_run_of_words_are_rejected_with_their_place() {
        let prompts = [
            "Tell me: how many FIGS are there, in three boxes of seven apples?",
            "How many figs are there in two boxes of seven figs each?",
            "what is 2+3",
            "What is 2 + 3 + 4?",
            "问：一共有多少个苹果呢",
        ];
        let ports = sift(&prompts, ", n: 8");
        let rejected: Vec<&str> = ports["rejected"].iter().filter_map(|row| row["prompt"].as_str()).collect();
        assert_eq!(rejected, [prompts[0], prompts[2], prompts[4]]);
        assert_eq!(ports["out"].len(), 2);
        let row = &ports["rejected"][0];
        assert_eq!(row["reason"], "contaminated");
        let detail = row["detail"].as_str().unwrap();
        assert!(detail.starts_with("figs: ") && detail.contains("test.jsonl:1 has the words"), "{detail}");
        assert!(detail.ends_with("\"how many figs are there in three boxes\""), "{detail}");
    }

    #[test]
    fn longer_runs_are_rarer() {
        let prompt = ["How many figs are there in two boxes of seven figs each?"];
        let contaminated = |n: usize| sift(&prompt, &format!(", n: {n}"))["rejected"].len();
        assert_eq!((1..=13).map(contaminated).collect::<Vec<_>>(), [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn mistakes_are_told_before_the_run() {
        let yaml = "op: decontaminate, against: {a: {path: test.csv}}, columns: [prmpt]";
        let found = mistakes(Some(&columns("prompt")), yaml);
        assert_eq!(found.len(), 2, "{found:?}");
        for yaml in ["against: {}", "against: {a: {path: test.jsonl}}, n: 0", "n: 8"] {
            let found = mistakes(Some(&columns("prompt")), &format!("op: decontaminate, {yaml}"));
            assert_eq!(found.len(), 1, "{yaml}: {found:?}");
        }
    }

    #[test]
    fn files_that_cannot_be_read_have_the_code_of_such_files() {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("test.jsonl"), HELD_OUT).unwrap();
        for (file, column, code) in [("none.jsonl", "question", "E0401"), ("test.jsonl", "prompt", "E0402")] {
            let path = folder.path().join(file);
            let against = format!("{{figs: {{path: {}, columns: [{column}]}}}}", path.display());
            let error = set_up(&columns("prompt"), &format!("op: decontaminate, against: {against}")).unwrap_err();
            assert_eq!(error.code, Some(code), "{error}");
            assert!(error.message.starts_with("evaluation set `figs`: "), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_row_is_kept_if_no_window_of_its_words_is_held_out(
            held_out in prop::collection::vec("[abc]", 0..12),
            row in prop::collection::vec("[abc]", 0..12),
            n in 1_usize..6,
        ) {
            let mut known = Known { n, places: vec!["row".into()], runs: HashMap::new() };
            known.runs.extend(runs(&held_out, n).map(|run| (identity(run), 0)));
            let text = row.join(", ");
            let windows = |words: &[String]| words.windows(n).map(<[String]>::to_vec).collect::<Vec<_>>();
            let shares = windows(&row).iter().any(|window| windows(&held_out).contains(window));
            let is_same = row.len() < n && row == held_out && !row.is_empty();
            prop_assert_eq!(known.overlap(&text).is_some(), shares || is_same);
        }
    }
}
