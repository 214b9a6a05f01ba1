//! One log file of answers: records one after the other, each with its own checksum.
//!
//! ```text
//! magic [4] | payload length u32 LE | key [16] | checksum [8] | payload
//! ```
//!
//! The checksum is over key and payload. The magic lets reading go on after a damaged length.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use flow_data::Id;

use crate::Error;

const MAGIC: [u8; 4] = *b"\xF1ow\x01";
const HEADER_BYTES: usize = 32;
const SCAN_BYTES: usize = 1 << 20;
/// Most answers are shorter: one system call reads them.
const READ_BYTES: usize = 2048;

/// A log file, open for as long as the memo is.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    /// Where the last whole record ends, in bytes.
    end: AtomicU64,
}

/// What stands where a record should begin.
enum Found {
    Whole { key: Id, payload: Vec<u8> },
    Cut,
    Damaged,
}

impl Segment {
    /// Opens the segment at `path`, for appending too when it is this process's own.
    pub(super) fn open(path: &Path, own: bool) -> Result<Self, Error> {
        let file = File::options().read(true).write(own).open(path);
        let file = file.map_err(Error::io("open the memo segment", path))?;
        Ok(Self { path: path.to_owned(), file, end: AtomicU64::new(0) })
    }

    /// Calls `whole` with the key, the offset and the end of every whole record at or after the offset `from`, in order.
    /// Returns how many stretches are no records, one cut short by the end of the file not counted.
    pub(super) fn scan(&self, from: u64, whole: impl FnMut(Id, u64, u64)) -> Result<u64, Error> {
        self.try_scan(from, whole).map_err(Error::io("read the memo segment", &self.path))
    }

    fn try_scan(&self, from: u64, mut whole: impl FnMut(Id, u64, u64)) -> io::Result<u64> {
        let n_bytes = self.file.metadata()?.len();
        let mut reader = BufReader::with_capacity(SCAN_BYTES, At { file: &self.file, offset: from });
        let (mut offset, mut damaged) = (from, 0);
        while offset < n_bytes {
            let found = record(&mut reader, n_bytes - offset)?;
            if let Found::Whole { key, payload } = found {
                let end = offset + (HEADER_BYTES + payload.len()) as u64;
                whole(key, offset, end);
                offset = end;
                continue;
            }
            let next = self.next_whole(offset + 1, n_bytes)?;
            damaged += u64::from(next.is_some() || matches!(found, Found::Damaged));
            let Some(next) = next else { break };
            offset = next;
            reader = BufReader::with_capacity(SCAN_BYTES, At { file: &self.file, offset });
        }
        self.end.store(offset, Ordering::Release);
        Ok(damaged)
    }

    /// Where the first whole record at or after `from` begins.
    fn next_whole(&self, mut from: u64, n_bytes: u64) -> io::Result<Option<u64>> {
        let mut window = vec![0; SCAN_BYTES];
        while from < n_bytes {
            let n = (n_bytes - from).min(SCAN_BYTES as u64) as usize;
            self.file.read_exact_at(&mut window[..n], from)?;
            let starts = window[..n].windows(MAGIC.len()).enumerate();
            for (at, _) in starts.filter(|(_, bytes)| *bytes == MAGIC) {
                let offset = from + at as u64;
                let mut reader = At { file: &self.file, offset };
                if matches!(record(&mut reader, n_bytes - offset)?, Found::Whole { .. }) {
                    return Ok(Some(offset));
                }
            }
            // A magic may lie across two windows.
            from += (n.saturating_sub(MAGIC.len() - 1)).max(1) as u64;
        }
        Ok(None)
    }

    /// The payload of the record at `offset`, when it is whole and `key`'s.
    pub(super) fn read(&self, offset: u64, key: &Id) -> Option<Vec<u8>> {
        self.read_within(offset, key, self.n_bytes())
    }

    fn read_within(&self, offset: u64, key: &Id, n_bytes: u64) -> Option<Vec<u8>> {
        let mut reader = BufReader::with_capacity(READ_BYTES, At { file: &self.file, offset });
        match record(&mut reader, n_bytes.checked_sub(offset)?) {
            Ok(Found::Whole { key: found, payload }) if found == *key => Some(payload),
            _ => None,
        }
    }

