//! Sources that make their rows record by record, and read a file again at the cost of what has changed in it.
//!
//! A file of lines is read in blocks. A block that stands as it stood, behind as many rows of each of its groups, gives the
//! rows that it gave: they are not made again.

use std::path::PathBuf;

use flow_data::{Heap, Id, IdMap};
use flow_dataflow::{Memory, Out, Source, SourceError, SourceRows};
use flow_store::{Error, LineBlock, LineBlocks};

use crate::fields::{Field, Flaw, Reading, Seen};
use crate::input::{At, Files, InputFile, Place, Record, refused};

/// What makes rows of the records of a file. What a record becomes depends on it and on [`Numbers`] only.
pub(crate) trait ByRecord: Send + Sync {
    /// What is kept from one record for the next, to save time.
    type Cache: Default;

    fn files(&self) -> &Files;

    /// The fields that are read.
    fn fields(&self) -> Vec<&Field>;

    /// Most records that are read.
    fn limit(&self) -> usize;

    /// Emits the rows of the record at `at` and returns how many. The outer error ends the run, the inner one rejects the record.
    fn rows(
        &self,
        heap: &Heap,
        at: At<'_>,
        record: &Record,
        memory: (&mut Numbers, &mut Self::Cache),
        out: &mut Out<'_>,
    ) -> Result<Result<usize, Flaw>, SourceError>;
}

/// The source of what a [`ByRecord`] makes.
pub(crate) struct Records<R>(pub(crate) R);

/// What has been read so far.
#[derive(Default)]
pub(crate) struct Numbers {
    counts: IdMap<i64>,
    places: IdMap<Place>,
    /// What was counted in the present block.
    taken: Vec<Taken>,
}

/// Rows of one group in one block.
#[derive(Clone, Copy)]
struct Taken {
    group: Id,
    /// Rows of the group before the block.
    before: i64,
    n: i64,
}

/// A block as it was read.
#[derive(Clone)]
struct Block {
    /// Its file, and its number there.
    stands: (PathBuf, usize),
    digest: Id,
    n_records: usize,
    /// Whether these are all of its records.
    is_whole: bool,
    n_rows: usize,
    n_rejected: usize,
    taken: Vec<Taken>,
    /// What was seen in its records.
    seen: Seen,
}

impl Block {
    /// Whether so many records would be read of it where `rest` may be.
    fn fits(&self, rest: usize) -> bool {
        if self.is_whole { self.n_records <= rest } else { self.n_records == rest }
    }
}

impl Numbers {
    /// How many rows of `group` stand before the next one.
    pub(crate) fn next(&mut self, group: Id) -> i64 {
        let count = self.counts.entry(group).or_default();
        match self.taken.last_mut() {
            Some(taken) if taken.group == group => taken.n += 1,
            _ => self.taken.push(Taken { group, before: *count, n: 1 }),
        }
        *count += 1;
        *count - 1
    }

    /// How many rows of `group` were counted so far.
    pub(crate) fn count(&self, group: Id) -> i64 {
        self.counts.get(&group).copied().unwrap_or_default()
    }

    /// Notes that the row `id` stands at `at`; where another one of this name does, if any.
    pub(crate) fn place(&mut self, id: Id, at: At<'_>) -> Option<Place> {
        self.places.insert(id, at.place)
    }

    /// What was counted since the last call, each group once.
    fn take(&mut self) -> Vec<Taken> {
        self.taken.sort_by_key(|taken| (taken.group, taken.before));
        self.taken.dedup_by(|next, first| {
            let same = next.group == first.group;
            first.n += if same { next.n } else { 0 };
            same
        });
        let mut taken = std::mem::take(&mut self.taken);
        taken.shrink_to_fit();
        taken
    }

    /// Whether rows of these groups would get the numbers that they had.
    fn agree(&self, taken: &[Taken]) -> bool {
        taken.iter().all(|taken| self.count(taken.group) == taken.before)
    }

    fn skip(&mut self, taken: &[Taken]) {
        taken.iter().for_each(|taken| *self.counts.entry(taken.group).or_default() += taken.n);
    }
}

impl<R: ByRecord> Source for Records<R> {
    fn load(&self, heap: &Heap, out: &mut Out<'_>) -> Result<(), SourceError> {
        let files = self.0.files().list()?;
        let mut reading = Reading::new(self.0.fields());
        let (mut numbers, mut cache) = <(Numbers, R::Cache)>::default();
        let mut rest = self.0.limit();
        for (file, input) in files.iter().enumerate() {
            if rest == 0 {
                break;
            }
            for record in reading.records(input)?.take(rest) {
                let (at, record) = record?;
                let at = At { files: &files, place: Place { file, at } };
                self.take(heap, at, record, &mut reading, (&mut numbers, &mut cache), out)?;
                rest -= 1;
            }
        }
        reading.finish(self.0.files(), &files)
    }

