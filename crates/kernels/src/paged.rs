//! How keys and values stand in memory: blocks of sixteen positions, stored the way attention reads them.
//!
//! A block of one layer is `keys, then values`. Keys are `[head][dim][position]`, so scores of sixteen positions are one chain of
//! vector steps; values are `[head][dim / 16][position][dim % 16]`. The CPU and a GPU share the layout.

use crate::simd::LANES;

/// Positions in a block.
pub const BLOCK: usize = LANES;

/// Extents of the key and value heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Heads of keys, and of values.
    pub key_value_heads: usize,
    /// Channels of a head; an even number.
    pub head_dim: usize,
}

impl Heads {
    /// f32 of the keys of one head in one block.
    pub fn key_len(self) -> usize {
        self.head_dim * BLOCK
    }

    /// f32 of the values of one head in one block; the dims are padded to whole lanes.
    pub fn value_len(self) -> usize {
        self.head_dim.next_multiple_of(LANES) * BLOCK
    }

    /// f32 of one block of one layer.
    pub fn block_len(self) -> usize {
        self.key_value_heads * (self.key_len() + self.value_len())
    }
}

/// Stores the key and the value (all heads, each head_dim wide) of the position `slot` (0 to 15) of `block`.
pub fn write(heads: Heads, block: &mut [f32], slot: usize, key: &[f32], value: &[f32]) {
    let (keys, values) = block.split_at_mut(heads.key_value_heads * heads.key_len());
    for (to, &x) in keys.chunks_exact_mut(BLOCK).zip(key) {
        to[slot] = x;
    }
    for (to, head) in values.chunks_exact_mut(heads.value_len()).zip(value.chunks_exact(heads.head_dim)) {
        for (to, dims) in to.chunks_exact_mut(BLOCK * LANES).zip(head.chunks(LANES)) {
            to[slot * LANES..][..dims.len()].copy_from_slice(dims);
        }
    }
}
