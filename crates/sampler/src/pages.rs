//! Which blocks of the cache hold which positions of which sequence, wherever the keys and values themselves are.
//!
//! Draws from one prompt share its full blocks and copy only the last, part-filled one.

use flow_kernels::BLOCK;

/// Names a sequence in [`Pages`].
pub(crate) type Sequence = usize;

/// The blocks of all sequences of one worker: one per sixteen positions of each open sequence, shared ones once.
#[derive(Default)]
pub(crate) struct Pages {
    /// How many sequences use each block.
    users: Vec<u32>,
    free_blocks: Vec<u32>,
    /// Blocks of each sequence, in order.
    tables: Vec<Vec<u32>>,
    free_sequences: Vec<Sequence>,
}

/// A block whose contents another is to begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    pub(crate) from: u32,
    pub(crate) to: u32,
}

impl Pages {
    /// Blocks in use, shared ones counted once.
    pub(crate) fn used(&self) -> usize {
        self.users.len() - self.free_blocks.len()
    }

    /// Most blocks that were in use at a time; all blocks are below this number.
    pub(crate) fn most(&self) -> usize {
        self.users.len()
    }

    /// Blocks that `sequence` has yet to take to hold `positions` positions.
    pub(crate) fn missing(&self, sequence: Sequence, positions: usize) -> usize {
        positions.div_ceil(BLOCK).saturating_sub(self.tables[sequence].len())
    }

    /// The blocks of each sequence.
    pub(crate) fn tables(&self) -> &[Vec<u32>] {
        &self.tables
    }

    /// A new sequence without positions.
    pub(crate) fn open(&mut self) -> Sequence {
        self.free_sequences.pop().unwrap_or_else(|| {
            self.tables.push(Vec::new());
            self.tables.len() - 1
        })
    }

    /// Makes room for `positions` positions in `sequence`.
    pub(crate) fn reserve(&mut self, sequence: Sequence, positions: usize) {
        while self.tables[sequence].len() * BLOCK < positions {
            let block = self.take_block();
            self.tables[sequence].push(block);
        }
    }

    /// A new sequence that begins with the first `positions` positions of `parent`, and what is to be copied for that.
    pub(crate) fn fork(&mut self, parent: Sequence, positions: usize) -> (Sequence, Option<Copied>) {
        let child = self.open();
        for i in 0..positions / BLOCK {
            let block = self.tables[parent][i];
            self.users[block as usize] += 1;
            self.tables[child].push(block);
        }
        if positions.is_multiple_of(BLOCK) {
            return (child, None);
        }
        self.reserve(child, positions);
        let [from, to] = [parent, child].map(|sequence| self.tables[sequence][positions / BLOCK]);
        (child, Some(Copied { from, to }))
    }

    /// Forgets `sequence`; blocks nobody else uses become free.
    pub(crate) fn close(&mut self, sequence: Sequence) {
        for block in self.tables[sequence].drain(..) {
            self.users[block as usize] -= 1;
            if self.users[block as usize] == 0 {
                self.free_blocks.push(block);
            }
        }
        self.free_sequences.push(sequence);
    }

    fn take_block(&mut self) -> u32 {
        let block = self.free_blocks.pop().unwrap_or_else(|| {
            self.users.push(0);
            u32::try_from(self.users.len() - 1).expect("memory holds fewer than 2^32 blocks")
        });
        self.users[block as usize] = 1;
        block
    }
}
