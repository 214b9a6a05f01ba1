//! Causal attention inside each document of a flat batch, rotary positions included.
//!
//! A row of the input holds the query heads, then the key heads, then the value heads of one token; the documents lie
//! one after another, positions count from 0 in each, and no token sees another document, nor what is further back than a
//! window. For one head of a document of t tokens, with q, k turned by their positions and q scaled:
//!
//! S = q·kᵀ, P = softmax of S over j ≤ i, o = P·v;
//! ∂v = Pᵀ·∂o, ∂P = ∂o·vᵀ, ∂S = P ∘ (∂P − Σ P∘∂P), ∂q = ∂S·k, ∂k = ∂Sᵀ·q.
//!
//! With a cap c, S = c·tanh(q·kᵀ/c), and ∂S is multiplied by 1 − (S/c)². P is computed again in the backward pass. Scratch memory is a few t × t and t × head_dim matrices for the longest
//! document.

mod head;
mod there;

use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;
use flow_kernels::gpu::AttentionScores;
use pulp::{Arch, Simd, WithSimd};

use self::head::Extent;
pub(crate) use self::there::Documents;
use super::{elements, tensor};
use crate::product::padded;
use crate::rope::Rope;
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// How the columns of a row split into heads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    /// Query heads, of all attentions of a layer one after another.
    pub(crate) query: usize,
    /// Attentions that read the same keys and values, each with its share of the query heads.
    pub(crate) readers: usize,
    /// Key heads, and as many value heads; each serves `query / readers / key_value` query heads in a row of
    /// each reader.
    pub(crate) key_value: usize,
    /// Elements of one head, even.
    pub(crate) dim: usize,
}

impl Heads {
    fn width(&self) -> usize {
        (self.query + 2 * self.key_value) * self.dim
    }

    fn output_width(&self) -> usize {
        self.query * self.dim
    }

    /// Columns of query head `h`.
    fn query_at(&self, h: usize) -> usize {
        h * self.dim
    }

    /// Columns of key head `g`.
    fn key_at(&self, g: usize) -> usize {
        (self.query + g) * self.dim
    }

    /// Columns of value head `g`.
    fn value_at(&self, g: usize) -> usize {
        (self.query + self.key_value + g) * self.dim
    }

    /// Query heads that read key/value head `g`.
    fn readers(&self, g: usize) -> impl Iterator<Item = usize> + use<> {
        let own = self.query / self.readers;
        let group = own / self.key_value;
        (0..self.readers).flat_map(move |j| j * own + g * group..j * own + (g + 1) * group)
    }
}

/// Attention over rows (N, (query + 2·key_value)·dim), to (N, query·dim). `documents` are ranges of rows, in order.
pub(crate) fn attention(
    tape: &mut Tape,
    rows: &Node,
    heads: Heads,
    scores: AttentionScores,
    rope: Arc<Rope>,
    documents: Arc<Documents>,
) -> Result<Node> {
    if let Tensor::Device(x) = &rows.value {
        let op = there::Attention::forward(x.clone(), (heads, scores), rope, documents)?;
        return Ok(tape.push(op.out(), [rows], move |dy| Ok([op.backward(dy)?])));
    }
    let op = Attention { heads, scores, rope, documents };
    let x = rows.value.clone();
    let y = op.forward(&x)?;
    Ok(tape.push(y, [rows], move |dy| Ok([op.backward(&x, dy)?])))
}

struct Attention {
    heads: Heads,
    scores: AttentionScores,
    rope: Arc<Rope>,
    documents: Arc<Documents>,
}

