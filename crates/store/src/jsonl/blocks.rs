//! A file of lines in blocks, so that a reader who knows most of them can leave them out.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flow_data::Id;

use super::{JsonLines, LINE_BYTES};
use crate::Error;

/// Lines of a block: enough for the digest of a block to cost little, few enough for a changed line to.
const LINES: u64 = 1 << 9;

/// Bytes read at once.
const CHUNK: usize = 1 << 18;

/// The lines of a file, 512 at a time. Blocks are counted in lines from the first one on: a line that becomes longer changes one
/// block, a line more all that follow.
pub struct LineBlocks {
    reader: BufReader<File>,
    path: PathBuf,
    bytes: Vec<u8>,
    line: u64,
}

/// Some lines of a file as they are written. Of a line of more than 64 MiB, which no reader takes, only so much.
pub struct LineBlock<'a> {
    bytes: &'a [u8],
    /// Lines before it.
    before: u64,
}

impl LineBlocks {
    /// Opens the file at `path`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io("open", path))?;
        let reader = BufReader::with_capacity(CHUNK, file);
        Ok(Self { reader, path: path.to_owned(), bytes: Vec::new(), line: 0 })
    }

    /// The next block; none at the end of the file. Errs when it cannot be read on.
    pub fn next_block(&mut self) -> Result<Option<LineBlock<'_>>, Error> {
        self.bytes.clear();
        let before = self.line;
        let mut filled = Ok(true);
        while self.line < before + LINES && matches!(filled, Ok(true)) {
            filled = self.fill();
        }
        filled.map_err(Error::io("read", &self.path))?;
        Ok((self.line > before).then_some(LineBlock { bytes: &self.bytes, before }))
    }

    /// Reads the next line; false at the end of the file.
    fn fill(&mut self) -> std::io::Result<bool> {
        let limit = LINE_BYTES + 1;
        let length = (&mut self.reader).take(limit as u64).read_until(b'\n', &mut self.bytes)?;
        if length == limit && !self.bytes.ends_with(b"\n") {
            self.reader.skip_until(b'\n')?;
            self.bytes.push(b'\n');
        }
        self.line += u64::from(length > 0);
        Ok(length > 0)
    }
}

impl<'a> LineBlock<'a> {
    /// Identity of what is written in it.
    pub fn digest(&self) -> Id {
        Id::of("lines", [self.bytes])
    }

    /// Its lines, numbered as in the file at `path`.
    pub fn lines(&self, path: &Path) -> JsonLines<&'a [u8]> {
        JsonLines { line: self.before, ..JsonLines::new(self.bytes, path) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read_jsonl;

    #[test]
    fn blocks_are_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.jsonl");
        for n in [0, 1, LINES - 1, LINES, LINES + 1, 3 * LINES + 7] {
            let line = |at: u64| match at % 5 {
                0 => "\n".to_owned(),
                1 => "no object\r\n".to_owned(),
                _ => format!("{{\"at\": {at}}}{}", if at + 1 < n { "\n" } else { "" }),
            };
            std::fs::write(&path, (0..n).map(line).collect::<String>()).expect("writes");
            let mut whole = read_jsonl(&path).expect("opens");
            let mut expected = Vec::new();
            while let Some(line) = whole.next() {
                expected.push((whole.line(), line.expect("reads")));
            }
            let (mut blocks, mut found) = (LineBlocks::open(&path).expect("opens"), Vec::new());
            while let Some(block) = blocks.next_block().expect("reads") {
                let mut lines = block.lines(&path);
                while let Some(line) = lines.next() {
                    found.push((lines.line(), line.expect("reads")));
                }
            }
            assert_eq!(found, expected);
        }
    }
}
