//! Causal attention of each row over the cached positions of its own sequence.

use std::ops::Range;

use pulp::Simd;

use crate::cache::{BLOCK, Cache, Heads};
use crate::forward::Row;
use crate::layers::rms_norm_parts;
use crate::matmul::padded;
use crate::rotary::Rotary;
use crate::simd::{Kernel, LANES, Lanes, Unit, run};

/// Positions whose weighted values are summed apart, so that their chains of additions run side by side.
const PHASES: usize = 8;

/// The extents attention needs, and where queries, keys and values stand in a row of the fused projection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub(crate) query_heads: usize,
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
    fn query_len(self) -> usize {
        self.query_heads * self.heads.head_dim
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

/// Attends: each row to its own position and those before it, as far as the window reaches. `scores` is scratch.
pub(crate) fn attend(
    shape: Shape,
    sight: &Sight,
    rows: &[Row],
    fused: &[f32],
    cache: &Cache,
    scores: &mut Vec<[f32; LANES]>,
    out: &mut [f32],
) {
    let longest = rows.iter().map(|row| row.position + 1).max().unwrap_or(0);
    scores.resize(longest.div_ceil(BLOCK).max(scores.len()), [0.0; LANES]);
    let (blocks, tables) = cache.layer(sight.layer);
    run(Attend { shape, window: sight.window, rows, fused, blocks, tables, scores, out });
}

struct Attend<'a> {
    shape: Shape,
    window: usize,
    rows: &'a [Row],
    fused: &'a [f32],
    blocks: &'a [f32],
    tables: &'a [Vec<u32>],
    scores: &'a mut [[f32; LANES]],
    out: &'a mut [f32],
}

impl Kernel for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) {
        let Self { shape, window, rows, fused, blocks, tables, scores, out } = self;
        let Heads { key_value_heads, head_dim } = shape.heads;
        let group = shape.query_heads / key_value_heads;
        let fused = fused.chunks_exact(shape.fused_len());
        for ((row, fused), out) in rows.iter().zip(fused).zip(out.chunks_exact_mut(shape.output_len())) {
            // Blocks wholly before the window are left out; positions count from the first block that is not.
            let hidden = (row.position + 1).saturating_sub(window);
            let before = hidden / BLOCK;
            let seen = hidden % BLOCK..row.position + 1 - before * BLOCK;
            let table = &tables[row.sequence][before..(row.position + 1).div_ceil(BLOCK)];
            let scores = &mut scores[..table.len()];
            let heads = fused.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim));
            for (h, (query, out)) in heads.take(shape.query_heads).enumerate() {
                let head = Head { heads: shape.heads, index: h / group, blocks, table };
                let total = weigh(unit, head, query, shape, &seen, scores);
                average(unit, head, seen.end, scores, 1.0 / total, out);
            }
        }
    }
}

/// The cached positions of one key/value head of one sequence.
#[derive(Clone, Copy)]
struct Head<'a> {
    heads: Heads,
    index: usize,
    blocks: &'a [f32],
    table: &'a [u32],
}

impl<'a> Head<'a> {
    /// Keys of a block: one `[position]` per dim.
    #[inline(always)]
    fn keys(self, block: u32) -> &'a [[f32; LANES]] {
        let start = block as usize * self.heads.block_len() + self.index * self.heads.key_len();
        self.blocks[start..][..self.heads.key_len()].as_chunks().0
    }

    /// Values of a block for one group of sixteen dims: one `[dim]` per position.
    #[inline(always)]
    fn values(self, block: u32, group: usize) -> &'a [[f32; LANES]] {
        let keys = self.heads.key_value_heads * self.heads.key_len();
        let head = keys + self.index * self.heads.value_len();
        let start = block as usize * self.heads.block_len() + head + group * BLOCK * LANES;
        self.blocks[start..][..BLOCK * LANES].as_chunks().0
    }
}

