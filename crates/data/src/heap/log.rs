//! An append-only log of entries in blocks; older blocks may lie in a file.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes of a block; one longer entry has a block of its own.
const BLOCK: usize = 1 << OFFSET_BITS;
const OFFSET_BITS: u32 = 18;
/// Read at once from the file: most entries are shorter.
const GUESS: usize = 512;
const LEN: usize = size_of::<u32>();

/// A file for the blocks that memory does not hold, shared by all logs of a heap.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    next: AtomicU64,
    /// Finished blocks that each log keeps in memory.
    n_kept: usize,
}

impl Spill {
    /// Blocks go to `file`, from its start.
    pub(super) fn new(file: File, n_kept: usize) -> Self {
        Self { file, next: AtomicU64::new(0), n_kept }
    }

    /// The number of blocks that lets `n_logs` logs hold about `bytes` in memory.
    pub(super) fn blocks(bytes: usize, n_logs: usize) -> usize {
        bytes / n_logs / BLOCK
    }
}

/// Entries by place, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Log {
    blocks: Vec<Block>,
    /// Blocks before this one are in the file.
    n_spilled: usize,
}

#[derive(Debug)]
enum Block {
    Memory(Vec<u8>),
    File { start: u64, len: usize },
}

impl Log {
    /// Appends an entry and returns its place, below 2^50.
    pub(super) fn append(&mut self, entry: &[u8], spill: Option<&Spill>) -> u64 {
        let full = |block: &Block| match block {
            Block::Memory(bytes) => !bytes.is_empty() && bytes.len() + LEN + entry.len() > BLOCK,
            Block::File { .. } => true,
        };
        if self.blocks.last().is_none_or(full) {
            self.begin(spill);
        }
        let at = self.blocks.len() - 1;
        let Some(Block::Memory(bytes)) = self.blocks.last_mut() else {
            unreachable!("the last block has just been begun or is not full");
        };
        let offset = bytes.len();
        let len = u32::try_from(entry.len()).expect("a row holds less than 4 GiB: readers bound it");
        bytes.extend(len.to_le_bytes());
        bytes.extend(entry);
        (at as u64) << OFFSET_BITS | offset as u64
    }

    /// Begins a block. A block that cannot be written to the file stays in memory.
    fn begin(&mut self, spill: Option<&Spill>) {
        // The first block grows as it is filled: most logs are small.
        let capacity = if self.blocks.is_empty() { 0 } else { BLOCK };
        self.blocks.push(Block::Memory(Vec::with_capacity(capacity)));
        let Some(spill) = spill.filter(|spill| self.blocks.len() - self.n_spilled > spill.n_kept + 1) else {
            return;
        };
        let oldest = &mut self.blocks[self.n_spilled];
        if let Block::Memory(bytes) = oldest {
            let start = spill.next.fetch_add(bytes.len() as u64, Relaxed);
            if spill.file.write_all_at(bytes, start).is_ok() {
                *oldest = Block::File { start, len: bytes.len() };
            }
        }
        self.n_spilled += 1;
    }

    /// Memory taken.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |block: &Block| match block {
            Block::Memory(bytes) => bytes.capacity(),
            Block::File { .. } => 0,
        };
        self.blocks.iter().map(bytes).sum()
    }

    /// The entry at `place`, or at least its first `least` bytes. Errs when the file cannot be read.
    pub(super) fn read(&self, place: u64, least: usize, spill: Option<&Spill>) -> io::Result<Cow<'_, [u8]>> {
        let offset = place as usize & (BLOCK - 1);
        match &self.blocks[(place >> OFFSET_BITS) as usize] {
            Block::Memory(bytes) => Ok(Cow::Borrowed(&bytes[offset + LEN..][..len(&bytes[offset..])])),
            Block::File { start, len } => {
                let spill = spill.expect("blocks are in the file of the heap that reads them");
                from_file(&spill.file, start + offset as u64, len - offset, least).map(Cow::Owned)
            }
        }
    }
}

/// The entry at `start` of a file whose block goes on for `rest` bytes.
fn from_file(file: &File, start: u64, rest: usize, least: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; rest.min(GUESS.min(LEN.saturating_add(least)))];
    file.read_exact_at(&mut bytes, start)?;
    let end = LEN + len(&bytes).min(least);
    let read = bytes.len();
    bytes.resize(end, 0);
    if end > read {
        file.read_exact_at(&mut bytes[read..], start + read as u64)?;
    }
    bytes.drain(..LEN);
    Ok(bytes)
}

fn len(bytes: &[u8]) -> usize {
    u32::from_le_bytes(bytes[..LEN].try_into().expect("a slice of as many bytes as a length has")) as usize
}
