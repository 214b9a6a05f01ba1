//! Causal attention of each row over the cached positions of its own sequence.

use pulp::Simd;

use crate::cache::{BLOCK, Cache, Heads};
use crate::forward::Row;
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

/// Rotates queries and keys of all `rows` of `fused` and stores keys and values in the cache.
pub(crate) fn place(
    shape: Shape,
    rotary: &Rotary,
    rows: &[Row],
    layer: usize,
    fused: &mut [f32],
    cache: &mut Cache,
) {
    for (row, fused) in rows.iter().zip(fused.chunks_exact_mut(shape.fused_len())) {
        let (query, key, value) = shape.split(fused);
        rotary.rotate(row.position, query);
        rotary.rotate(row.position, key);
        cache.write(layer, row.sequence, row.position, key, value);
    }
}

/// Attends: each row to positions 0 to its own. `scores` is scratch.
pub(crate) fn attend(
    shape: Shape,
    rows: &[Row],
    layer: usize,
    fused: &[f32],
    cache: &Cache,
    scores: &mut Vec<[f32; LANES]>,
    out: &mut [f32],
) {
    let longest = rows.iter().map(|row| row.position + 1).max().unwrap_or(0);
    scores.resize(longest.div_ceil(BLOCK).max(scores.len()), [0.0; LANES]);
    let (blocks, tables) = cache.layer(layer);
    run(Attend { shape, rows, fused, blocks, tables, scores, out });
}

struct Attend<'a> {
    shape: Shape,
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
        let Self { shape, rows, fused, blocks, tables, scores, out } = self;
        let Heads { key_value_heads, head_dim } = shape.heads;
        let group = shape.query_heads / key_value_heads;
        let scale = 1.0 / (head_dim as f32).sqrt();
        let fused = fused.chunks_exact(shape.fused_len());
        for ((row, fused), out) in rows.iter().zip(fused).zip(out.chunks_exact_mut(shape.output_len())) {
            let positions = row.position + 1;
            let table = &tables[row.sequence][..positions.div_ceil(BLOCK)];
            let scores = &mut scores[..table.len()];
            let heads = fused.chunks_exact(head_dim).zip(out.chunks_exact_mut(head_dim));
            for (h, (query, out)) in heads.take(shape.query_heads).enumerate() {
                let head = Head { heads: shape.heads, index: h / group, blocks, table };
                let total = weigh(unit, head, query, scale, positions, scores);
                average(unit, head, positions, scores, 1.0 / total, out);
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

/// Fills `scores` with `exp(score - largest score)` of each position, zeros beyond the last; returns their sum.
#[inline(always)]
fn weigh<S: Simd, const V: usize>(
    unit: Unit<S, V>,
    head: Head<'_>,
    query: &[f32],
    scale: f32,
    positions: usize,
    scores: &mut [[f32; LANES]],
) -> f32 {
    let scale = unit.splat(scale);
    for (to, &block) in scores.iter_mut().zip(head.table) {
        unit.store(unit.mul(dot(unit, query, head.keys(block)), scale), to);
    }
    if let Some(last) = scores.last_mut() {
        last[(positions - 1) % BLOCK + 1..].fill(f32::MIN);
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