impl Attention {
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (n_tokens, _) = x.dims2()?;
        let xs = elements(x)?;
        let mut y = vec![0.0; n_tokens * self.heads.output_width()];
        Arch::new().dispatch(Mix { op: self, x: &xs, y: &mut y });
        tensor(y, (n_tokens, self.heads.output_width()))
    }

    fn backward(&self, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let (xs, dys) = (elements(x)?, elements(dy)?);
        let mut dx = vec![0.0; xs.len()];
        Arch::new().dispatch(MixBack { op: self, x: &xs, dy: &dys, dx: &mut dx });
        tensor(dx, x.shape())
    }

    #[inline(always)]
    fn mix<S: Simd>(&self, simd: S, x: &[f32], y: &mut [f32]) {
        let (heads, width) = (self.heads, self.heads.width());
        let mut s = Scratch::new(self.longest());
        for document in self.documents.ranges() {
            let extent = self.extent(document.len());
            let x = Columns { rows: &x[document.start * width..document.end * width], width };
            let y = &mut y[document.start * heads.output_width()..document.end * heads.output_width()];
            for g in 0..heads.key_value {
                self.load_turned(x, heads.key_at(g), 1.0, extent, &mut s.key);
                self.load(x, heads.value_at(g), extent, &mut s.value);
                extent.transpose(&s.key, &mut s.key_t);
                for h in heads.readers(g) {
                    self.load_turned(x, heads.query_at(h), self.scores.scale, extent, &mut s.query);
                    extent.scores(simd, &s.query, &s.key_t, &mut s.probabilities);
                    if let Some(cap) = self.scores.cap {
                        extent.bend(cap, &mut s.probabilities);
                    }
                    extent.softmax(self.window(), &mut s.probabilities);
                    extent.weighted(simd, &s.probabilities, &s.value, &mut s.out);
                    self.store(&s.out, extent, heads.query_at(h), heads.output_width(), y);
                }
            }
        }
    }

    #[inline(always)]
    fn mix_back<S: Simd>(&self, simd: S, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        let (heads, width, out_width) = (self.heads, self.heads.width(), self.heads.output_width());
        let mut s = Scratch::new(self.longest());
        let mut d = ScratchBack::new(self.longest());
        for document in self.documents.ranges() {
            let extent = self.extent(document.len());
            let x = Columns { rows: &x[document.start * width..document.end * width], width };
            let dy =
                Columns { rows: &dy[document.start * out_width..document.end * out_width], width: out_width };
            let dx = &mut dx[document.start * width..document.end * width];
            for g in 0..heads.key_value {
                self.load_turned(x, heads.key_at(g), 1.0, extent, &mut s.key);
                self.load(x, heads.value_at(g), extent, &mut s.value);
                extent.transpose(&s.key, &mut s.key_t);
                extent.transpose(&s.value, &mut d.value_t);
                d.clear_sums();
                for h in heads.readers(g) {
                    self.load_turned(x, heads.query_at(h), self.scores.scale, extent, &mut s.query);
                    self.load(dy, heads.query_at(h), extent, &mut d.out);
                    extent.scores(simd, &s.query, &s.key_t, &mut s.probabilities);
                    if let Some(cap) = self.scores.cap {
                        extent.bend(cap, &mut s.probabilities);
                        d.bent.clone_from(&s.probabilities);
                    }
                    extent.softmax(self.window(), &mut s.probabilities);
                    extent.scores(simd, &d.out, &d.value_t, &mut d.scores);
                    extent.softmax_back(&s.probabilities, &mut d.scores);
                    if let Some(cap) = self.scores.cap {
                        extent.bend_back(cap, &d.bent, &mut d.scores);
                    }
                    extent.weighted(simd, &d.scores, &s.key, &mut d.query);
                    extent.weighted_back(simd, &d.scores, &s.query, &mut d.part);
                    add(&d.part, &mut d.key);
                    extent.weighted_back(simd, &s.probabilities, &d.out, &mut d.part);
                    add(&d.part, &mut d.value);
                    self.store_turned_back(&d.query, extent, heads.query_at(h), self.scores.scale, dx);
                }
                self.store_turned_back(&d.key, extent, heads.key_at(g), 1.0, dx);
                self.store(&d.value, extent, heads.value_at(g), width, dx);
            }
        }
    }

    fn extent(&self, tokens: usize) -> Extent {
        Extent { tokens, dim: padded(self.heads.dim) }
    }

    fn longest(&self) -> Extent {
        self.extent(self.documents.ranges().iter().map(Range::len).max().unwrap_or(0))
    }

    fn window(&self) -> usize {
        self.scores.window.unwrap_or(usize::MAX)
    }

    /// Copies one head of a document; the padding rows become 0, the padding columns stay 0.
    #[inline(always)]
    fn load(&self, from: Columns, at: usize, extent: Extent, to: &mut [f32]) {
        for (row, to) in from.rows.chunks_exact(from.width).zip(to.chunks_exact_mut(extent.dim)) {
            to[..self.heads.dim].copy_from_slice(&row[at..][..self.heads.dim]);
        }
        to[extent.tokens * extent.dim..extent.wide()].fill(0.0);
    }

    /// As [`Attention::load`], turned by the position and scaled.
    #[inline(always)]
    fn load_turned(&self, from: Columns, at: usize, scale: f32, extent: Extent, to: &mut [f32]) {
        let rows = from.rows.chunks_exact(from.width).zip(to.chunks_exact_mut(extent.dim));
        for (position, (row, to)) in rows.enumerate() {
            self.rope.rotate(position, scale, &row[at..][..self.heads.dim], &mut to[..self.heads.dim]);
        }
        to[extent.tokens * extent.dim..extent.wide()].fill(0.0);
    }

    #[inline(always)]
    fn store(&self, from: &[f32], extent: Extent, at: usize, width: usize, to: &mut [f32]) {
        for (row, to) in from.chunks_exact(extent.dim).zip(to.chunks_exact_mut(width)) {
            to[at..][..self.heads.dim].copy_from_slice(&row[..self.heads.dim]);
        }
    }

    #[inline(always)]
    fn store_turned_back(&self, from: &[f32], extent: Extent, at: usize, scale: f32, to: &mut [f32]) {
        let rows = from.chunks_exact(extent.dim).zip(to.chunks_exact_mut(self.heads.width()));
        for (position, (row, to)) in rows.enumerate() {
            self.rope.rotate_back(position, scale, &row[..self.heads.dim], &mut to[at..][..self.heads.dim]);
        }
    }
}

