//! What `path` names: a file, a folder of files, what a step of another pipeline has published, or files by a pattern.

use std::path::{Path, PathBuf};

use flow_data::Id;
use flow_dataflow::SourceError;
use flow_plan::Problem;
use flow_store::{Error, Snapshot};

use super::{Format, InputFile, disguise, refused};
use crate::codes;

/// Files of one kind of rows. Which they are is looked up at every reading.
pub(crate) struct Files {
    path: PathBuf,
    format: Option<Format>,
}

/// Where a record stands: in which file, and where there.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) file: usize,
    /// The line from 1, or the row from 0.
    pub(crate) at: u64,
}

/// A place among the files that are read.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub(crate) files: &'a [InputFile],
    pub(crate) place: Place,
}

impl Files {
    /// What lies at `path`, in `format` or that of its extension. A name without extension, or with `/` behind it, is a folder's; `*` in the last
    /// name stands for any letters. Errs where the extension says no format.
    pub(crate) fn new(path: &str, format: Option<Format>) -> Result<Self, Problem> {
        let is_folder = path.ends_with('/');
        let path = PathBuf::from(path);
        if is_folder || format.is_some() || path.extension().is_none() || of_extension(&path).is_some() {
            return Ok(Self { path, format });
        }
        let words = format!(
            "expected a folder or a path that ends in .jsonl or .parquet, found \"{}\"",
            path.display()
        );
        let help = match path.extension().and_then(|extension| extension.to_str()) {
            Some("json") => {
                "write one object a line and add `format: jsonl`; of a list `jq -c '.[]'` makes that"
            }
            Some("gz" | "zst" | "zip" | "bz2" | "xz") => "unpack the file first",
            _ => "add `format: jsonl` or `format: parquet`, or `/` behind the name of a folder",
        };
        Err(Problem::new("path", words).with_help(help))
    }

    /// The files as they are now, in the order of their names. Errs where there is none.
    pub(crate) fn list(&self) -> Result<Vec<InputFile>, SourceError> {
        let input = |(path, published): (PathBuf, Option<Id>)| {
            let format = self.format.or_else(|| of_extension(&path))?;
            Some(InputFile { path, format, published })
        };
        let named = |path: PathBuf| input((path, None));
        let found: Vec<InputFile> = match self.pattern() {
            Some((folder, pattern)) => {
                let fits = |path: &PathBuf| name_of(path).is_some_and(|name| fits(name, pattern));
                entries(folder)?.into_iter().filter(fits).filter_map(named).collect()
            }
            None if self.path.is_dir() => match self.published()? {
                Some(snapshot) => {
                    snapshot.parts().filter_map(|(path, digest)| input((path, Some(digest)))).collect()
                }
                None => entries(&self.path)?.into_iter().filter_map(named).collect(),
            },
            None => named(self.path.clone()).into_iter().collect(),
        };
        if found.is_empty() { Err(self.none()) } else { Ok(found) }
    }

    /// What to look at to see whether there is something else to read.
    pub(crate) fn watched(&self) -> Vec<PathBuf> {
        match self.pattern() {
            Some((folder, _)) => vec![folder.to_owned()],
            None if self.path.join(CURRENT).exists() => vec![self.path.join(CURRENT)],
            None => vec![self.path.clone()],
        }
    }

    /// The data set that another pipeline has published in the folder, or is the newest of.
    fn published(&self) -> Result<Option<Snapshot>, SourceError> {
        let folder = if name_of(&self.path) == Some(CURRENT) { self.path.parent() } else { None };
        Snapshot::current(folder.unwrap_or(&self.path)).map_err(|error| refused(&self.path, &error))
    }

    /// The folder and the pattern of the names in it, where the path is one.
    fn pattern(&self) -> Option<(&Path, &str)> {
        let pattern = name_of(&self.path).filter(|name| name.contains('*') && !self.path.exists())?;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Some((folder.unwrap_or(Path::new(".")), pattern))
    }

