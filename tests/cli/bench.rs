//! A folder with a pipeline in it, and the program run there.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use flow_data::{Columns, Value};
use serde_json::Value as Json;

#[path = "../tiny.rs"]
mod tiny;

pub(crate) use tiny::tiny;

/// Three questions; enough for rows to differ, few enough to read.
pub(crate) const QUESTIONS: &str = r#"{"prompt_id": "a", "prompt": "1+1=", "answer": "2", "level": 1}
{"prompt_id": "b", "prompt": "2+3=", "answer": "5", "level": 1}
{"prompt_id": "c", "prompt": "9-4=", "answer": "5", "level": 2}
"#;

/// Reads questions and writes them.
pub(crate) const COPY: &str = "version: 1
name: copy
steps:
  questions: {op: read, path: questions.jsonl}
  shards: {op: write, from: questions, path: out/shards}
";

/// A temporary folder.
pub(crate) struct Bench(tempfile::TempDir);

/// What a run of the program left.
pub(crate) struct Ran {
    /// Exit code.
    pub(crate) code: i32,
    /// Data.
    pub(crate) stdout: String,
    /// What was said.
    pub(crate) stderr: String,
}

impl Bench {
    /// An empty folder.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder with [`QUESTIONS`] and a pipeline.
    pub(crate) fn with(pipeline: &str) -> Self {
        let bench = Self::new();
        bench.put("questions.jsonl", QUESTIONS);
        bench.put("p.yaml", pipeline);
        bench
    }

    /// The same files in a folder of their own, but for those in the folder named in `without`.
    pub(crate) fn copied(&self, without: &[&str]) -> Self {
        let copy = Self::new();
        let names = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        for name in names.filter(|name| without.iter().all(|without| name != without)) {
            let copied =
                Command::new("cp").arg("-a").arg(self.0.path().join(&name)).arg(copy.path(".")).status();
            assert!(copied.unwrap().success());
        }
        copy
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // Whole at once: somebody may be watching.
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, bytes).unwrap();
        fs::rename(fresh, path).unwrap();
    }

    /// The command, to be run in the folder. Nothing of this machine's environment reaches a pipeline.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, args: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flow"));
        command.args(args).current_dir(self.0.path()).env_clear().stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    pub(crate) fn flow<A: AsRef<OsStr>>(&self, args: &[A]) -> Ran {
        Ran::of(self.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// `flow exec p.yaml` with more arguments; it must end with `code`.
    pub(crate) fn exec(&self, args: &[&str], code: i32) -> Ran {
        let ran = self.flow(&[&["exec", "p.yaml"], args].concat());
        assert_eq!(ran.code, code, "{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// The published files of the folder `name`, by path within its snapshot.
    pub(crate) fn published(&self, name: &str) -> BTreeMap<PathBuf, Vec<u8>> {
        let root = self.path(name).join("current");
        let mut files = BTreeMap::new();
        collect(&root, &root, &mut files);
        assert!(!files.is_empty(), "{name} is published");
        files
    }

    /// The rows of a table of the run, each as its columns' names and values.
    pub(crate) fn table(&self, name: &str) -> Vec<BTreeMap<String, Value>> {
        let (columns, rows) = flow_store::read_table(&self.path(name)).unwrap();
        rows.iter().map(|row| named(&columns, row)).collect()
    }

    /// The rows of all Parquet files of the published folder `name`.
    pub(crate) fn rows(&self, name: &str) -> Vec<BTreeMap<String, Value>> {
        let snapshot = flow_store::Snapshot::current(&self.path(name)).unwrap().expect("it is published");
        let tables = snapshot.files().map(|path| flow_store::read_table(&path).unwrap());
        tables
            .flat_map(|(columns, rows)| rows.iter().map(|row| named(&columns, row)).collect::<Vec<_>>())
            .collect()
    }

    /// Makes a random model in the folder `name`.
    pub(crate) fn model(&self, name: &str) {
        tiny().save(&self.path(name)).unwrap();
    }
}

impl Ran {
    /// Waits for the end of a program whose streams are piped.
    pub(crate) fn of(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// What stdout says as JSON.
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.stdout, self.stderr))
    }

    /// Fails unless each of `words` was said.
    pub(crate) fn says(&self, words: &[&str]) {
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is not in:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked"), "no raw trace:\n{}", self.stderr);
    }
}

fn named(columns: &Columns, row: &[Value]) -> BTreeMap<String, Value> {
    columns.visible().map(|(at, column)| (column.name.to_string(), row[at].clone())).collect()
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
        }
    }
}
