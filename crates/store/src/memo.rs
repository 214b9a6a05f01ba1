//! The answers of effects, kept across runs.
//!
//! A memo is a folder of append-only log segments, each with an index beside it that makes opening quick. Each process that
//! opens it appends to a segment of its own, which it holds locked, and reads all others as they were when it opened. The
//! answers rest on disk; memory holds where.

mod answers;
mod index;
mod segment;
mod sweep;
mod table;
#[cfg(test)]
mod tests;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flow_data::{Id, Value, encode};

use crate::{Error, disk};
use table::Slot;

pub use answers::Answers;
pub use sweep::Swept;

/// How many bytes may be put before the disk is asked to keep them.
const SYNC_BYTES: u64 = 32 << 20;

/// Answers by key. The first answer to a key stands: what was read once is read again for ever.
///
/// Survives `kill -9` without losing an answer, and a power cut losing at most what was put since the last
/// [`Memo::flush`] or 32 MiB. Safe for many threads and processes. Cost: 29 to 58 bytes of memory an answer, and opening
/// reads 24 bytes an answer.
#[derive(Debug)]
pub struct Memo {
    answers: Answers,
    own: Mutex<Own>,
    /// Holds the own segment locked.
    _lock: File,
}

/// The segment that this process appends to.
#[derive(Debug)]
struct Own {
    segment: usize,
    /// Up to where it is known to be on the disk, in bytes.
    synced: u64,
    index: Option<index::Writer>,
}

impl Memo {
    /// Opens the memo in `folder`, created where missing. Reads the end of every segment, to check it.
    ///
    /// A record cut short at the end of a segment, the trace of a kill, is dropped; a damaged one is skipped and
    /// counted by [`Answers::damaged`]. Errs when the folder or a segment cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        disk::create_folder(folder)?;
        let (name, lock) = adopt(folder)?;
        let (answers, own) = Answers::load(folder, Some(&name))?;
        let (segment, index) = own.expect("the own segment was made before the folder was read");
        answers.segments()[segment].cut()?;
        let synced = answers.segments()[segment].n_bytes();
        Ok(Self { answers, own: Mutex::new(Own { segment, synced, index }), _lock: lock })
    }

    /// The answers, for reading.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// As [`Answers::get`].
    pub fn get(&self, key: &Id) -> Option<Vec<Value>> {
        self.answers.get(key)
    }

    /// Keeps `answer` unless `key` has one. Once this returns, the death of the process does not lose it.
    ///
    /// Errs when the disk refuses or the answer is larger than 4 GiB; the memo is then as before.
    pub fn put(&self, key: Id, answer: &[Value]) -> Result<(), Error> {
        let mut payload = Vec::new();
        encode(answer, &mut payload);
        let mut own = self.own();
        if self.answers.contains(&key) {
            return Ok(());
        }
        let segment = &self.answers.segments()[own.segment];
        let offset = segment.append(&key, &payload)?;
        self.answers.insert(key, Slot { segment: own.segment, offset });
        let log_end = segment.n_bytes();
        own.index = own.index.take().and_then(|mut index| index.add(key, offset, log_end).then_some(index));
        if log_end - own.synced >= SYNC_BYTES { self.sync(&mut own) } else { Ok(()) }
    }

    /// Returns once everything put before is on the disk.
    pub fn flush(&self) -> Result<(), Error> {
        self.sync(&mut self.own())
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self, own: &mut Own) -> Result<(), Error> {
        let segment = &self.answers.segments()[own.segment];
        segment.sync()?;
        own.synced = segment.n_bytes();
        Ok(())
    }
}

/// The first segment that no other process holds, made where there is none, and the handle that holds it locked.
fn adopt(folder: &Path) -> Result<(String, File), Error> {
    let mut number: u16 = 0;
    loop {
        let name = format!("{number:05}.log");
        let path = folder.join(&name);
        match lock(&path) {
            Ok(file) => {
                disk::sync(folder)?;
                return Ok((name, file));
            }
            Err(Error::Locked { .. }) if number + 1 < Slot::MOST_SEGMENTS => number += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Opens the segment at `path`, made where missing, and holds it locked. Errs with [`Error::Locked`] when another does.
fn lock(path: &Path) -> Result<File, Error> {
    let options = File::options().write(true).create(true).truncate(false).to_owned();
    let file = options.open(path).map_err(Error::io("open the memo segment", path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(Error::Locked { path: path.to_owned(), holder: "another process".to_owned() })
        }
        Err(TryLockError::Error(source)) => Err(Error::io("lock the memo segment", path)(source)),
    }
}
