//! Files of one JSON object per line, where a bad line is reported and the reading goes on.

mod blocks;
mod repeated;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Error;
pub use blocks::{LineBlock, LineBlocks};

const LINE_BYTES: usize = 64 << 20;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A line that is no JSON object; the lines after it are still read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct LineError {
    /// Number of the line in the file, from 1.
    pub line: u64,
    /// What is wrong with it, with the place where one is known.
    pub reason: String,
}

/// Yields the JSON objects of a file of lines. Blank lines are skipped; a byte order mark and CRLF are tolerated.
///
/// The outer error is the file's (it cannot be read on, and the iteration ends); the inner one is the line's: no JSON,
/// no object, no UTF-8, or longer than 64 MiB. Cost: holds one line.
pub struct JsonLines<R> {
    reader: R,
    path: PathBuf,
    line: u64,
    limit: usize,
    bytes: Vec<u8>,
    failed: bool,
}

/// Opens the file at `path` for reading line by line.
pub fn read_jsonl(path: &Path) -> Result<JsonLines<BufReader<File>>, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    Ok(JsonLines::new(BufReader::new(file), path))
}

impl<R: BufRead> JsonLines<R> {
    /// Reads lines from `reader`; `path` names it in errors.
    pub fn new(reader: R, path: &Path) -> Self {
        let path = path.to_owned();
        Self { reader, path, line: 0, limit: LINE_BYTES, bytes: Vec::new(), failed: false }
    }

    /// Number of the line last yielded, from 1; 0 before the first.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// A key that stands twice in an object of the line last yielded; the last one counted. Costs another pass over the line.
    pub fn repeated_key(&self) -> Option<String> {
        repeated::repeated_key(self.object())
    }

    /// The line last read, without a byte order mark and the white space around it.
    fn object(&self) -> &[u8] {
        let mark = if self.line == 1 { BYTE_ORDER_MARK } else { b"" };
        self.bytes.strip_prefix(mark).unwrap_or(&self.bytes).trim_ascii()
    }

    /// Reads the next line into `self.bytes`: `None` at the end of the file, false when it is too long.
    fn fill(&mut self) -> std::io::Result<Option<bool>> {
        self.bytes.clear();
        let limit = self.limit as u64 + 1;
        if (&mut self.reader).take(limit).read_until(b'\n', &mut self.bytes)? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let short = self.bytes.len() <= self.limit || self.bytes.ends_with(b"\n");
        if !short {
            self.reader.skip_until(b'\n')?;
        }
        Ok(Some(short))
    }

    fn parse(&self, line: &[u8]) -> Result<Map<String, Value>, LineError> {
        let error = |reason| LineError { line: self.line, reason };
        let text = std::str::from_utf8(line)
            .map_err(|bad| error(format!("not UTF-8 at byte {}", bad.valid_up_to() + 1)))?;
        match serde_json::from_str(text) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(other) => Err(error(format!("expected an object, found {}", name(&other)))),
            Err(bad) => Err(error(reason(&bad))),
        }
    }
}

impl<R: BufRead> Iterator for JsonLines<R> {
    type Item = Result<Result<Map<String, Value>, LineError>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.failed {
            match self.fill() {
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    let reason = format!("longer than {} bytes", self.limit);
                    return Some(Ok(Err(LineError { line: self.line, reason })));
                }
                Ok(None) => return None,
                Err(source) => {
                    self.failed = true;
                    return Some(Err(Error::io("read", &self.path)(source)));
                }
            }
            let line = self.object();
            if !line.is_empty() {
                return Some(Ok(self.parse(line)));
            }
        }
        None
    }
}

/// The parser's message, which counts lines from the start of this one, with its column only.
fn reason(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let (what, _) = message.split_once(" at line ").unwrap_or((&message, ""));
    format!("not JSON at column {}: {what}", error.column())
}

fn name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(bytes: &[u8]) -> Vec<Result<Value, LineError>> {
        let mut lines = JsonLines::new(bytes, Path::new("x.jsonl"));
        lines.limit = 40;
        lines.map(|line| line.expect("memory can be read").map(Value::Object)).collect()
    }

    fn bad(line: u64, reason: &str) -> Result<Value, LineError> {
        Err(LineError { line, reason: reason.to_owned() })
    }

    #[test]
    fn a_bad_line_does_not_end_the_reading() {
        let long = format!("{{\"a\": \"{}\"}}\n", "x".repeat(60));
        let bytes = [
            b"\xEF\xBB\xBF{\"a\": 1}\r\n\r\n  \n{\"a\": }\n[1]\n{\"a\": \"\xFF\"}\n".as_slice(),
            long.as_bytes(),
            b"{\"a\": 1} x\n{\"a\": 2}",
        ];
        let expected = [
            Ok(json!({"a": 1})),
            bad(4, "not JSON at column 7: expected value"),
            bad(5, "expected an object, found a list"),
            bad(6, "not UTF-8 at byte 8"),
            bad(7, "longer than 40 bytes"),
            bad(8, "not JSON at column 10: trailing characters"),
            Ok(json!({"a": 2})),
        ];
        assert_eq!(read(&bytes.concat()), expected);
    }

    #[test]
    fn the_limit_counts_the_line_without_its_end() {
        let fits = format!("{{\"a\": \"{}\"}}", "x".repeat(31));
        assert_eq!(fits.len(), 40);
        assert!(read(fits.as_bytes())[0].is_ok());
        assert!(read(format!("{fits}\n").as_bytes())[0].is_ok());
        assert!(read(format!("{fits} \n").as_bytes())[0].is_err());
    }

    #[test]
    fn a_file_that_cannot_be_read_on_is_no_bad_line() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
        }
        let mut lines = JsonLines::new(BufReader::new(Broken), Path::new("x.jsonl"));
        assert_eq!(lines.next().unwrap().unwrap_err().to_string(), "cannot read `x.jsonl`");
        assert!(lines.next().is_none());
    }

    #[test]
    fn nesting_is_bounded() {
        assert!(read_deep(100_000).is_err());
        assert!(read_deep(100).is_ok());
    }

    fn read_deep(depth: usize) -> Result<Map<String, Value>, LineError> {
        let text = format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
        JsonLines::new(text.as_bytes(), Path::new("x")).next().unwrap().unwrap()
    }

    proptest! {
        #[test]
        fn every_line_that_is_not_blank_is_answered(lines in proptest::collection::vec("[ a{}\":1]{0,12}", 0..9)) {
            let n_lines = lines.iter().filter(|line| !line.trim().is_empty()).count();
            prop_assert_eq!(read(lines.join("\n").as_bytes()).len(), n_lines);
        }
    }
}
