//! Reading the shared data sets, which a checkout may not have.

#![allow(dead_code, reason = "each test file uses the readers that it needs")]
#![allow(clippy::print_stderr, reason = "a test that skips must say so")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The place of a shared data set or file; none, and a line that says so, when it is absent.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(path);
    if !place.exists() {
        eprintln!("skipped: no {}", place.display());
        return None;
    }
    Some(place)
}

/// The rows of a shared JSON Lines file; none when it is absent.
pub(crate) fn json_lines(path: &str) -> Option<Vec<Value>> {
    let text = fs::read_to_string(shared(path)?).expect("the file can be read");
    Some(text.lines().map(|line| serde_json::from_str(line).expect("a row of JSON")).collect())
}

/// A string field of a row.
pub(crate) fn field<'a>(row: &'a Value, name: &str) -> &'a str {
    row[name].as_str().expect("a string field")
}
