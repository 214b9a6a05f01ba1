//! Causal attention of each row over the cached positions of its own sequence.
//!
//! Keys and values are the most that a step reads from memory, so queries that see the same blocks go over them together:
//! heads that share a key head, draws of one prompt over that prompt, neighbouring tokens of a prompt over what is before
//! them. Each query's sums run in the same order as they would alone.

use std::ops::Range;

use pulp::Simd;

use crate::paged::{BLOCK, Heads};
use crate::shape::Shape;
use crate::simd::{Kernel, LANES, Lanes, Unit, run};

/// Positions whose weighted values are summed apart, so that their chains of additions run side by side.
const PHASES: usize = 8;

/// Most queries that go over blocks together: 3 x 8 sums fill 24 of the 32 registers of AVX-512.
const TOGETHER: usize = 3;

/// Which position of which sequence a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The sequence, whose blocks the table of this index names.
    pub sequence: usize,
    /// Its position there, from 0.
    pub position: usize,
}

/// The keys and values of one layer.
#[derive(Clone, Copy, Debug)]
pub struct Paged<'a> {
    /// All blocks.
    pub blocks: &'a [f32],
    /// The blocks of each sequence, in order.
    pub tables: &'a [Vec<u32>],
}

/// Attends: each row of `fused` to its own position and those before it, `window` positions at most. `out` has rows of
/// [`Shape::output_len`]; `scores` is scratch.
pub fn attend(
    shape: Shape,
    window: usize,
    rows: &[Place],
    fused: &[f32],
    paged: Paged<'_>,
    scores: &mut Vec<[f32; LANES]>,
    out: &mut [f32],
) {
    let longest = rows.iter().map(|row| row.position + 1).max().unwrap_or(0).div_ceil(BLOCK);
    scores.resize((TOGETHER * longest).max(scores.len()), [0.0; LANES]);
    let Paged { blocks, tables } = paged;
    run(Attend { shape, window, rows, fused, blocks, tables, scores, longest, out });
}

struct Attend<'a> {
    shape: Shape,
    window: usize,
    rows: &'a [Place],
    fused: &'a [f32],
    blocks: &'a [f32],
    tables: &'a [Vec<u32>],
    scores: &'a mut [[f32; LANES]],
    /// Blocks of the longest row.
    longest: usize,
    out: &'a mut [f32],
}

impl Kernel for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(mut self, unit: Unit<S, V>) {
        let Heads { key_value_heads, .. } = self.shape.heads;
        let group = self.shape.query_heads / key_value_heads;
        let limit = if V == 1 { TOGETHER } else { 1 };
        let mut first = 0;
        while first < self.rows.len() {
            let (end, shared) = self.alike(first);
            let queries = (end - first) * group;
            let tiles = queries.div_ceil(limit);
            for head in 0..key_value_heads {
                for t in 0..tiles {
                    let (from, to) = (queries * t / tiles, queries * (t + 1) / tiles);
                    let query = |q: usize| (first + q / group, self.shape.query_head(head, q % group));
                    match to - from {
                        1 => self.tile(unit, head, shared, [query(from)]),
                        2 => self.tile(unit, head, shared, [query(from), query(from + 1)]),
                        _ => self.tile(unit, head, shared, [query(from), query(from + 1), query(from + 2)]),
                    }
                }
            }
            first = end;
        }
    }
}

/// What a row sees.
#[derive(Clone)]
struct View<'a> {
    /// Its blocks, those wholly before the window left out.
    table: &'a [u32],
    /// Positions it sees, counted from the first of these blocks.
    seen: Range<usize>,
}

