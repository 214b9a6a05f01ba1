//! One pass over a set of rows on a device: the loops of [`crate::forward`] as launches.

use std::sync::MutexGuard;

use flow_kernels::gpu::{Buffer, DeviceError, Gpu, Scores, Seen};
use flow_kernels::{Choice, Pick, padded};

use super::feed::{Rows, all, feed_add};
use super::scratch::{Attention, Stream};
use super::{SCORES, Scale, State};
use crate::forward::Row;
use crate::pages::{Copied, Pages, Sequence};
use crate::pass::Pass;
use crate::rotary::Rotary;
use crate::weights::{FeedForward, Weights};

/// A model on a device with the sequences of one call.
pub(crate) struct OnGpu<'a> {
    weights: &'a Weights,
    state: MutexGuard<'a, State>,
    pages: Pages,
    /// Blocks of each layer's cache.
    blocks: usize,
    /// Blocks that begin with what others hold, copied all at once before they are read.
    copies: Vec<Copied>,
}

impl<'a> OnGpu<'a> {
    pub(super) fn new(
        weights: &'a Weights,
        mut state: MutexGuard<'a, State>,
        blocks: usize,
    ) -> Result<Self, DeviceError> {
        let len = blocks * weights.shape.heads.block_len();
        let State { gpu, caches, .. } = &mut *state;
        if let Err(error) = caches.iter_mut().try_for_each(|cache| gpu.resize(cache, len)) {
            caches.iter_mut().for_each(|cache| gpu.release(cache));
            return Err(error);
        }
        Ok(Self { weights, state, pages: Pages::default(), blocks, copies: Vec::new() })
    }

    /// Copies the blocks that wait for it.
    fn copy(&mut self) -> Result<(), DeviceError> {
        assert!(self.pages.most() <= self.blocks, "what is begun fits the blocks that are planned");
        let State { gpu, caches, told, .. } = &mut *self.state;
        let [from, to] = &mut told.copied;
        gpu.index(from, &self.copies.iter().map(|copy| copy.from).collect::<Vec<_>>())?;
        gpu.index(to, &self.copies.iter().map(|copy| copy.to).collect::<Vec<_>>())?;
        let shape = self.weights.shape;
        self.copies.clear();
        caches.iter_mut().try_for_each(|cache| gpu.copy_blocks(shape, from, to, cache))
    }

    /// Tells the device what the rows are.
    fn tell(&mut self, rows: &[Row]) -> Result<Rows, DeviceError> {
        rows.iter().for_each(|row| self.pages.reserve(row.sequence, row.position + 1));
        assert!(self.pages.most() <= self.blocks, "what is begun fits the blocks that are planned");
        let State { gpu, told, rotaries, .. } = &mut *self.state;
        let (tables, table_of) = tables(&self.pages, rows);
        gpu.index(&mut told.tokens, &rows.iter().map(|row| row.token).collect::<Vec<_>>())?;
        let positions: Vec<u32> = rows.iter().map(|row| row.position as u32).collect();
        gpu.put_placed(&mut told.placed, &positions, &table_of, &tables)?;
        for ((rotary, on), turns) in self.weights.rotaries.iter().zip(rotaries).zip(&mut told.turns) {
            let at = turned(gpu, on, rotary, rows)?;
            gpu.index(turns, &at)?;
        }
        let experts = self.weights.layers.iter().find_map(|layer| match &layer.feed_forward {
            FeedForward::Moe(moe) => Some((&moe.routing, moe.experts.len() + moe.null_experts)),
            FeedForward::Dense(_) => None,
        });
        if let Some((usual, experts)) = experts {
            let routing = |row: &Row| row.routing.unwrap_or(*usual);
            gpu.put_routings(&mut told.routings, rows.iter().map(routing), experts)?;
        }
        Ok(Rows { count: rows.len(), stride: padded(self.weights.hidden) })
    }