/// [`Attention::mix`] for the instruction set of the machine.
struct Mix<'a> {
    op: &'a Attention,
    x: &'a [f32],
    y: &'a mut [f32],
}

impl WithSimd for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.op.mix(simd, self.x, self.y);
    }
}

/// [`Attention::mix_back`] for the instruction set of the machine.
struct MixBack<'a> {
    op: &'a Attention,
    x: &'a [f32],
    dy: &'a [f32],
    dx: &'a mut [f32],
}

impl WithSimd for MixBack<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.op.mix_back(simd, self.x, self.dy, self.dx);
    }
}

/// The rows of one document.
#[derive(Clone, Copy)]
struct Columns<'a> {
    rows: &'a [f32],
    width: usize,
}

/// Matrices of one head, large enough for the longest document.
struct Scratch {
    query: Vec<f32>,
    key: Vec<f32>,
    key_t: Vec<f32>,
    value: Vec<f32>,
    out: Vec<f32>,
    probabilities: Vec<f32>,
}

impl Scratch {
    fn new(longest: Extent) -> Self {
        let [query, key, key_t, value, out] = std::array::from_fn(|_| vec![0.0; longest.wide()]);
        Self { query, key, key_t, value, out, probabilities: vec![0.0; longest.square()] }
    }
}

/// What the backward pass needs beside [`Scratch`]: gradients, and vᵀ. `key` and `value` sum over the query heads.
struct ScratchBack {
    query: Vec<f32>,
    key: Vec<f32>,
    value: Vec<f32>,
    value_t: Vec<f32>,
    out: Vec<f32>,
    part: Vec<f32>,
    scores: Vec<f32>,
    /// Scores between caps, where there are some.
    bent: Vec<f32>,
}

impl ScratchBack {
    fn new(longest: Extent) -> Self {
        let [query, key, value, value_t, out, part] = std::array::from_fn(|_| vec![0.0; longest.wide()]);
        Self { query, key, value, value_t, out, part, scores: vec![0.0; longest.square()], bent: Vec::new() }
    }

    #[inline(always)]
    fn clear_sums(&mut self) {
        self.key.fill(0.0);
        self.value.fill(0.0);
    }
}

#[inline(always)]
fn add(from: &[f32], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
