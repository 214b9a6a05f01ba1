//! What attention reads: queries, keys and values in a row of the fused projection, and how they come into the cache.

use crate::cache::{Cache, Heads};
use crate::forward::Row;
use crate::layers::rms_norm_parts;
use crate::matmul::padded;
use crate::rotary::Rotary;

/// The extents attention needs, and where queries, keys and values stand in a row of the fused projection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Of all attentions of a layer.
    pub(crate) query_heads: usize,
    /// Attentions of a layer, the query heads of one after those of another.
    pub(crate) attentions: usize,
    /// Attentions that read the same keys and values, each with its share of the query heads; 1 unless they share.
    pub(crate) readers: usize,
    /// Keys and values of all attentions of a layer.
    pub(crate) heads: Heads,
    /// What scores are multiplied by.
    pub(crate) scale: f32,
    /// What scores are then bent to stay below.
    pub(crate) cap: Option<f32>,
    /// What queries, keys and values are held below.
    pub(crate) clip: Option<f32>,
}

/// What layers differ in.
pub(crate) struct Sight {
    /// Which layer of the cache is its own.
    pub(crate) layer: usize,
    /// Which of the model's rotary positions turn it.
    pub(crate) rotary: usize,
    /// Positions a row sees, its own included.
    pub(crate) window: usize,
    /// RMSNorms of queries and keys, whose parts are as long as their scale.
    pub(crate) norms: Option<QkNorms>,
}

/// RMSNorms of queries and keys.
pub(crate) struct QkNorms {
    pub(crate) query: Vec<f32>,
    pub(crate) key: Vec<f32>,
    pub(crate) eps: f32,
}

impl Shape {
    /// Queries of all heads.
    pub(crate) fn query_len(self) -> usize {
        self.query_heads * self.heads.head_dim
    }

    /// Which query head is the `q`-th that reads key head `key`.
    #[inline(always)]
    pub(crate) fn query_head(self, key: usize, q: usize) -> usize {
        let own = self.query_heads / self.readers;
        let group = own / self.heads.key_value_heads;
        q / group * own + key * group + q % group
    }

    fn key_value_len(self) -> usize {
        self.heads.key_value_heads * self.heads.head_dim
    }

    /// Length of a fused row: queries, keys, values, each padded.
    pub(crate) fn fused_len(self) -> usize {
        padded(self.query_len()) + 2 * padded(self.key_value_len())
    }

    /// Length of an output row, padded.
    pub(crate) fn output_len(self) -> usize {
        padded(self.query_len())
    }

    fn split(self, row: &mut [f32]) -> (&mut [f32], &mut [f32], &mut [f32]) {
        let (query, rest) = row.split_at_mut(padded(self.query_len()));
        let (key, value) = rest.split_at_mut(padded(self.key_value_len()));
        (&mut query[..self.query_len()], &mut key[..self.key_value_len()], &mut value[..self.key_value_len()])
    }
}

/// Norms and rotates queries and keys of all `rows` of `fused` and stores keys and values in the cache.
pub(crate) fn place(
    shape: Shape,
    sight: &Sight,
    rotary: &Rotary,
    rows: &[Row],
    fused: &mut [f32],
    cache: &mut Cache,
) {
    for (row, fused) in rows.iter().zip(fused.chunks_exact_mut(shape.fused_len())) {
        let (query, key, value) = shape.split(fused);
        if let Some(QkNorms { query: query_scale, key: key_scale, eps }) = &sight.norms {
            rms_norm_parts(query, query_scale, *eps);
            rms_norm_parts(key, key_scale, *eps);
        }
        if let Some(clip) = shape.clip {
            let all = query.iter_mut().chain(&mut *key).chain(&mut *value);
            all.for_each(|x| *x = x.clamp(-clip, clip));
        }
        rotary.rotate(row.position, row.span, query);
        rotary.rotate(row.position, row.span, key);
        cache.write(sight.layer, row.sequence, row.position, key, value);
    }
}
