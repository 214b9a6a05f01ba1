//! Keys and values of the positions read so far, in blocks of sixteen positions that sequences can share.
//!
//! Draws from one prompt share its full blocks and copy only the last, part-filled one.

use flow_kernels::{BLOCK, Heads, Paged, write};

/// Names a sequence in a [`Cache`].
pub(crate) type Sequence = usize;

/// All sequences of one worker. Keeps one block per sixteen positions of each open sequence, shared ones once.
pub(crate) struct Cache {
    heads: Heads,
    /// One array of blocks per layer.
    layers: Vec<Vec<f32>>,
    /// How many sequences use each block.
    users: Vec<u32>,
    free_blocks: Vec<u32>,
    /// Blocks of each sequence, in order.
    tables: Vec<Vec<u32>>,
    free_sequences: Vec<Sequence>,
}

impl Cache {
    pub(crate) fn new(layers: usize, heads: Heads) -> Self {
        Self {
            heads,
            layers: vec![Vec::new(); layers],
            users: Vec::new(),
            free_blocks: Vec::new(),
            tables: Vec::new(),
            free_sequences: Vec::new(),
        }
    }

    /// Blocks in use, shared ones counted once.
    pub(crate) fn used(&self) -> usize {
        self.users.len() - self.free_blocks.len()
    }

    /// Most blocks that were in use at a time.
    pub(crate) fn most(&self) -> usize {
        self.users.len()
    }

    /// Blocks that `sequence` has yet to take to hold `positions` positions.
    pub(crate) fn missing(&self, sequence: Sequence, positions: usize) -> usize {
        positions.div_ceil(BLOCK).saturating_sub(self.tables[sequence].len())
    }

    /// All blocks of a layer, and where each sequence has its own.
    pub(crate) fn layer(&self, layer: usize) -> Paged<'_> {
        Paged { blocks: &self.layers[layer], tables: &self.tables }
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

    /// A new sequence that begins with the first `positions` positions of `parent`.
    pub(crate) fn fork(&mut self, parent: Sequence, positions: usize) -> Sequence {
        let child = self.open();
        for i in 0..positions / BLOCK {
            let block = self.tables[parent][i];
            self.users[block as usize] += 1;
            self.tables[child].push(block);
        }
        if !positions.is_multiple_of(BLOCK) {
            self.reserve(child, positions);
            let (from, to) = (self.tables[parent][positions / BLOCK], self.tables[child][positions / BLOCK]);
            let len = self.heads.block_len();
            for layer in &mut self.layers {
                layer.copy_within(from as usize * len..(from as usize + 1) * len, to as usize * len);
            }
        }
        child
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

    /// Stores the key and the value (all heads, each head_dim wide) of `position` of `sequence` in `layer`.
    pub(crate) fn write(
        &mut self,
        layer: usize,
        sequence: Sequence,
        position: usize,
        key: &[f32],
        value: &[f32],
    ) {
        let (len, block) = (self.heads.block_len(), self.tables[sequence][position / BLOCK] as usize);
        write(self.heads, &mut self.layers[layer][block * len..][..len], position % BLOCK, key, value);
    }

    fn take_block(&mut self) -> u32 {
        let block = self.free_blocks.pop().unwrap_or_else(|| {
            let block = self.users.len();
            for layer in &mut self.layers {
                layer.resize((block + 1) * self.heads.block_len(), 0.0);
            }
            self.users.push(0);
            u32::try_from(block).expect("memory holds fewer than 2^32 blocks")
        });
        self.users[block as usize] = 1;
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADS: Heads = Heads { key_value_heads: 2, head_dim: 4 };

    fn fill(cache: &mut Cache, sequence: Sequence, positions: std::ops::Range<usize>) {
        for p in positions {
            cache.reserve(sequence, p + 1);
            let row: Vec<f32> = (0..8).map(|i| (p * 100 + i) as f32).collect();
            cache.write(0, sequence, p, &row, &row);
        }
    }

    /// Reads back (key, value) of head 1, dim 2.
    fn read(cache: &Cache, sequence: Sequence, p: usize) -> (f32, f32) {
        let Paged { blocks, tables } = cache.layer(0);
        let block = &blocks[tables[sequence][p / BLOCK] as usize * HEADS.block_len()..];
        let value = 2 * HEADS.key_len() + HEADS.value_len() + p % BLOCK * BLOCK + 2;
        (block[HEADS.key_len() + 2 * BLOCK + p % BLOCK], block[value])
    }

    #[test]
    fn a_fork_shares_whole_blocks_and_owns_the_rest() {
        let mut cache = Cache::new(1, HEADS);
        let parent = cache.open();
        fill(&mut cache, parent, 0..20);
        let child = cache.fork(parent, 20);
        cache.write(0, child, 20, &[-1.0; 8], &[-2.0; 8]);
        fill(&mut cache, parent, 20..40);
        for p in 0..20 {
            let expected = (p * 100 + 6) as f32;
            assert_eq!(read(&cache, child, p), (expected, expected));
        }
        assert_eq!(read(&cache, child, 20), (-1.0, -2.0));
        assert_eq!(read(&cache, parent, 20), (2006.0, 2006.0));
        assert_eq!(cache.users.len(), 4, "one block shared, one copied, one more of the parent");
    }

    #[test]
    fn closed_sequences_give_their_blocks_back_once() {
        let mut cache = Cache::new(1, HEADS);
        let parent = cache.open();
        fill(&mut cache, parent, 0..32);
        let children: Vec<_> = (0..3).map(|_| cache.fork(parent, 32)).collect();
        cache.close(parent);
        assert!(cache.free_blocks.is_empty());
        children.into_iter().for_each(|c| cache.close(c));
        assert_eq!(cache.free_blocks.len(), 2);
        let next = cache.open();
        cache.reserve(next, 32);
        assert_eq!(cache.users.len(), 2);
    }
}
