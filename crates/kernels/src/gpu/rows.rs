//! Launchers of the small loops between products.

use super::{Argument, Buffer, DeviceError, Gpu, Indices, word};
use crate::layers::Activation;

/// Threads of a block that goes over a row.
const ROW: u32 = 128;

/// Threads of a block of single numbers.
const EACH: u32 = 256;

/// The number by which kernels know an activation.
pub(super) fn kind(activation: Activation) -> Argument {
    Argument::Word(match activation {
        Activation::Silu => 0,
        Activation::GeluTanh => 1,
        Activation::Gelu => 2,
    })
}

impl Gpu {
    /// `out = x / sqrt(mean(x²) + eps) * scale` for `rows` rows of `width` numbers, which `scale` pads with zeros.
    ///
    /// # Errors
    /// The device fails.
    pub fn rms_norm(
        &mut self,
        rows: usize,
        x: &Buffer<f32>,
        scale: &Buffer<f32>,
        (width, eps): (usize, f32),
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let stride = scale.len();
        assert!(width <= stride);
        let (x, scale) = (self.given(x, rows * stride), self.given(scale, stride));
        let out = self.given(out, rows * stride);
        let arguments = [x, scale, word(width), word(stride), Argument::Float(eps), out];
        self.launch("rms_norm", [rows, 1, 1], ROW, &arguments)
    }

    /// `to += x` for `count` numbers.
    ///
    /// # Errors
    /// The device fails.
    pub fn add(&mut self, count: usize, x: &Buffer<f32>, to: &mut Buffer<f32>) -> Result<(), DeviceError> {
        let arguments = [self.given(x, count), self.given(to, count), Argument::Long(count as u64)];
        self.launch("add_rows", [count.div_ceil(EACH as usize), 1, 1], EACH, &arguments)
    }

    /// `to = 0` for `count` numbers.
    ///
    /// # Errors
    /// The device fails.
    pub fn clear(&mut self, count: usize, to: &mut Buffer<f32>) -> Result<(), DeviceError> {
        let arguments = [Argument::Address(0, 0), self.given(to, count), Argument::Long(count as u64)];
        self.launch("add_rows", [count.div_ceil(EACH as usize), 1, 1], EACH, &arguments)
    }

    /// `out[r] = x[index[r]]` for `rows` rows; each index is below the `held` rows of `x`.
    ///
    /// # Errors
    /// The device fails.
    pub fn gather(
        &mut self,
        rows: usize,
        (x, held): (&Buffer<f32>, usize),
        index: &Indices,
        stride: usize,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let (x, index) = (self.given(x, held * stride), self.below(index, rows, held));
        let arguments = [x, index, word(stride), self.given(out, rows * stride)];
        self.launch("gather_rows", [rows, 1, 1], ROW, &arguments)
    }

    /// Bends `count` numbers to stay between minus `cap` and `cap`.
    ///
    /// # Errors
    /// The device fails.
    pub fn soft_cap(&mut self, count: usize, cap: f32, x: &mut Buffer<f32>) -> Result<(), DeviceError> {
        let arguments = [self.given(x, count), Argument::Float(cap), Argument::Long(count as u64)];
        self.launch("soft_cap", [count.div_ceil(EACH as usize), 1, 1], EACH, &arguments)
    }

    /// `out = activation(gate) * up` for `rows` rows, each `width` gates, then `width` ups.
    ///
    /// # Errors
    /// The device fails.
    pub fn gate(
        &mut self,
        activation: Activation,
        rows: usize,
        width: usize,
        gate_up: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let count = rows * width;
        let gate_up = self.given(gate_up, 2 * count);
        let arguments =
            [gate_up, kind(activation), word(width), Argument::Long(count as u64), self.given(out, count)];
        self.launch("gate", [count.div_ceil(EACH as usize), 1, 1], EACH, &arguments)
    }

    /// `rows` rows of `x` with 8 bits each: `round(127 x / m) m / 127` with m the largest |x| of the row.
    ///
    /// # Errors
    /// The device fails.
    pub fn round(
        &mut self,
        rows: usize,
        stride: usize,
        x: &Buffer<f32>,
        out: &mut Buffer<f32>,
    ) -> Result<(), DeviceError> {
        let arguments = [self.given(x, rows * stride), word(stride), self.given(out, rows * stride)];
        self.launch("round_rows", [rows, 1, 1], ROW, &arguments)
    }
}
