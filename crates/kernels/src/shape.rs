//! The extents attention needs, and where queries, keys and values stand in a row of the fused projection.

use crate::matmul::padded;
use crate::paged::Heads;

/// What attention of one layer is, whatever the layer.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Of all attentions of a layer.
    pub query_heads: usize,
    /// Attentions of a layer, the query heads of one after those of another.
    pub attentions: usize,
    /// Attentions that read the same keys and values, each with its share of the query heads; 1 unless they share.
    pub readers: usize,
    /// Keys and values of all attentions of a layer.
    pub heads: Heads,
    /// What scores are multiplied by.
    pub scale: f32,
    /// What scores are then bent to stay below.
    pub cap: Option<f32>,
    /// What queries, keys and values are held below.
    pub clip: Option<f32>,
}

impl Shape {
    /// Queries of all heads.
    pub fn query_len(self) -> usize {
        self.query_heads * self.heads.head_dim
    }

    /// Which query head is the `q`-th that reads key head `key`.
    #[inline]
    pub fn query_head(self, key: usize, q: usize) -> usize {
        let own = self.query_heads / self.readers;
        let group = own / self.heads.key_value_heads;
        q / group * own + key * group + q % group
    }

    /// Keys of all heads.
    pub fn key_value_len(self) -> usize {
        self.heads.key_value_heads * self.heads.head_dim
    }

    /// Length of a fused row: queries, keys, values, each padded.
    pub fn fused_len(self) -> usize {
        padded(self.query_len()) + 2 * padded(self.key_value_len())
    }

    /// Length of an output row, padded.
    pub fn output_len(self) -> usize {
        padded(self.query_len())
    }

    /// Queries, keys and values of a fused row.
    pub fn split(self, row: &mut [f32]) -> (&mut [f32], &mut [f32], &mut [f32]) {
        let (query, rest) = row.split_at_mut(padded(self.query_len()));
        let (key, value) = rest.split_at_mut(padded(self.key_value_len()));
        (&mut query[..self.query_len()], &mut key[..self.key_value_len()], &mut value[..self.key_value_len()])
    }
}