impl<'a> Attend<'a> {
    #[inline(always)]
    fn view(&self, row: usize) -> View<'a> {
        let Place { sequence, position } = self.rows[row];
        let hidden = (position + 1).saturating_sub(self.window);
        let before = hidden / BLOCK;
        let table = &self.tables[sequence][before..(position + 1).div_ceil(BLOCK)];
        View { table, seen: hidden % BLOCK..position + 1 - before * BLOCK }
    }

    /// The end of a few rows from `first` that begin with the same blocks, and how many whole blocks these are.
    #[inline(always)]
    fn alike(&self, first: usize) -> (usize, usize) {
        let view = self.view(first);
        let (mut end, mut shared) = (first + 1, view.seen.end / BLOCK);
        while end < self.rows.len().min(first + TOGETHER) {
            let other = self.view(end);
            let common = shared.min(other.seen.end / BLOCK);
            let equal = view.table.iter().zip(&other.table[..common]).take_while(|(a, b)| a == b).count();
            if equal == 0 {
                break;
            }
            (end, shared) = (end + 1, equal);
        }
        (end, shared)
    }

    /// Attends with `Q` queries, each (row, query head), to a key head; they begin with the same `shared` whole blocks.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const Q: usize>(
        &mut self,
        unit: Unit<S, V>,
        head: usize,
        shared: usize,
        at: [(usize, usize); Q],
    ) {
        let (shape, dim) = (self.shape, self.shape.heads.head_dim);
        let head = Head { heads: shape.heads, index: head, blocks: self.blocks };
        let queries = at.map(|(row, h)| &self.fused[row * shape.fused_len() + h * dim..][..dim]);
        let views = at.map(|(row, _)| self.view(row));
        let mut rest = &mut *self.scores;
        let mut scores: [&mut [[f32; LANES]]; Q] = std::array::from_fn(|q| {
            let (own, others) = std::mem::take(&mut rest).split_at_mut(self.longest);
            rest = others;
            &mut own[..views[q].table.len()]
        });
        score(unit, head, queries, &views, shared, &mut scores);
        let mut factors = [0.0; Q];
        for q in 0..Q {
            factors[q] = 1.0 / weigh(unit, shape, &views[q].seen, scores[q]);
        }
        for (g, start) in (0..dim).step_by(LANES).enumerate() {
            let sums = average(unit, head, g, &views, shared, &scores, factors);
            let width = LANES.min(dim - start);
            for ((row, h), lanes) in at.into_iter().zip(sums) {
                let to = row * shape.output_len() + h * dim + start;
                self.out[to..to + width].copy_from_slice(&lanes[..width]);
            }
        }
    }
}

/// The cached positions of one key/value head.
#[derive(Clone, Copy)]
struct Head<'a> {
    heads: Heads,
    index: usize,
    blocks: &'a [f32],
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

