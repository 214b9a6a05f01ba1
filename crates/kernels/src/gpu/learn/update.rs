//! Launchers of what changes parameters: ternary values, columns of adapters, AdamW, the norm of a gradient.

use super::super::{Argument, Buffer, DeviceError, Gpu, word};
use super::{THREADS, WIDE};

/// Numbers of a chunk that one block sums, where there are not too many chunks.
const CHUNK: usize = 4096;

/// Most chunks of a matrix or parameter.
const MOST_CHUNKS: usize = 256;

/// Most blocks that share out a matrix.
const MOST_BLOCKS: usize = 1024;

/// What one step of AdamW is made of, bias corrections included.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Of the first and second moment.
    pub betas: [f32; 2],
    /// 1 − betas, subtracted before rounding.
    pub rest: [f32; 2],
    /// Learning rate over the bias correction of the first moment.
    pub rate: f32,
    /// Root of the bias correction of the second moment.
    pub second_scale: f32,
    /// What is added to the root of the second moment.
    pub eps: f32,
    /// What a parameter is multiplied by first.
    pub decay: f32,
    /// What a gradient is multiplied by.
    pub scale: f32,
}

impl Gpu {
    /// The three values of each of `matrices` of `length` numbers: `s · clip(round(w / s), −1, 1)` with s the mean of |w|, halves to even.
    ///
    /// # Errors
    /// There is no memory for up to 256 sums a matrix, or the device fails.
    pub fn ternary(
        &mut self,
        [matrices, length]: [usize; 2],
        w: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (w, out) = (self.given(w, matrices * length), self.given(out, matrices * length));
        let chunks = length.div_ceil(CHUNK).min(MOST_CHUNKS);
        let long = Argument::Long(length as u64);
        self.lend::<f64>(matrices * chunks, |gpu, partial| {
            let partial = gpu.given(partial, matrices * chunks);
            gpu.launch("absolute_sums", [chunks, matrices, 1], WIDE, &[w, long, partial])?;
            let blocks = length.div_ceil(CHUNK).min(MOST_BLOCKS);
            let arguments = [w, long, partial, word(chunks), out];
            gpu.launch("ternary_values", [blocks, matrices, 1], WIDE, &arguments)
        })
    }

    /// `y[r][first + c] += scale · v[r][c]` for `v` (rows, columns) and `y` (rows, width).
    ///
    /// # Errors
    /// The device fails.
    ///
    /// # Panics
    /// `y` has not so many columns.
    pub fn add_columns(
        &mut self,
        [rows, width]: [usize; 2],
        first: usize,
        columns: usize,
        scale: f32,
        v: &Buffer<f32>,
        y: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        assert!(first + columns <= width, "columns {first} to {} of {width}", first + columns);
        let (v, y) = (self.given(v, rows * columns), self.given(y, rows * width));
        let arguments = [v, word(columns), Argument::Float(scale), word(first), word(width), y];
        self.launch("add_columns", [rows, 1, 1], THREADS, &arguments)
    }

    /// `out[r][c] = scale · y[r][first + c]` for `out` (rows, columns) and `y` (rows, width).
    ///
    /// # Errors
    /// The device fails.
    ///
    /// # Panics
    /// `y` has not so many columns.
    pub fn take_columns(
        &mut self,
        [rows, width]: [usize; 2],
        first: usize,
        columns: usize,
        scale: f32,
        y: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        assert!(first + columns <= width, "columns {first} to {} of {width}", first + columns);
        let (y, out) = (self.given(y, rows * width), self.given(out, rows * columns));
        let arguments = [y, word(columns), Argument::Float(scale), word(first), word(width), out];
        self.launch("take_columns", [rows, 1, 1], THREADS, &arguments)
    }

    /// Updates `count` parameters and their moments by a gradient; without one it is zero.
    ///
    /// # Errors
    /// The device fails.
    pub fn adamw(
        &mut self,
        count: usize,
        step: &AdamWStep,
        p: &mut Buffer<f32>,
        first: &mut Buffer<f32>,
        second: &mut Buffer<f32>,
        gradient: Option<&Buffer<f32>>,
    ) -> Result<(), DeviceError> {
        let AdamWStep { betas, rest, rate, second_scale, eps, decay, scale } = *step;
        let numbers = [betas[0], betas[1], rest[0], rest[1], rate, second_scale, eps, decay, scale];
        let buffers = [self.given(p, count), self.given(first, count), self.given(second, count)];
        let others = [self.maybe(gradient, count), Argument::Long(count as u64)];
        let arguments = [&buffers[..], &others, &numbers.map(Argument::Float)].concat();
        self.launch("adamw", [count.div_ceil(WIDE as usize), 1, 1], WIDE, &arguments)
    }

    /// Σ x² over all numbers of all `parts`; waits for the device.
    ///
    /// # Errors
    /// There is no memory for up to 256 sums a part, or the device fails, or failed in what came before.
    pub fn square_sum(&mut self, parts: &[&Buffer<f32>]) -> Result<f64, DeviceError> {
        let chunks = |part: &Buffer<f32>| part.len().div_ceil(CHUNK).min(MOST_CHUNKS);
        let count = parts.iter().map(|part| chunks(part)).sum();
        let mut sum = 0.0;
        self.lend::<f64>(count + 1, |gpu, partial| {
            let mut at = 0;
            for part in parts {
                let arguments =
                    [gpu.whole(part), Argument::Long(part.len() as u64), gpu.whole(partial), word(1 + at)];
                gpu.launch("square_sums", [chunks(part), 1, 1], WIDE, &arguments)?;
                at += chunks(part);
            }
            gpu.launch("sum_wide", [1, 1, 1], WIDE, &[gpu.whole(partial), word(count)])?;
            sum = gpu.read(partial, 0, 1)?[0];
            Ok(())
        })?;
        Ok(sum)
    }
}