    fn embed(&mut self, rows: Rows) -> Result<(), DeviceError> {
        let State { gpu, embedding, told, stream, .. } = &mut *self.state;
        let (len, scale) = (rows.count * rows.stride, self.weights.embedding_scale);
        gpu.grow(&mut stream.residual, len)?;
        gpu.grow(&mut stream.normed, len)?;
        gpu.grow(&mut stream.post, len)?;
        gpu.embed(embedding, &told.tokens, rows.count, scale, &mut stream.residual)
    }

    fn attention(&mut self, at: usize, rows: Rows) -> Result<(), DeviceError> {
        let (shape, of, n) = (self.weights.shape, &self.weights.layers[at], rows.count);
        let State { gpu, extents, rotaries, layers, caches, told, stream, attention, .. } = &mut *self.state;
        let (layer, Stream { residual, normed, post, .. }) = (&layers[at], stream);
        let Attention { fused, attended, scores, router: logits } = attention;
        norm(gpu, &layer.attention_norm, n, residual, normed)?;
        gpu.grow(fused, n * shape.fused_len())?;
        gpu.multiply(&layer.fused, all(normed, n), None, false, fused)?;
        let norms = layer.qk_norms.as_ref().map(|(query, key, eps)| (query, key, *eps));
        let [cos, sin] = &rotaries[of.sight.rotary];
        let turns = ([cos, sin], &told.turns[of.sight.rotary]);
        gpu.place(*extents, &told.placed, norms, turns, fused, &mut caches[at])?;
        gpu.grow(attended, n * shape.output_len())?;
        let seen = Seen { window: of.sight.window, most: SCORES, scores };
        gpu.attend(*extents, &told.placed, seen, fused, &caches[at], attended)?;
        if let (Some(router), Some((_, experts))) = (&layer.attention_router, &of.attention_router) {
            gpu.grow(logits, n * router.outputs())?;
            gpu.multiply(router, all(normed, n), None, false, logits)?;
            let counts = (shape.attentions, experts.experts_per_token.unwrap_or(shape.attentions));
            let own = shape.query_len() / shape.attentions;
            gpu.mix_attentions(n, (logits, router.outputs()), counts, (attended, own, shape.output_len()))?;
        }
        let Some(post_norm) = &layer.attention_post_norm else {
            return gpu.multiply(&layer.output, all(attended, n), None, true, residual);
        };
        gpu.multiply(&layer.output, all(attended, n), None, false, post)?;
        norm(gpu, post_norm, n, post, normed)?;
        gpu.add(n * rows.stride, normed, residual)
    }

    fn feed_forward(&mut self, at: usize, rows: Rows) -> Result<(), DeviceError> {
        let State { gpu, layers, told, stream, inner, .. } = &mut *self.state;
        let (layer, n, len) = (&layers[at], rows.count, rows.count * rows.stride);
        let Stream { residual, normed, post, .. } = stream;
        // Of a parallel block, the rows that attention read still stand there.
        if let Some(scale) = &layer.feed_forward_norm {
            norm(gpu, scale, n, residual, normed)?;
        }
        let read = (&*normed, &told.routings);
        let Some(post_norm) = &layer.feed_forward_post_norm else {
            return feed_add(gpu, &layer.feed_forward, rows, read, inner, residual);
        };
        gpu.clear(len, post)?;
        feed_add(gpu, &layer.feed_forward, rows, read, inner, post)?;
        norm(gpu, post_norm, n, post, normed)?;
        gpu.add(len, normed, residual)
    }

