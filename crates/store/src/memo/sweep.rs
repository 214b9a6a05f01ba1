//! Giving up answers: segments are rewritten without them, each in one step.

use std::fs::File;
use std::path::Path;

use flow_data::Id;

use super::answers::{Answers, segment_names};
use super::segment::Segment;
use super::{Memo, index, lock};
use crate::{Error, disk};

/// What a sweep took away, or would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Answers.
    pub answers: u64,
    /// Bytes on the disk: those answers, and what was damaged or stood twice.
    pub bytes: u64,
}

impl Memo {
    /// Removes the answers whose keys `keep` refuses from the memo in `folder`; with `dry`, only says what would go. A crash
    /// leaves each segment as it was or without them. What is kept keeps its order, so that the same answers stand first.
    ///
    /// Errs with [`Error::Locked`] when a process has the memo open, and when the disk refuses: then nothing that is to be
    /// kept is lost.
    pub fn sweep(folder: &Path, keep: &dyn Fn(&Id) -> bool, dry: bool) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        if !folder.exists() {
            return Ok(swept);
        }
        let names = segment_names(folder)?;
        let _locks: Vec<File> =
            names.iter().map(|name| lock(&folder.join(name))).collect::<Result<_, _>>()?;
        if !dry {
            remove_leftovers(folder)?;
        }
        let answers = Answers::open(folder)?;
        let mut kept: Vec<Vec<(u64, Id)>> = vec![Vec::new(); answers.segments().len()];
        for (key, slot, _) in answers.sorted() {
            if keep(&key) {
                kept[slot.segment].push((slot.offset, key));
            } else {
                swept.answers += 1;
            }
        }
        for (segment, mut kept) in answers.segments().iter().zip(kept) {
            kept.sort_unstable();
            let before = segment.file_bytes()?;
            let mut after = 0;
            for (offset, _) in &kept {
                after += segment.record_bytes(*offset)?;
            }
            swept.bytes += before.saturating_sub(after);
            if !dry && after < before {
                rewrite(segment, &kept)?;
            }
        }
        Ok(swept)
    }
}

/// Replaces the segment by one with the records at these offsets. Its index goes first: it would lead astray.
fn rewrite(segment: &Segment, kept: &[(u64, Id)]) -> Result<(), Error> {
    index::remove(segment.path())?;
    disk::write_whole_by(segment.path(), |file| {
        let mut copy = |(offset, key): &(u64, Id)| segment.copy(key, *offset, file).map(drop);
        kept.iter().try_for_each(&mut copy)
    })
}

/// Removes what a crash left of earlier sweeps.
fn remove_leftovers(folder: &Path) -> Result<(), Error> {
    let names = disk::names(folder)?;
    let mut leftovers = names.iter().filter(|name| name.starts_with(disk::TEMPORARY));
    leftovers.try_for_each(|name| disk::remove_file(&folder.join(name)))
}
