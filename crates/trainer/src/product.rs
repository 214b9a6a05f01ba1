//! Small matrix products inside attention: operands in cache, causal halves left out.
//!
//! All matrices are padded with zeros to multiples of [`LANES`] in both directions, so there are no edges. The library
//! product is for the large ones; a call to it costs more than most of these.

use std::ops::Range;

use pulp::Simd;

use crate::simd::LANES;

/// Rows of one tile: eight independent sums hide the latency of a fused multiply-add.
const ROWS: usize = 8;

/// `n` rounded up to whole lanes.
pub(crate) fn padded(n: usize) -> usize {
    n.next_multiple_of(LANES)
}

/// A row-major matrix: elements and distance between rows.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    /// The elements.
    pub(crate) data: &'a [f32],
    /// Elements per row, a multiple of [`LANES`].
    pub(crate) width: usize,
}

/// Which part of a product to compute, in tiles of eight rows.
pub(crate) struct Part<F> {
    /// Rows of the product, from 0; a multiple of [`LANES`].
    pub(crate) rows: usize,
    /// From the first row of a tile to the columns to compute, from 0, and the inner indices to sum over. The columns are
    /// a multiple of [`LANES`], both ends of the inner indices multiples of 8.
    pub(crate) bounds: F,
}

/// `part` of `c = a·b`; the rest of `c` is left alone.
#[inline(always)]
pub(crate) fn multiply<S: Simd, F>(simd: S, part: Part<F>, a: Matrix, b: Matrix, c: &mut [f32])
where
    F: Fn(usize) -> (usize, Range<usize>),
{
    tiles(
        simd,
        part,
        b,
        c,
        #[inline(always)]
        |i, inner, column, b, width| {
            let mut sums = [simd.splat_f32s(0.0); ROWS];
            for k in inner.step_by(ROWS) {
                let factors: [&[f32; ROWS]; ROWS] = std::array::from_fn(
                    #[inline(always)]
                    |r| chunk(a.data, (i + r) * a.width + k),
                );
                for step in 0..ROWS {
                    let row = b[(k + step) * width + column];
                    for (sum, factors) in sums.iter_mut().zip(factors) {
                        *sum = simd.mul_add_f32s(simd.splat_f32s(factors[step]), row, *sum);
                    }
                }
            }
            sums
        },
    );
}

/// As [`multiply`] with `aᵀ` in place of `a`: row i of the product sums column i of `a`.
#[inline(always)]
pub(crate) fn multiply_transposed<S: Simd, F>(simd: S, part: Part<F>, a: Matrix, b: Matrix, c: &mut [f32])
where
    F: Fn(usize) -> (usize, Range<usize>),
{
    tiles(
        simd,
        part,
        b,
        c,
        #[inline(always)]
        |i, inner, column, b, width| {
            let mut sums = [simd.splat_f32s(0.0); ROWS];
            for k in inner {
                let factors: &[f32; ROWS] = chunk(a.data, k * a.width + i);
                let row = b[k * width + column];
                for (sum, factor) in sums.iter_mut().zip(factors) {
                    *sum = simd.mul_add_f32s(simd.splat_f32s(*factor), row, *sum);
                }
            }
            sums
        },
    );
}

/// Fills the tiles of `part` in `c`: `tile` gets the first row, the inner indices, the column, and `b` with its width, the
/// last three counted in registers.
#[inline(always)]
fn tiles<S: Simd, F, T>(_: S, part: Part<F>, b: Matrix, c: &mut [f32], tile: T)
where
    F: Fn(usize) -> (usize, Range<usize>),
    T: Fn(usize, Range<usize>, usize, &[S::f32s], usize) -> [S::f32s; ROWS],
{
    let width = b.width / S::F32_LANES;
    let ((b, _), (c, _)) = (S::as_simd_f32s(b.data), S::as_mut_simd_f32s(c));
    for i in (0..part.rows).step_by(ROWS) {
        let (columns, inner) = (part.bounds)(i);
        for column in 0..columns / S::F32_LANES {
            let sums = tile(i, inner.clone(), column, b, width);
            for (r, sum) in sums.into_iter().enumerate() {
                c[(i + r) * width + column] = sum;
            }
        }
    }
}

#[inline(always)]
fn chunk<const N: usize>(data: &[f32], start: usize) -> &[f32; N] {
    data[start..].first_chunk().expect("matrices are padded to whole tiles")
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;

    fn matrix(rows: usize, columns: usize, seed: usize) -> Vec<f32> {
        (0..rows * columns).map(|i| ((i * 7919 + seed * 31) % 101) as f32 / 50.0 - 1.0).collect()
    }

    /// Both products, rows summed from their own tile on.
    struct Both<'a> {
        bounds: [usize; 3],
        a: &'a [f32],
        a_t: &'a [f32],
        b: &'a [f32],
        c: &'a mut [Vec<f32>; 2],
    }

    impl WithSimd for Both<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let [rows, inner, columns] = self.bounds;
            let b = Matrix { data: self.b, width: columns };
            let bounds = |i: usize| (columns, i..inner);
            multiply(simd, Part { rows, bounds }, Matrix { data: self.a, width: inner }, b, &mut self.c[0]);
            multiply_transposed(
                simd,
                Part { rows, bounds },
                Matrix { data: self.a_t, width: rows },
                b,
                &mut self.c[1],
            );
        }
    }

    #[test]
    fn products_equal_plain_loops() {
        let (rows, inner, columns) = (32, 48, 16);
        let (a, a_t, b) = (matrix(rows, inner, 1), matrix(inner, rows, 2), matrix(inner, columns, 3));
        let mut c = [vec![0.0; rows * columns], vec![0.0; rows * columns]];
        Arch::new().dispatch(Both { bounds: [rows, inner, columns], a: &a, a_t: &a_t, b: &b, c: &mut c });
        for i in 0..rows {
            for j in 0..columns {
                let from = i - i % ROWS;
                let plain: f32 = (from..inner).map(|k| a[i * inner + k] * b[k * columns + j]).sum();
                let transposed: f32 = (from..inner).map(|k| a_t[k * rows + i] * b[k * columns + j]).sum();
                assert!((c[0][i * columns + j] - plain).abs() < 1e-4);
                assert!((c[1][i * columns + j] - transposed).abs() < 1e-4);
            }
        }
    }
}