/// Fills `scores` with `query · key` of all positions of the blocks of each query.
#[inline(always)]
fn score<S: Simd, const V: usize, const Q: usize>(
    unit: Unit<S, V>,
    head: Head<'_>,
    queries: [&[f32]; Q],
    views: &[View<'_>; Q],
    shared: usize,
    scores: &mut [&mut [[f32; LANES]]; Q],
) {
    for (b, &block) in views[0].table[..shared].iter().enumerate() {
        let dots = dot(unit, queries, head.keys(block));
        for q in 0..Q {
            unit.store(dots[q], &mut scores[q][b]);
        }
    }
    for q in 0..Q {
        for (to, &block) in scores[q].iter_mut().zip(views[q].table).skip(shared) {
            let [dot] = dot(unit, [queries[q]], head.keys(block));
            unit.store(dot, to);
        }
    }
}

/// Turns `scores` into `exp(score - largest score)` of each position that is `seen`, zeros elsewhere; returns their sum.
#[inline(always)]
fn weigh<S: Simd, const V: usize>(
    unit: Unit<S, V>,
    shape: Shape,
    seen: &Range<usize>,
    scores: &mut [[f32; LANES]],
) -> f32 {
    let scale = unit.splat(shape.scale);
    for s in scores.iter_mut() {
        unit.store(unit.mul(unit.load(s), scale), s);
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

/// `query · key` of sixteen positions for each query: four chains over the dims, then their sum.
#[inline(always)]
fn dot<S: Simd, const V: usize, const Q: usize>(
    unit: Unit<S, V>,
    queries: [&[f32]; Q],
    keys: &[[f32; LANES]],
) -> [Lanes<S, V>; Q] {
    let mut sums = [[unit.splat(0.0); 4]; Q];
    let (key_quads, key_rest) = keys.as_chunks::<4>();
    let quads: [&[[f32; 4]]; Q] = queries.map(|query| &query.as_chunks::<4>().0[..key_quads.len()]);
    for (at, k) in key_quads.iter().enumerate() {
        for i in 0..4 {
            let key = unit.load(&k[i]);
            for q in 0..Q {
                sums[q][i] = unit.fma(unit.splat(quads[q][at][i]), key, sums[q][i]);
            }
        }
    }
    // Heads are an even number of dims wide.
    if let [k0, k1] = key_rest {
        for q in 0..Q {
            if let [q0, q1] = queries[q].as_chunks::<4>().1 {
                sums[q][0] = unit.fma(unit.splat(*q0), unit.load(k0), sums[q][0]);
                sums[q][1] = unit.fma(unit.splat(*q1), unit.load(k1), sums[q][1]);
            }
        }
    }
    sums.map(|s| unit.add(unit.add(s[0], s[1]), unit.add(s[2], s[3])))
}

/// `factor * sum(weight * value)` of one group of sixteen dims for each query: eight chains over positions, then their sum.
#[inline(always)]
fn average<S: Simd, const V: usize, const Q: usize>(
    unit: Unit<S, V>,
    head: Head<'_>,
    group: usize,
    views: &[View<'_>; Q],
    shared: usize,
    weights: &[&mut [[f32; LANES]]; Q],
    factors: [f32; Q],
) -> [[f32; LANES]; Q] {
    let mut sums = [[unit.splat(0.0); PHASES]; Q];
    for (b, &block) in views[0].table[..shared].iter().enumerate() {
        let weights = std::array::from_fn(|q| &weights[q][b]);
        sums = add_block(unit, sums, weights, head.values(block, group));
    }
    let mut out = [[0.0; LANES]; Q];
    for q in 0..Q {
        let mut sums = [sums[q]];
        let whole = views[q].seen.end / BLOCK;
        let mut blocks = views[q].table.iter().zip(&*weights[q]).skip(shared);
        for (&block, weights) in blocks.by_ref().take(whole - shared) {
            sums = add_block(unit, sums, [weights], head.values(block, group));
        }
        let [mut sums] = sums;
        if let Some((&block, weights)) = blocks.next() {
            sums = add_part(unit, sums, weights, head.values(block, group), views[q].seen.end % BLOCK);
        }
        for half in [4, 2, 1] {
            for i in 0..half {
                sums[i] = unit.add(sums[i], sums[i + half]);
            }
        }
        unit.store(unit.mul(sums[0], unit.splat(factors[q])), &mut out[q]);
    }
    out
}

/// Adds `weight * value` of one block, position p to chain p % 8.
#[inline(always)]
fn add_block<S: Simd, const V: usize, const Q: usize>(
    unit: Unit<S, V>,
    mut sums: [[Lanes<S, V>; PHASES]; Q],
    weights: [&[f32; LANES]; Q],
    values: &[[f32; LANES]],
) -> [[Lanes<S, V>; PHASES]; Q] {
    for (half, values) in values.as_chunks::<PHASES>().0[..LANES / PHASES].iter().enumerate() {
        for i in 0..PHASES {
            let value = unit.load(&values[i]);
            for q in 0..Q {
                let weight = unit.splat(weights[q][half * PHASES + i]);
                sums[q][i] = unit.fma(weight, value, sums[q][i]);
            }
        }
    }
    sums
}

/// The same for a block of which only the first `filled` positions are the sequence's own: the others hold another
/// sequence's numbers and are skipped, not multiplied by zero.
#[inline(always)]
fn add_part<S: Simd, const V: usize>(
    unit: Unit<S, V>,
    mut sums: [Lanes<S, V>; PHASES],
    weights: &[f32; LANES],
    values: &[[f32; LANES]],
    filled: usize,
) -> [Lanes<S, V>; PHASES] {
    let halves = weights.as_chunks::<PHASES>().0.iter().zip(values.as_chunks::<PHASES>().0);
    for (half, (weights, values)) in halves.enumerate() {
        for i in 0..PHASES {
            if half * PHASES + i < filled {
                sums[i] = unit.fma(unit.splat(weights[i]), unit.load(&values[i]), sums[i]);
            }
        }
    }
    sums
}