    /// The scores of the wanted rows, which are gathered first; returns how many these are.
    fn head(&mut self, rows: &[Row]) -> Result<usize, DeviceError> {
        let State { gpu, final_norm, head, told, stream, .. } = &mut *self.state;
        let Stream { residual, normed, post, scores, .. } = stream;
        let wanted = rows.iter().enumerate().filter(|(_, row)| row.wanted).map(|(at, _)| at as u32);
        let wanted: Vec<u32> = wanted.collect();
        let (n, stride) = (wanted.len(), padded(self.weights.hidden));
        gpu.index(&mut told.wanted, &wanted)?;
        gpu.gather(n, (residual, rows.len()), &told.wanted, stride, post)?;
        norm(gpu, final_norm, n, post, normed)?;
        gpu.grow(scores, n * head.outputs())?;
        gpu.multiply(head, all(normed, n), None, false, scores)?;
        if let Some(cap) = self.weights.score_cap {
            gpu.soft_cap(n * head.outputs(), cap, scores)?;
        }
        Ok(n)
    }
}

impl Drop for OnGpu<'_> {
    /// Other models may need the memory.
    fn drop(&mut self) {
        let State { gpu, caches, .. } = &mut *self.state;
        caches.iter_mut().for_each(|cache| gpu.release(cache));
    }
}

impl Pass for OnGpu<'_> {
    fn pages(&self) -> &Pages {
        &self.pages
    }

    fn pages_mut(&mut self) -> &mut Pages {
        &mut self.pages
    }

    fn fork(&mut self, parent: Sequence, positions: usize) -> Result<Sequence, DeviceError> {
        let (child, copied) = self.pages.fork(parent, positions);
        if let Some(next) = copied {
            // A block that went may be another's by now: what is read is copied before it is written.
            let touched = |copy: &Copied| copy.from == next.to || copy.to == next.from || copy.to == next.to;
            if self.copies.iter().any(touched) {
                self.copy()?;
            }
            self.copies.push(next);
        }
        Ok(child)
    }

    fn step(
        &mut self,
        rows: &[Row],
        picks: &[(usize, Pick<'_>)],
    ) -> Result<Vec<Option<Choice>>, DeviceError> {
        self.copy()?;
        let told = self.tell(rows)?;
        self.embed(told)?;
        for at in 0..self.weights.layers.len() {
            self.attention(at, told)?;
            self.feed_forward(at, told)?;
        }
        let wanted = self.head(rows)?;
        let State { gpu, head, stream, .. } = &mut *self.state;
        let (x, stride, vocab) = (&stream.scores, head.outputs(), self.weights.vocab);
        gpu.choose(&Scores { x, rows: wanted, stride, vocab }, picks, &mut stream.picks)
    }
}

fn norm(
    gpu: &mut Gpu,
    by: &Scale,
    rows: usize,
    x: &Buffer<f32>,
    out: &mut Buffer<f32>,
) -> Result<(), DeviceError> {
    gpu.rms_norm(rows, x, &by.scale, (by.width, by.eps), out)
}

/// The blocks of the sequences of `rows`, each once, and where those of each row begin.
fn tables(pages: &Pages, rows: &[Row]) -> (Vec<u32>, Vec<u32>) {
    let mut starts = vec![None; pages.tables().len()];
    let mut tables = Vec::new();
    let start = |row: &Row| {
        *starts[row.sequence].get_or_insert_with(|| {
            let start = tables.len() as u32;
            tables.extend_from_slice(&pages.tables()[row.sequence]);
            start
        })
    };
    let table_of = rows.iter().map(start).collect();
    (tables, table_of)
}

/// Where the cosines and sines of each row stand in those `on` the device; those that the table does not have are put behind it.
fn turned(
    gpu: &mut Gpu,
    on: &mut [Buffer<f32>; 2],
    rotary: &Rotary,
    rows: &[Row],
) -> Result<Vec<u32>, DeviceError> {
    let (half, mut turns) = (rotary.half(), Vec::with_capacity(rows.len()));
    let mut behind = rotary.table().0.len() / half;
    for row in rows {
        let Some((cos, sin)) = rotary.stretched(row.position, row.span) else {
            turns.push(row.position as u32);
            continue;
        };
        gpu.write(&mut on[0], behind * half, &cos)?;
        gpu.write(&mut on[1], behind * half, &sin)?;
        turns.push(behind as u32);
        behind += 1;
    }
    Ok(turns)
}
