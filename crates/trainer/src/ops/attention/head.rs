//! One head of one document: padded matrices and the causal arithmetic between them.
//!
//! Rows are tokens, columns the elements of a head, both padded with zeros to whole tiles. Row i of the t × t matrices
//! is computed up to the end of its tile; right of i it is zero.

use std::ops::Range;

use pulp::Simd;

use crate::product::{Matrix, Part, multiply, multiply_transposed, padded};
use crate::simd::{LANES, dot, exp, largest, soft_cap_slope, soft_capped, sum};

/// Half of [`LANES`]: rows of a tile of the product.
const TILE_ROWS: usize = LANES / 2;

/// The extent of one head of one document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// Tokens, as they are.
    pub(super) tokens: usize,
    /// Elements of a head, padded.
    pub(super) dim: usize,
}

impl Extent {
    /// Padded number of rows.
    pub(super) fn rows(self) -> usize {
        padded(self.tokens)
    }

    /// Elements of a tokens × dim matrix.
    pub(super) fn wide(self) -> usize {
        self.rows() * self.dim
    }

    /// Elements of a tokens × tokens matrix.
    pub(super) fn square(self) -> usize {
        self.rows() * self.rows()
    }

    fn tokens_by_dim(self, data: &[f32]) -> Matrix<'_> {
        Matrix { data, width: self.dim }
    }

    fn by_tokens(self, data: &[f32]) -> Matrix<'_> {
        Matrix { data, width: self.rows() }
    }

    /// Columns of the tile row that begins at i, up to its diagonal.
    fn causal(i: usize) -> usize {
        padded(i + TILE_ROWS)
    }

    /// `to = fromᵀ` for a tokens × dim matrix.
    #[inline(always)]
    pub(super) fn transpose(self, from: &[f32], to: &mut [f32]) {
        let rows = self.rows();
        for (i, row) in from[..self.wide()].chunks_exact(self.dim).enumerate() {
            for (d, x) in row.iter().enumerate() {
                to[d * rows + i] = *x;
            }
        }
    }

    /// Turns scores into `softmax(s)` by rows in place, causal, of the last `window` tokens.
    #[inline(always)]
    pub(super) fn softmax(self, window: usize, scores: &mut [f32]) {
        let width = self.rows();
        for i in 0..self.tokens {
            let seen = (i + 1).saturating_sub(window)..i + 1;
            softmax(&mut scores[i * width..][..Self::causal(i - i % TILE_ROWS)], seen);
        }
        scores[self.tokens * width..self.square()].fill(0.0);
    }

    /// Turns scores into `cap·tanh(s/cap)` in place.
    #[inline(always)]
    pub(super) fn bend(self, cap: f32, scores: &mut [f32]) {
        for (i, row) in scores[..self.square()].chunks_exact_mut(self.rows()).enumerate() {
            row[..Self::causal(i - i % TILE_ROWS)].iter_mut().for_each(|s| *s = soft_capped(*s, cap));
        }
    }

    /// Turns the gradient of scores that were bent into that of scores, in place; `bent` are the former.
    #[inline(always)]
    pub(super) fn bend_back(self, cap: f32, bent: &[f32], d_scores: &mut [f32]) {
        let rows = d_scores[..self.square()].chunks_exact_mut(self.rows());
        for (i, (d, bent)) in rows.zip(bent.chunks_exact(self.rows())).enumerate() {
            let columns = Self::causal(i - i % TILE_ROWS);
            d[..columns].iter_mut().zip(bent).for_each(|(d, s)| *d *= soft_cap_slope(*s, cap));
        }
    }

    /// `s = q·kᵀ`, causal.
    #[inline(always)]
    pub(super) fn scores<S: Simd>(self, simd: S, query: &[f32], key_t: &[f32], s: &mut [f32]) {
        let part = Part { rows: self.rows(), bounds: |i| (Self::causal(i), 0..self.dim) };
        multiply(simd, part, self.tokens_by_dim(query), self.by_tokens(key_t), s);
    }

    /// `o = p·v` with a causal p; also `∂q = ∂s·k`.
    #[inline(always)]
    pub(super) fn weighted<S: Simd>(self, simd: S, p: &[f32], value: &[f32], out: &mut [f32]) {
        let part = Part { rows: self.rows(), bounds: |i| (self.dim, 0..i + TILE_ROWS) };
        multiply(simd, part, self.by_tokens(p), self.tokens_by_dim(value), out);
    }

    /// `∂v = pᵀ·∂o` with a causal p; also `∂k = ∂sᵀ·q`.
    #[inline(always)]
    pub(super) fn weighted_back<S: Simd>(self, simd: S, p: &[f32], d_out: &[f32], d_value: &mut [f32]) {
        let part = Part { rows: self.rows(), bounds: |j| (self.dim, j..self.rows()) };
        multiply_transposed(simd, part, self.by_tokens(p), self.tokens_by_dim(d_out), d_value);
    }

    /// Turns ∂p into ∂s in place: `∂s = p ∘ (∂p − Σ p∘∂p)` by rows.
    #[inline(always)]
    pub(super) fn softmax_back(self, p: &[f32], d_scores: &mut [f32]) {
        let width = self.rows();
        for i in 0..self.tokens {
            let columns = Self::causal(i - i % TILE_ROWS);
            let (p, d) = (&p[i * width..][..columns], &mut d_scores[i * width..][..columns]);
            let along = dot(p, d);
            for (d, p) in d.iter_mut().zip(p) {
                *d = p * (*d - along);
            }
        }
        d_scores[self.tokens * width..self.square()].fill(0.0);
    }
}

/// Softmax over the `seen` scores of a row; the others become 0.
#[inline(always)]
fn softmax(row: &mut [f32], seen: Range<usize>) {
    row[..seen.start].fill(f32::NEG_INFINITY);
    row[seen.end..].fill(f32::NEG_INFINITY);
    let top = largest(row);
    for x in row.iter_mut() {
        *x = exp(*x - top);
    }
    let inverse = 1.0 / sum(row);
    for x in row {
        *x *= inverse;
    }
}
