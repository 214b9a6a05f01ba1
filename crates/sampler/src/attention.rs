//! How queries, keys and values come from a row of the fused projection to where attention reads them.

use flow_kernels::{Shape, rms_norm_parts};

use crate::cache::Cache;
use crate::forward::Row;
use crate::rotary::Rotary;

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
