//! Small matrix products inside attention: operands in cache, causal halves left out.
//!
//! All matrices are padded with zeros to multiples of [`LANES`] in both directions, so there are no edges. The library
//! product is for the large ones; a call to it costs more than most of these.

use std::ops::Range;

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

/// `c = a·b`, rows `0..rows` of `c`, in tiles of eight rows. For the tile that begins at row i, `bounds(i)` gives the
/// columns to compute, from 0, and the inner indices to sum over; both multiples of 8.
#[inline(always)]
pub(crate) fn multiply(
    rows: usize,
    bounds: impl Fn(usize) -> (usize, Range<usize>),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
) {
    for i in (0..rows).step_by(ROWS) {
        let (columns, inner) = bounds(i);
        for j in (0..columns).step_by(LANES) {
            let tile = tile(i, j, inner.clone(), a, b);
            store(tile, i, j, b.width, c);
        }
    }
}

/// As [`multiply`] with `aᵀ` in place of `a`: row i of the product sums column i of `a`.
#[inline(always)]
pub(crate) fn multiply_transposed(
    rows: usize,
    bounds: impl Fn(usize) -> (usize, Range<usize>),
    a: Matrix,
    b: Matrix,
    c: &mut [f32],
) {
    for i in (0..rows).step_by(ROWS) {
        let (columns, inner) = bounds(i);
        for j in (0..columns).step_by(LANES) {
            let tile = tile_transposed(i, j, inner.clone(), a, b);
            store(tile, i, j, b.width, c);
        }
    }
}

type Tile = [[f32; LANES]; ROWS];

#[inline(always)]
fn tile(i: usize, j: usize, inner: Range<usize>, a: Matrix, b: Matrix) -> Tile {
    let mut sums = [[0.0; LANES]; ROWS];
    for k in inner.step_by(ROWS) {
        let factors: [&[f32; ROWS]; ROWS] = std::array::from_fn(|r| chunk(a.data, (i + r) * a.width + k));
        for step in 0..ROWS {
            let row: &[f32; LANES] = chunk(b.data, (k + step) * b.width + j);
            for (sums, factors) in sums.iter_mut().zip(factors) {
                add_scaled(sums, factors[step], row);
            }
        }
    }
    sums
}

#[inline(always)]
fn tile_transposed(i: usize, j: usize, inner: Range<usize>, a: Matrix, b: Matrix) -> Tile {
    let mut sums = [[0.0; LANES]; ROWS];
    for k in inner {
        let factors: &[f32; ROWS] = chunk(a.data, k * a.width + i);
        let row: &[f32; LANES] = chunk(b.data, k * b.width + j);
        for r in 0..ROWS {
            add_scaled(&mut sums[r], factors[r], row);
        }
    }
    sums
}

#[inline(always)]
fn add_scaled(sums: &mut [f32; LANES], factor: f32, row: &[f32; LANES]) {
    for l in 0..LANES {
        sums[l] = factor.mul_add(row[l], sums[l]);
    }
}

#[inline(always)]
fn store(tile: Tile, i: usize, j: usize, width: usize, c: &mut [f32]) {
    for (r, sums) in tile.iter().enumerate() {
        c[(i + r) * width + j..][..LANES].copy_from_slice(sums);
    }
}

#[inline(always)]
fn chunk<const N: usize>(data: &[f32], start: usize) -> &[f32; N] {
    data[start..].first_chunk().expect("matrices are padded to whole tiles")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::vectorised;

    fn matrix(rows: usize, columns: usize, seed: usize) -> Vec<f32> {
        (0..rows * columns).map(|i| ((i * 7919 + seed * 31) % 101) as f32 / 50.0 - 1.0).collect()
    }

    #[test]
    fn products_equal_plain_loops() {
        let (rows, inner, columns) = (32, 48, 16);
        let (a, at, b) = (matrix(rows, inner, 1), matrix(inner, rows, 2), matrix(inner, columns, 3));
        let mut c = [vec![0.0; rows * columns], vec![0.0; rows * columns]];
        vectorised(|| {
            let b = Matrix { data: &b, width: columns };
            let bounds = |i: usize| (columns, i..inner);
            multiply(rows, bounds, Matrix { data: &a, width: inner }, b, &mut c[0]);
            multiply_transposed(rows, bounds, Matrix { data: &at, width: rows }, b, &mut c[1]);
        });
        for i in 0..rows {
            for j in 0..columns {
                let from = i - i % ROWS;
                let plain: f32 = (from..inner).map(|k| a[i * inner + k] * b[k * columns + j]).sum();
                let transposed: f32 = (from..inner).map(|k| at[k * rows + i] * b[k * columns + j]).sum();
                assert!((c[0][i * columns + j] - plain).abs() < 1e-4);
                assert!((c[1][i * columns + j] - transposed).abs() < 1e-4);
            }
        }
    }
}
