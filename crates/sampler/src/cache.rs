//! Keys and values of the positions read so far, in blocks of sixteen positions that sequences can share.

use flow_kernels::{BLOCK, Heads, Paged, write};

use crate::pages::{Pages, Sequence};

/// The keys and values of one worker, in main memory.
pub(crate) struct Cache {
    heads: Heads,
    /// One array of blocks per layer.
    layers: Vec<Vec<f32>>,
    pub(crate) pages: Pages,
}

impl Cache {
    pub(crate) fn new(layers: usize, heads: Heads) -> Self {
        Self { heads, layers: vec![Vec::new(); layers], pages: Pages::default() }
    }

    /// All blocks of a layer, and where each sequence has its own.
    pub(crate) fn layer(&self, layer: usize) -> Paged<'_> {
        Paged { blocks: &self.layers[layer], tables: self.pages.tables() }
    }

    /// Makes room for `positions` positions in `sequence`.
    pub(crate) fn reserve(&mut self, sequence: Sequence, positions: usize) {
        self.pages.reserve(sequence, positions);
        self.grow();
    }

    /// A new sequence that begins with the first `positions` positions of `parent`.
    pub(crate) fn fork(&mut self, parent: Sequence, positions: usize) -> Sequence {
        let (child, copied) = self.pages.fork(parent, positions);
        self.grow();
        let len = self.heads.block_len();
        for (layer, copied) in self.layers.iter_mut().zip(copied.into_iter().cycle()) {
            let (from, to) = (copied.from as usize * len, copied.to as usize * len);
            layer.copy_within(from..from + len, to);
        }
        child
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
        let (len, block) = (self.heads.block_len(), self.pages.tables()[sequence][position / BLOCK] as usize);
        write(self.heads, &mut self.layers[layer][block * len..][..len], position % BLOCK, key, value);
    }

    /// Has memory for all blocks that were ever in use.
    fn grow(&mut self) {
        let len = self.pages.most() * self.heads.block_len();
        if self.layers.first().is_some_and(|layer| layer.len() < len) {
            self.layers.iter_mut().for_each(|layer| layer.resize(len, 0.0));
        }
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
        let parent = cache.pages.open();
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
        assert_eq!(cache.pages.most(), 4, "one block shared, one copied, one more of the parent");
    }

    #[test]
    fn closed_sequences_give_their_blocks_back_once() {
        let mut cache = Cache::new(1, HEADS);
        let parent = cache.pages.open();
        fill(&mut cache, parent, 0..32);
        let children: Vec<_> = (0..3).map(|_| cache.fork(parent, 32)).collect();
        cache.pages.close(parent);
        assert_eq!(cache.pages.used(), 2);
        children.into_iter().for_each(|c| cache.pages.close(c));
        assert_eq!(cache.pages.used(), 0);
        let next = cache.pages.open();
        cache.reserve(next, 32);
        assert_eq!(cache.pages.most(), 2);
    }
}
