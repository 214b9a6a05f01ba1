//! The answers of effects, kept across runs.
//!
//! A memo is a folder of append-only log segments. Each process that opens it appends to a segment of its own, which it
//! holds locked, and reads all others as they were when it opened. The answers rest on disk; memory holds where.

mod segment;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use flow_data::{Id, Value, decode, encode};

use crate::{Error, disk};
use segment::Segment;

/// How many bytes may be put before the disk is asked to keep them.
const SYNC_BYTES: u64 = 32 << 20;

/// Answers by key. The first answer to a key stands: what was read once is read again for ever.
///
/// Survives `kill -9` without losing an answer, and a power cut losing at most what was put since the last
/// [`Memo::flush`] or 32 MiB. Safe for many threads and processes. Cost: 30 to 60 bytes of memory an answer.
#[derive(Debug)]
pub struct Memo {
    /// In the order of their names, so that every process finds the same answer first.
    segments: Vec<Segment>,
    own: Mutex<Own>,
    index: RwLock<HashMap<Id, Slot>>,
    damaged: AtomicU64,
    /// Holds the own segment locked.
    _lock: File,
}

/// The segment that this process appends to.
#[derive(Debug, Default)]
struct Own {
    segment: usize,
    /// Up to where it is known to be on the disk, in bytes.
    synced: u64,
}

/// Where an answer lies: the segment in the upper 16 bits, the offset in the lower 48.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slot(u64);

impl Slot {
    fn new(segment: usize, offset: u64) -> Self {
        Self((segment as u64) << 48 | offset)
    }

    fn segment(self) -> usize {
        (self.0 >> 48) as usize
    }

    fn offset(self) -> u64 {
        self.0 & ((1 << 48) - 1)
    }
}

impl Memo {
    /// Opens the memo in `folder`, created where missing. Reads every segment once, to check it.
    ///
    /// A record cut short at the end of a segment, the trace of a kill, is dropped; a damaged one is skipped and
    /// counted by [`Memo::damaged`]. Errs when the folder or a segment cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        disk::create_folder(folder)?;
        let (own_name, lock) = adopt(folder)?;
        let mut names: BTreeSet<_> =
            disk::names(folder)?.into_iter().filter(|name| name.ends_with(".log")).collect();
        names.insert(own_name.clone());

        let (mut segments, mut own) = (Vec::new(), Own::default());
        let (mut index, mut damaged) = (HashMap::new(), 0);
        for (at, name) in names.iter().enumerate() {
            let segment = Segment::open(&folder.join(name), *name == own_name)?;
            damaged += segment.scan(|key, offset| {
                index.entry(key).or_insert(Slot::new(at, offset));
            })?;
            if *name == own_name {
                segment.cut()?;
                own = Own { segment: at, synced: segment.n_bytes() };
            }
            segments.push(segment);
        }
        let (own, index) = (Mutex::new(own), RwLock::new(index));
        Ok(Self { segments, own, index, damaged: AtomicU64::new(damaged), _lock: lock })
    }

    /// The answer to `key`; `None` when there is none, or it was damaged on disk since, which [`Memo::damaged`] counts.
    pub fn get(&self, key: &Id) -> Option<Vec<Value>> {
        let slot = self.slot(key)?;
        let answer = self.segments[slot.segment()].read(slot.offset(), key);
        let answer = answer.and_then(|payload| decode(&payload).ok());
        if answer.is_none() {
            self.forget(key, slot);
        }
        answer
    }

    /// Whether there is an answer to `key`. Touches no disk.
    pub fn contains(&self, key: &Id) -> bool {
        self.slot(key).is_some()
    }

    /// Keeps `answer` unless `key` has one. Once this returns, the death of the process does not lose it.
    ///
    /// Errs when the disk refuses or the answer is larger than 4 GiB; the memo is then as before.
    pub fn put(&self, key: Id, answer: &[Value]) -> Result<(), Error> {
        let mut payload = Vec::new();
        encode(answer, &mut payload);
        let mut own = self.own();
        if self.contains(&key) {
            return Ok(());
        }
        let segment = &self.segments[own.segment];
        let slot = Slot::new(own.segment, segment.append(&key, &payload)?);
        self.index.write().unwrap_or_else(PoisonError::into_inner).insert(key, slot);
        if segment.n_bytes() - own.synced >= SYNC_BYTES { self.sync(&mut own) } else { Ok(()) }
    }

    /// Returns once everything put before is on the disk.
    pub fn flush(&self) -> Result<(), Error> {
        self.sync(&mut self.own())
    }

    /// Number of answers.
    pub fn len(&self) -> usize {
        self.index.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is no answer.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of all segments in bytes, what other processes appended since this one opened left out.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(Segment::n_bytes).sum()
    }

    /// Stretches of the log found damaged since this memo was opened; their answers are lost and asked for again.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Gives up a damaged answer, so that the one that replaces it can be put.
    fn forget(&self, key: &Id, slot: Slot) {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        if index.get(key) == Some(&slot) {
            index.remove(key);
            self.damaged.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn slot(&self, key: &Id) -> Option<Slot> {
        self.index.read().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sync(&self, own: &mut Own) -> Result<(), Error> {
        let segment = &self.segments[own.segment];
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
        let options = File::options().write(true).create(true).truncate(false).to_owned();
        let file = options.open(&path).map_err(Error::io("open the memo segment", &path))?;
        match file.try_lock() {
            Ok(()) => {
                disk::sync(folder)?;
                return Ok((name, file));
            }
            Err(TryLockError::WouldBlock) if number < u16::MAX => number += 1,
            Err(error) => return Err(Error::io("lock the memo segment", &path)(error.into())),
        }
    }
}