/// Fills `scores` with `exp(score - largest score)` of each position that is `seen`, zeros elsewhere; returns their sum.
#[inline(always)]
fn weigh<S: Simd, const V: usize>(
    unit: Unit<S, V>,
    head: Head<'_>,
    query: &[f32],
    shape: Shape,
    seen: &Range<usize>,
    scores: &mut [[f32; LANES]],
) -> f32 {
    let scale = unit.splat(shape.scale);
    for (to, &block) in scores.iter_mut().zip(head.table) {
        unit.store(unit.mul(dot(unit, query, head.keys(block)), scale), to);
    }
    if let Some(cap) = shape.cap {
        for s in scores.iter_mut() {
            unit.store(unit.soft_cap(unit.load(s), cap), s);
        }
    }
    if let Some(last) = scores.last_mut() {
        last[(seen.end - 1) % BLOCK + 1..].fill(f32::MIN);
    }
    if let Some(first) = scores.first_mut() {
        first[..seen.start].fill(f32::MIN);
    }
    let mut top = unit.splat(f32::MIN);
    for s in scores.iter() {
        top = unit.max(top, unit.load(s));
    }
    let top = unit.splat(unit.largest(top));
    let mut total = unit.splat(0.0);
    for s in scores {
        let weight = unit.exp(unit.sub(unit.load(s), top));
        total = unit.add(total, weight);
        unit.store(weight, s);
    }
    unit.total(total)
}

/// `query · key` of sixteen positions: four chains over the dims, then their sum.
#[inline(always)]
fn dot<S: Simd, const V: usize>(unit: Unit<S, V>, query: &[f32], keys: &[[f32; LANES]]) -> Lanes<S, V> {
    let mut sums = [unit.splat(0.0); 4];
    let ((quads, rest), (key_quads, key_rest)) = (query.as_chunks::<4>(), keys.as_chunks::<4>());
    for (q, k) in quads.iter().zip(key_quads) {
        for i in 0..4 {
            sums[i] = unit.fma(unit.splat(q[i]), unit.load(&k[i]), sums[i]);
        }
    }
    // Heads are an even number of dims wide.
    if let ([q0, q1], [k0, k1]) = (rest, key_rest) {
        sums[0] = unit.fma(unit.splat(*q0), unit.load(k0), sums[0]);
        sums[1] = unit.fma(unit.splat(*q1), unit.load(k1), sums[1]);
    }
    unit.add(unit.add(sums[0], sums[1]), unit.add(sums[2], sums[3]))
}

/// `out = factor * sum(weight * value)` over the positions: eight chains, then their sum.
#[inline(always)]
fn average<S: Simd, const V: usize>(
    unit: Unit<S, V>,
    head: Head<'_>,
    positions: usize,
    weights: &[[f32; LANES]],
    factor: f32,
    out: &mut [f32],
) {
    for (group, out) in out.chunks_mut(LANES).enumerate() {
        let mut sums = [unit.splat(0.0); PHASES];
        let mut blocks = head.table.iter().zip(weights);
        for (&block, weights) in blocks.by_ref().take(positions / BLOCK) {
            sums = add_block::<S, V, false>(unit, sums, weights, head.values(block, group), BLOCK);
        }
        if let Some((&block, weights)) = blocks.next() {
            let filled = positions % BLOCK;
            sums = add_block::<S, V, true>(unit, sums, weights, head.values(block, group), filled);
        }
        for half in [4, 2, 1] {
            for i in 0..half {
                sums[i] = unit.add(sums[i], sums[i + half]);
            }
        }
        let mut lanes = [0.0; LANES];
        unit.store(unit.mul(sums[0], unit.splat(factor)), &mut lanes);
        out.copy_from_slice(&lanes[..out.len()]);
    }
}

/// Adds `weight * value` of one block, position p to chain p % 8; of a part-filled block only the first `filled`:
/// the others hold another sequence's numbers and are skipped, not multiplied by zero.
#[inline(always)]
fn add_block<S: Simd, const V: usize, const PART: bool>(
    unit: Unit<S, V>,
    mut sums: [Lanes<S, V>; PHASES],
    weights: &[f32; LANES],
    values: &[[f32; LANES]],
    filled: usize,
) -> [Lanes<S, V>; PHASES] {
    let halves = weights.as_chunks::<PHASES>().0.iter().zip(values.as_chunks::<PHASES>().0);
    for (half, (weights, values)) in halves.enumerate() {
        for i in 0..PHASES {
            if !PART || half * PHASES + i < filled {
                sums[i] = unit.fma(unit.splat(weights[i]), unit.load(&values[i]), sums[i]);
            }
        }
    }
    sums
}
