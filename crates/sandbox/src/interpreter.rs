//! The interpreter: which files it consists of, found by asking it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::Error;

/// A CPython and the files that it consists of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interpreter {
    /// The executable, links resolved.
    pub(crate) executable: PathBuf,
    /// What it calls its version: number, date of its build, compiler.
    pub(crate) version: String,
    /// The folder of its standard library.
    pub(crate) stdlib: PathBuf,
    /// Where the executable looks for its loader.
    pub(crate) loader: PathBuf,
    /// The shared libraries that it and its modules are linked with, the loader among them.
    pub(crate) libraries: Vec<Library>,
}

/// A shared library.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Library {
    /// The file, links resolved.
    pub(crate) path: PathBuf,
    /// The names under which it is looked for.
    pub(crate) names: Vec<String>,
}

impl Interpreter {
    /// Asks the interpreter `command` where its parts are. Takes about half a second: it loads all its modules.
    ///
    /// # Errors
    /// It cannot be started, or is no CPython for this system.
    pub fn find(command: &str) -> Result<Self, Error> {
        let error = |cause: String| Error::Interpreter { command: command.to_owned(), cause };
        let output = Command::new(command)
            .args(["-E", "-S", "-B", "-W", "ignore", "-c", include_str!("probe.py")])
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| error(cause.to_string()))?;
        if !output.status.success() {
            return Err(error(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        serde_json::from_slice(&output.stdout).map_err(|cause| error(cause.to_string()))
    }

    /// The executable, links resolved.
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// What it calls its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// A digest of its version, its executable and its libraries: equal digests, the same interpreter.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn digest(&self) -> Result<[u8; 32], Error> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.version.as_bytes());
        for path in self.libraries.iter().map(|library| &library.path).chain([&self.executable]) {
            let digest = digest_of(path).map_err(Error::host("read the files of the interpreter"))?;
            hasher.update(digest.as_bytes());
        }
        Ok(*hasher.finalize().as_bytes())
    }

    /// The last two parts of the standard library's path, such as `lib/python3.11`: it is looked for under that name.
    pub(crate) fn stdlib_name(&self) -> PathBuf {
        let parts: Vec<_> = self.stdlib.components().rev().take(2).collect();
        parts.into_iter().rev().collect()
    }
}

fn digest_of(path: &Path) -> io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize())
}