    /// Whether the file has a whole record of `key` from `offset` to `end`.
    pub(super) fn holds(&self, key: &Id, offset: u64, end: u64) -> bool {
        let payload = self.read_within(offset, key, end);
        payload.is_some_and(|payload| offset + (HEADER_BYTES + payload.len()) as u64 == end)
    }

    /// Size in bytes of the record at `offset`, by its header.
    pub(super) fn record_bytes(&self, offset: u64) -> Result<u64, Error> {
        let mut len = [0; 4];
        let read = self.file.read_exact_at(&mut len, offset + MAGIC.len() as u64);
        read.map_err(Error::io("read the memo segment", &self.path))?;
        Ok(HEADER_BYTES as u64 + u64::from(u32::from_le_bytes(len)))
    }

    /// Copies the record of `key` at `offset` to the end of `to`; false when it is damaged.
    pub(super) fn copy(&self, key: &Id, offset: u64, to: &mut dyn Write) -> io::Result<bool> {
        let Some(payload) = self.read(offset, key) else { return Ok(false) };
        // A payload that was read is not longer than one that was written.
        to.write_all(&encoded(key, &payload).unwrap_or_default()).map(|()| true)
    }

    /// The file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a record after the last one and returns its offset. Only the memo's writer calls it, one at a time.
    pub(super) fn append(&self, key: &Id, payload: &[u8]) -> Result<u64, Error> {
        let error = Error::io("write the memo segment", &self.path);
        let Some(bytes) = encoded(key, payload) else {
            return Err(error(io::ErrorKind::FileTooLarge.into()));
        };
        let offset = self.n_bytes();
        if let Err(source) = self.file.write_all_at(&bytes, offset) {
            // What was written of it is cut off here, or at the next opening.
            let _ = self.file.set_len(offset);
            return Err(error(source));
        }
        self.end.store(offset + bytes.len() as u64, Ordering::Release);
        Ok(offset)
    }

    /// Says that the last whole record known so far ends at `end`; a scan goes on from there.
    pub(super) fn known_to(&self, end: u64) {
        self.end.store(end, Ordering::Release);
    }

    /// Size of the file in bytes.
    pub(super) fn file_bytes(&self) -> Result<u64, Error> {
        let metadata = self.file.metadata().map_err(Error::io("inspect the memo segment", &self.path))?;
        Ok(metadata.len())
    }

    /// Drops what follows the last whole record.
    pub(super) fn cut(&self) -> Result<(), Error> {
        self.file.set_len(self.n_bytes()).map_err(Error::io("cut the memo segment", &self.path))
    }

    /// Returns once the file's content is on the disk.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io("sync the memo segment", &self.path))
    }

    /// Size of the records known of, in bytes.
    pub(super) fn n_bytes(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }
}

/// The record's bytes; none for a payload above 4 GiB.
fn encoded(key: &Id, payload: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(payload.len()).ok()?.to_le_bytes();
    Some([&MAGIC[..], &len, &key.0, &checksum(key, payload), payload].concat())
}

/// Reads the record that begins here, with `left` bytes to the end of the file.
fn record(reader: &mut impl Read, left: u64) -> io::Result<Found> {
    if left < HEADER_BYTES as u64 {
        return Ok(Found::Cut);
    }
    let mut header = [0; HEADER_BYTES];
    reader.read_exact(&mut header)?;
    let (magic, rest) = header.split_at(4);
    let (len, rest) = rest.split_at(4);
    let (key, expected) = rest.split_at(16);
    if magic != MAGIC {
        return Ok(Found::Damaged);
    }
    let len = u32::from_le_bytes(len.try_into().expect("split at 4 bytes"));
    if u64::from(len) > left - HEADER_BYTES as u64 {
        return Ok(Found::Cut);
    }
    let mut payload = vec![0; len as usize];
    reader.read_exact(&mut payload)?;
    let key = Id(key.try_into().expect("split at 16 bytes"));
    Ok(if checksum(&key, &payload) == expected { Found::Whole { key, payload } } else { Found::Damaged })
}

fn checksum(key: &Id, payload: &[u8]) -> [u8; 8] {
    Id::of("memo", [&key.0, payload]).leading().to_be_bytes()
}

/// Reads a file from an offset on, whatever others do with its cursor.
struct At<'a> {
    file: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}