    fn none(&self) -> SourceError {
        let path = self.path.display();
        let message = match (self.pattern(), self.path.exists()) {
            (Some(_), _) => format!("no file has a name like `{path}`"),
            (None, true) => format!("the folder `{path}` has no file that ends in .jsonl or .parquet"),
            (None, false) => format!("there is no file or folder `{path}`"),
        };
        let help = "paths are relative to the folder in which `flow` runs".to_owned();
        SourceError { code: codes::UNREADABLE.id, message, help: Some(help) }
    }

    /// The error of a column that no record has; `known` are the names that the first record has.
    pub(crate) fn no_field(&self, name: &str, known: &[String]) -> SourceError {
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        SourceError {
            code: codes::NO_FIELD.id,
            message: format!("no row of `{}` has a field `{name}`", self.path.display()),
            help: Some(flow_spec::help_with_names(name, "its fields", &known)),
        }
    }
}

impl At<'_> {
    /// The place as people write it.
    pub(crate) fn written(&self) -> String {
        self.of(self.place)
    }

    fn of(&self, place: Place) -> String {
        self.files[place.file].place(place.at)
    }

    /// The error of files none of which has a record; here is the first line, and `detail` is what is wrong with it.
    pub(crate) fn no_record(&self, detail: &str) -> SourceError {
        let path = self.files[self.place.file].path();
        SourceError {
            code: codes::NO_RECORD.id,
            message: format!(
                "no line of `{}` is a JSON object: {}: {detail}",
                path.display(),
                self.written()
            ),
            help: Some(disguise::advice(path)),
        }
    }

    /// The error of files of whose records none becomes a row; the first stands here and has the fault `detail`.
    pub(crate) fn no_row(&self, detail: &str) -> SourceError {
        let path = self.files[self.place.file].path().display();
        let help = "read another column under `fields`, or mend the file: a row of text needs text, `jq` makes it of lists and objects";
        SourceError {
            code: codes::NO_ROW.id,
            message: format!("no row of `{path}` can be read so: {}: {detail}", self.written()),
            help: Some(help.to_owned()),
        }
    }

    /// The error of an identity that stands here and at `first`.
    pub(crate) fn duplicate(&self, identity: &str, first: Place) -> SourceError {
        SourceError {
            code: codes::DUPLICATE.id,
            message: format!("{identity} stands twice: at {} and at {}", self.of(first), self.written()),
            help: Some(
                "name a column of unique values, such as `id: row_id` of published rows, or none: rows are then named by their content".to_owned(),
            ),
        }
    }
}

/// The link to a published data set, which moves when there is a newer one.
const CURRENT: &str = "current";

fn of_extension(path: &Path) -> Option<Format> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl" | "ndjson") => Some(Format::Jsonl),
        Some("parquet") => Some(Format::Parquet),
        _ => None,
    }
}

fn name_of(path: &Path) -> Option<&str> {
    path.file_name().and_then(|name| name.to_str())
}

/// The files of a folder by name; those whose names begin with `.` or `_` are not data.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let failed = |source| refused(folder, &Error::Io { attempt: "list", path: folder.to_owned(), source });
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_data = name_of(&path).is_some_and(|name| !name.starts_with(['.', '_']));
        if is_data && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether `name` is like `pattern`, in which each `*` stands for any letters.
fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|name| {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.map(|at| &name[at..]).any(|name| fits(name, rest))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_letters() {
        for (name, pattern, expected) in [
            ("train-00001-of-00002.parquet", "train-*.parquet", true),
            ("test-00001-of-00002.parquet", "train-*.parquet", false),
            ("a.jsonl", "*", true),
            ("abcabc", "*b*c", true),
            ("abcab", "*b*c", false),
            ("ä*.jsonl", "ä**.jsonl", true),
        ] {
            assert_eq!(fits(name, pattern), expected, "{name} like {pattern}");
        }
    }
}
