//! Where the records of a segment lie, beside the segment: opening a memo reads this instead of every answer.
//!
//! ```text
//! magic [4] | number of records u32 LE | end of the last record u64 LE | checksum [16] | (key [16] | offset u64 LE) each
//! ```
//!
//! A block is appended for every 16 MiB of log; the log after the last block is scanned. An index is never trusted: a block
//! has a checksum, the last record of the last block must lie in the log where the block says, and every answer is checked
//! when it is read. One that leads to damage is removed, so that the next opening looks for itself.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use flow_data::Id;

use super::segment::Segment;
use crate::{Error, disk};

/// Log that is scanned at most, beside that of a process which was killed before it had written a block.
/// Tests make do with little, to have several.
const BLOCK_BYTES: u64 = if cfg!(test) { 1 << 10 } else { 16 << 20 };

const MAGIC: [u8; 4] = *b"\xF1ix\x01";
const HEADER_BYTES: usize = 32;
const ENTRY_BYTES: usize = 24;
/// More records than a block can have: [`BLOCK_BYTES`] of the shortest ones, and one that is longer.
const MOST_RECORDS: usize = (BLOCK_BYTES / 32) as usize + 1;

/// A record: its key, and where it begins in the log.
type Entry = (Id, u64);

/// How far an index covers its segment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Covered {
    /// Up to where in the log, in bytes.
    pub(super) log_end: u64,
    /// Where the whole blocks end in the index, in bytes.
    end: u64,
}

/// Appends to the index of the own segment.
#[derive(Debug)]
pub(super) struct Writer {
    file: File,
    covered: Covered,
    /// Records that are in no block yet.
    pending: Vec<Entry>,
}

/// The file that indexes the segment at `log`.
fn path(log: &Path) -> PathBuf {
    log.with_extension("idx")
}

/// Calls `known` with every record that the index of `segment` names. One that is missing or damaged covers nothing more.
pub(super) fn read(segment: &Segment, mut known: impl FnMut(Id, u64)) -> Result<Covered, Error> {
    let path = path(segment.path());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Covered::default()),
        Err(error) => return Err(Error::io("open the memo index", &path)(error)),
    };
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut covered = Covered::default();
    while let Some((entries, next)) = block(&mut reader, covered) {
        // Segments only grow, and are rewritten in order: where the last record is in its place, those before it are too.
        let fits = entries.last().is_some_and(|(key, offset)| segment.holds(key, *offset, next.log_end));
        if !fits {
            break;
        }
        entries.into_iter().for_each(|(key, offset)| known(key, offset));
        covered = next;
    }
    Ok(covered)
}

impl Writer {
    /// Goes on after the blocks that cover the own segment so far; what follows them is dropped. None where the index
    /// cannot be written: it only saves time.
    pub(super) fn open(segment: &Segment, covered: Covered) -> Option<Self> {
        let options = File::options().write(true).create(true).truncate(false).to_owned();
        let file = options.open(path(segment.path())).ok()?;
        file.set_len(covered.end).ok()?;
        Some(Self { file, covered, pending: Vec::new() })
    }

    /// Takes in the record of `key` from `offset` to `log_end`, which follows those before. False when the index could not
    /// be written: it ends there, and is not to be used any more.
    pub(super) fn add(&mut self, key: Id, offset: u64, log_end: u64) -> bool {
        self.pending.push((key, offset));
        if log_end - self.covered.log_end < BLOCK_BYTES && self.pending.len() < MOST_RECORDS {
            return true;
        }
        let bytes = encoded(&self.pending, log_end);
        let written = self.file.write_all_at(&bytes, self.covered.end);
        self.covered = Covered { log_end, end: self.covered.end + bytes.len() as u64 };
        self.pending.clear();
        written.is_ok()
    }
}

/// Removes the index of the segment at `log`; there may be none.
pub(super) fn remove(log: &Path) -> Result<(), Error> {
    let path = path(log);
    if path.exists() { disk::remove_file(&path) } else { Ok(()) }
}

fn encoded(entries: &[Entry], log_end: u64) -> Vec<u8> {
    let mut body = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for (key, offset) in entries {
        body.extend(key.0);
        body.extend(offset.to_le_bytes());
    }
    let n = u32::try_from(entries.len()).expect("a block has at most MOST_RECORDS records");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + body.len());
    bytes.extend(MAGIC);
    bytes.extend(n.to_le_bytes());
    bytes.extend(log_end.to_le_bytes());
    bytes.extend(checksum(log_end, &body).0);
    bytes.extend(body);
    bytes
}

/// The block that begins here, where the index has `covered` so far; none when it is not whole.
fn block(reader: &mut impl Read, covered: Covered) -> Option<(Vec<Entry>, Covered)> {
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header).ok()?;
    let (magic, rest) = header.split_at(4);
    let (n, rest) = rest.split_at(4);
    let (log_end, expected) = rest.split_at(8);
    let n = u32::from_le_bytes(n.try_into().expect("split at 4 bytes")) as usize;
    let log_end = u64::from_le_bytes(log_end.try_into().expect("split at 8 bytes"));
    if magic != MAGIC || n > MOST_RECORDS || log_end <= covered.log_end {
        return None;
    }
    let mut body = vec![0; n * ENTRY_BYTES];
    reader.read_exact(&mut body).ok()?;
    if checksum(log_end, &body).0 != expected {
        return None;
    }
    let entry = |bytes: &[u8]| {
        let (key, offset) = bytes.split_at(16);
        let offset = u64::from_le_bytes(offset.try_into().expect("entries have 24 bytes"));
        (Id(key.try_into().expect("split at 16 bytes")), offset)
    };
    let end = covered.end + (HEADER_BYTES + body.len()) as u64;
    Some((body.chunks_exact(ENTRY_BYTES).map(entry).collect(), Covered { log_end, end }))
}

fn checksum(log_end: u64, body: &[u8]) -> Id {
    Id::of("memo index", [&log_end.to_le_bytes()[..], body])
}
