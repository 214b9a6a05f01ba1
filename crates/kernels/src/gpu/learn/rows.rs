//! Launchers of the loops over rows.

use super::super::rows::kind;
use super::super::{Argument, Buffer, DeviceError, Gpu, word};
use super::{BLOCK_ROWS, THREADS, WIDE};
use crate::layers::Activation;

/// Rows whose part of a weight's gradient is summed at a time.
const CHUNK: usize = 64;

impl Gpu {
    /// `out = a + b` for `count` numbers.
    ///
    /// # Errors
    /// The device fails.
    pub fn sum(
        &mut self,
        count: usize,
        a: &Buffer<f32>,
        b: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (a, b, out) = (self.given(a, count), self.given(b, count), self.given(out, count));
        let arguments = [a, b, Argument::Long(count as u64), out];
        self.launch("sum_numbers", [count.div_ceil(WIDE as usize), 1, 1], WIDE, &arguments)
    }

    /// `out = x` for `count` numbers.
    ///
    /// # Errors
    /// The device fails.
    pub fn copy(&mut self, count: usize, x: &Buffer<f32>, out: &mut Buffer<f32>) -> Result<(), DeviceError> {
        let (x, none, out) = (self.given(x, count), Argument::Address(0, 0), self.given(out, count));
        let arguments = [x, none, Argument::Long(count as u64), out];
        self.launch("sum_numbers", [count.div_ceil(WIDE as usize), 1, 1], WIDE, &arguments)
    }

    /// RMSNorm of each row: `out = weight · x / √(mean(x²) + eps)`.
    ///
    /// # Errors
    /// The device fails.
    pub fn norm(
        &mut self,
        [rows, width]: [usize; 2],
        eps: f32,
        x: &Buffer<f32>,
        weight: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (x, weight) = (self.given(x, rows * width), self.given(weight, width));
        let out = self.given(out, rows * width);
        let arguments = [x, weight, word(rows), word(width), Argument::Float(eps), out];
        self.launch("norm_rows", [rows.div_ceil(BLOCK_ROWS), 1, 1], THREADS, &arguments)
    }

    /// The gradients `dx` (rows, width) and `dw` (width) of [`Gpu::norm`] from `dy` (rows, width).
    ///
    /// # Errors
    /// There is no memory for a number a row and two for each 64, or the device fails.
    #[expect(clippy::too_many_arguments, reason = "each is a matrix of the formula")]
    pub fn norm_back(
        &mut self,
        [rows, width]: [usize; 2],
        eps: f32,
        x: &Buffer<f32>,
        weight: &Buffer<f32>,
        dy: &Buffer<f32>,
        dx: &mut Buffer<f32>,
        dw: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let given = [self.given(x, rows * width), self.given(weight, width), self.given(dy, rows * width)];
        let (dx, dw) = (self.given(dx, rows * width), self.given(dw, width));
        let ([x, weight, dy], extents, eps) = (given, [word(rows), word(width)], Argument::Float(eps));
        self.lend::<f32>(rows, |gpu, factors| {
            let factors = gpu.given(factors, rows);
            let arguments = [x, weight, dy, extents[0], extents[1], eps, factors, dx];
            gpu.launch("norm_rows_back", [rows.div_ceil(BLOCK_ROWS), 1, 1], THREADS, &arguments)?;
            let (chunks, columns) = (rows.div_ceil(CHUNK), width.div_ceil(THREADS as usize));
            gpu.lend::<f64>(chunks * width, |gpu, partial| {
                let partial = gpu.given(partial, chunks * width);
                let arguments = [x, dy, factors, extents[0], extents[1], word(CHUNK), partial];
                gpu.launch("norm_weight_back", [columns, chunks, 1], THREADS, &arguments)?;
                let arguments = [partial, word(chunks), extents[1], dw];
                gpu.launch("sum_chunks", [columns, 1, 1], THREADS, &arguments)
            })
        })
    }

    /// The gradient `dx` (rows, 2·width) of [`Gpu::gate`] from `dy` (rows, width).
    ///
    /// # Errors
    /// The device fails.
    pub fn gate_back(
        &mut self,
        activation: Activation,
        [rows, width]: [usize; 2],
        x: &Buffer<f32>,
        dy: &Buffer<f32>,
        dx: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (x, dy) = (self.given(x, 2 * rows * width), self.given(dy, rows * width));
        let arguments = [x, dy, kind(activation), word(width), self.given(dx, 2 * rows * width)];
        self.launch("gate_back", [rows, 1, 1], THREADS, &arguments)
    }

    /// The gradient `dx` of [`Gpu::soft_cap`] for `count` numbers: `dy` times its slopes at `x`.
    ///
    /// # Errors
    /// The device fails.
    pub fn soft_cap_back(
        &mut self,
        (count, cap): (usize, f32),
        x: &Buffer<f32>,
        dy: &Buffer<f32>,
        dx: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (x, dy) = (self.given(x, count), self.given(dy, count));
        let arguments = [x, dy, Argument::Float(cap), Argument::Long(count as u64), self.given(dx, count)];
        self.launch("soft_cap_back", [count.div_ceil(WIDE as usize), 1, 1], WIDE, &arguments)
    }

    /// Holds `count` numbers between minus `most` and `most`; with `dy` writes the gradient of that instead, which is 0 beyond.
    ///
    /// # Errors
    /// The device fails.
    pub fn clip(
        &mut self,
        (count, most): (usize, f32),
        x: &Buffer<f32>,
        dy: Option<&Buffer<f32>>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (x, dy) = (self.given(x, count), self.maybe(dy, count));
        let arguments = [x, dy, Argument::Float(most), Argument::Long(count as u64), self.given(out, count)];
        self.launch("clip_numbers", [count.div_ceil(WIDE as usize), 1, 1], WIDE, &arguments)
    }

    /// `out[r] = factors[r] · x[r]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn scale_rows(
        &mut self,
        [rows, width]: [usize; 2],
        x: &Buffer<f32>,
        factors: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (x, factors) = (self.given(x, rows * width), self.given(factors, rows));
        let arguments = [x, factors, word(width), self.given(out, rows * width)];
        self.launch("scale_rows", [rows, 1, 1], THREADS, &arguments)
    }

    /// `out[r] = Σ a[r] · b[r]`.
    ///
    /// # Errors
    /// The device fails.
    pub fn dot_rows(
        &mut self,
        [rows, width]: [usize; 2],
        a: &Buffer<f32>,
        b: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (a, b) = (self.given(a, rows * width), self.given(b, rows * width));
        let arguments = [a, b, word(rows), word(width), self.given(out, rows)];
        self.launch("dot_rows", [rows.div_ceil(BLOCK_ROWS), 1, 1], THREADS, &arguments)
    }
}