    fn load_after(&self, heap: &Heap, before: &SourceRows, out: &mut Out<'_>) -> Result<Memory, SourceError> {
        let files = self.0.files().list()?;
        let known = before.memory().and_then(|memory| memory.downcast_ref::<Vec<Block>>());
        let again = Again {
            source: self,
            heap,
            files: &files,
            known: known.map_or(&[], Vec::as_slice),
            before,
            numbers: Numbers::default(),
            reading: Reading::new(self.0.fields()),
        };
        match again.read(out)? {
            Some(blocks) => Ok(Some(Box::new(blocks))),
            None => self.load(heap, out).map(|()| None),
        }
    }
}

impl<R: ByRecord> Records<R> {
    fn take(
        &self,
        heap: &Heap,
        at: At<'_>,
        record: Result<Record, String>,
        reading: &mut Reading<'_>,
        memory: (&mut Numbers, &mut R::Cache),
        out: &mut Out<'_>,
    ) -> Result<(), SourceError> {
        let made = match record {
            Ok(record) => {
                reading.note(&record);
                self.0.rows(heap, at, &record, memory, out)?
            }
            Err(detail) => {
                reading.note_malformed(at.place, &detail);
                Err(Flaw { reason: "malformed", detail })
            }
        };
        match made {
            Ok(rows) => reading.note_rows(rows),
            Err(flaw) => {
                reading.note_flaw(at.place, &flaw);
                flaw.reject(&at.written(), out);
            }
        }
        Ok(())
    }
}

/// A reading of files that were read before.
struct Again<'a, R> {
    source: &'a Records<R>,
    heap: &'a Heap,
    files: &'a [InputFile],
    /// The blocks as they were.
    known: &'a [Block],
    /// Their rows.
    before: &'a SourceRows,
    numbers: Numbers,
    reading: Reading<'a>,
}

impl<R: ByRecord> Again<'_, R> {
    /// The blocks as they are now; none, and no row, where a file has no lines.
    fn read(mut self, out: &mut Out<'_>) -> Result<Option<Vec<Block>>, SourceError> {
        let readers = self.files.iter().map(InputFile::blocks);
        let Some(readers) = readers.collect::<Result<Option<Vec<LineBlocks>>, SourceError>>()? else {
            return Ok(None);
        };
        let (mut now, mut kept): (Vec<Block>, Vec<Id>) = Default::default();
        let (mut n_records, mut row, mut rejected) = (0, 0, 0);
        for (file, mut blocks) in readers.into_iter().enumerate() {
            let path = self.files[file].path();
            let failed = |error: Error| refused(path, &error);
            let mut number = 0;
            while let Some(lines) = blocks.next_block().map_err(failed)? {
                let rest = self.source.0.limit() - n_records;
                let known = self.known.get(now.len());
                let rows = row..row + known.map_or(0, |block| block.n_rows);
                let rejects = rejected..rejected + known.map_or(0, |block| block.n_rejected);
                (row, rejected) = (rows.end, rejects.end);
                let digest = lines.digest();
                let same = |block: &&Block| {
                    block.digest == digest
                        && block.stands.1 == number
                        && block.stands.0 == path
                        && block.fits(rest)
                        && self.numbers.agree(&block.taken)
                };
                let block = match known.filter(same) {
                    Some(block) => {
                        self.numbers.skip(&block.taken);
                        self.before.rows()[rows.clone()].iter().for_each(|row| out.again(Some(0), *row));
                        self.before.rejected()[rejects].iter().for_each(|row| out.again(None, *row));
                        kept.extend(self.before.rows()[rows].iter().map(|row| row.id));
                        block.clone()
                    }
                    None => self.parse(&lines, (file, number), digest, rest, out)?,
                };
                self.reading.merge(&block.seen);
                n_records += block.n_records;
                number += 1;
                now.push(block);
            }
        }
        if kept.iter().any(|id| self.numbers.places.contains_key(id)) {
            // A new row has the name of one that was not looked at: reading all of them tells where both stand.
            self.source.load(self.heap, &mut Out::new(self.heap, 0))?;
        }
        self.reading.finish(self.source.0.files(), self.files).map(|()| Some(now))
    }

    /// Makes the rows of at most `limit` records of the block of this number in the `file`.
    fn parse(
        &mut self,
        lines: &LineBlock<'_>,
        (file, number): (usize, usize),
        digest: Id,
        limit: usize,
        out: &mut Out<'_>,
    ) -> Result<Block, SourceError> {
        let input = &self.files[file];
        let mut reading = Reading::new(self.source.0.fields());
        let mut cache = R::Cache::default();
        let mut made = Out::new(self.heap, 0);
        let mut n_records = 0;
        let mut records = input.records_of(lines.lines(input.path()));
        for record in records.by_ref().take(limit) {
            let (at, record) = record?;
            let at = At { files: self.files, place: Place { file, at } };
            let memory = (&mut self.numbers, &mut cache);
            self.source.take(self.heap, at, record, &mut reading, memory, &mut made)?;
            n_records += 1;
        }
        made.rows().iter().for_each(|(port, row)| out.again(Some(*port), *row));
        made.rejected().for_each(|row| out.again(None, row));
        Ok(Block {
            stands: (input.path().to_owned(), number),
            digest,
            n_records,
            is_whole: records.next().is_none(),
            n_rows: made.rows().len(),
            n_rejected: made.rejected().count(),
            taken: self.numbers.take(),
            seen: reading.seen(),
        })
    }
}

#[cfg(test)]
mod tests;
