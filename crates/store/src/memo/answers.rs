//! Reading: all segments of a memo as they were when it was opened, and what this process appends.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

use flow_data::{Id, Value, decode};

use super::index;
use super::segment::Segment;
use super::table::{Slot, Table};
use crate::{Error, disk};

/// What an index spends on a record, in bytes: how many records there are can be guessed by it.
const INDEX_ENTRY_BYTES: u64 = 24;

/// Kept answers, for reading.
#[derive(Debug)]
pub struct Answers {
    /// In the order of their names, so that every process finds the same answer first.
    segments: Vec<Segment>,
    table: RwLock<Table>,
    damaged: AtomicU64,
}

/// The position of the own segment, and what appends to its index.
type Own = (usize, Option<index::Writer>);

impl Answers {
    /// Opens the answers in `folder`, which has none where it is missing. Writes nothing; others may append meanwhile.
    ///
    /// A record cut short at the end of a segment is passed over; a damaged one is counted by [`Answers::damaged`]. Errs
    /// when the folder or a segment cannot be read.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        Self::load(folder, None).map(|(answers, _)| answers)
    }

    /// Opens all segments of `folder`, the `own` one for appending too.
    pub(super) fn load(folder: &Path, own: Option<&str>) -> Result<(Self, Option<Own>), Error> {
        let names = if folder.exists() { segment_names(folder)? } else { Vec::new() };
        let (mut segments, mut table, mut damaged, mut writer) = (Vec::new(), Table::default(), 0, None);
        table.reserve(guess(folder, &names));
        for (at, name) in names.iter().enumerate() {
            let is_own = own == Some(name);
            let segment = Segment::open(&folder.join(name), is_own)?;
            let slot = |offset| Slot { segment: at, offset };
            let covered = index::read(&segment, |key, offset| table.insert(key, slot(offset), false))?;
            let mut index = if is_own { index::Writer::open(&segment, covered) } else { None };
            segment.known_to(covered.log_end);
            damaged += segment.scan(covered.log_end, |key, offset, end| {
                table.insert(key, slot(offset), false);
                index = index.take().and_then(|mut index| index.add(key, offset, end).then_some(index));
            })?;
            if is_own {
                writer = Some((at, index));
            }
            segments.push(segment);
        }
        Ok((Self { segments, table: RwLock::new(table), damaged: AtomicU64::new(damaged) }, writer))
    }

    /// The answer to `key`; `None` when there is none, or it was damaged on disk, which [`Answers::damaged`] counts.
    pub fn get(&self, key: &Id) -> Option<Vec<Value>> {
        let slot = self.table.read().unwrap_or_else(PoisonError::into_inner).take(key)?;
        let answer = self.segments[slot.segment].read(slot.offset, key);
        let answer = answer.and_then(|payload| decode(&payload).ok());
        if answer.is_none() {
            self.forget(key, slot);
        }
        answer
    }

    /// Whether there is an answer to `key`. Touches no disk.
    pub fn contains(&self, key: &Id) -> bool {
        self.table.read().unwrap_or_else(PoisonError::into_inner).get(key).is_some()
    }

    /// Number of answers.
    pub fn len(&self) -> usize {
        self.table.read().unwrap_or_else(PoisonError::into_inner).len()
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
        self.damaged.load(Relaxed)
    }

    /// The keys of the answers that were got or put since this memo was opened, in order.
    pub fn used(&self) -> Vec<Id> {
        self.sorted().into_iter().filter(|(.., used)| *used).map(|(key, ..)| key).collect()
    }

    /// Size in bytes of the answer to `key`; 0 without one. Reads its header.
    pub fn bytes_of(&self, key: &Id) -> Result<u64, Error> {
        let slot = self.table.read().unwrap_or_else(PoisonError::into_inner).get(key);
        slot.map_or(Ok(0), |slot| self.segments[slot.segment].record_bytes(slot.offset))
    }

    /// The segments, in the order of their names.
    pub(super) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// All keys in order, each with its slot and whether it was used.
    pub(super) fn sorted(&self) -> Vec<(Id, Slot, bool)> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).sorted()
    }

    /// Adds an answer that was put.
    pub(super) fn insert(&self, key: Id, slot: Slot) {
        self.table.write().unwrap_or_else(PoisonError::into_inner).insert(key, slot, true);
    }

    /// Gives up a damaged answer, so that the one that replaces it can be put. The index that led to it is removed: the
    /// next opening then looks through the whole segment, and finds what is damaged and what replaced it.
    fn forget(&self, key: &Id, slot: Slot) {
        if self.table.write().unwrap_or_else(PoisonError::into_inner).remove(key, slot) {
            self.damaged.fetch_add(1, Relaxed);
            // Where it cannot be removed, the answer is asked for once more.
            let _ = index::remove(self.segments[slot.segment].path());
        }
    }
}

/// The names of the segments in `folder`, in order.
pub(super) fn segment_names(folder: &Path) -> Result<Vec<String>, Error> {
    let names = disk::names(folder)?.into_iter();
    Ok(names.filter(|name| name.ends_with(".log") && !name.starts_with(disk::TEMPORARY)).collect())
}

/// About how many records the indices name, so that the table need not grow and be copied.
fn guess(folder: &Path, names: &[String]) -> usize {
    let bytes = names.iter().filter_map(|name| {
        let index = folder.join(name).with_extension("idx");
        std::fs::metadata(index).ok().map(|file| file.len())
    });
    usize::try_from(bytes.sum::<u64>() / INDEX_ENTRY_BYTES).unwrap_or_default()
}
