//! Rotary positions, rotate-half convention: element d of a head turns with element d + head_dim/2.

use std::sync::OnceLock;

use candle_core::Result;
use flow_kernels::gpu::Turns;

use crate::device::{Device, once};

/// Cosines and sines by position and frequency.
pub(crate) struct Rope {
    half: usize,
    cosines: Vec<f32>,
    sines: Vec<f32>,
    /// The same on the device of a run.
    there: OnceLock<Turns>,
}

impl Rope {
    /// Of so many positions, computed in f64.
    pub(crate) fn new(positions: usize, head_dim: usize, rope: &flow_model::Rope) -> Self {
        let (half, frequencies) = (head_dim / 2, rope.frequencies(head_dim, positions));
        let (angle, amplitude) = (|i: usize| (i / half) as f64 * frequencies[i % half], rope.amplitude());
        let turn = |i: usize| ((angle(i).cos() * amplitude) as f32, (angle(i).sin() * amplitude) as f32);
        let (cosines, sines) = (0..positions * half).map(turn).unzip();
        Self { half, cosines, sines, there: OnceLock::new() }
    }

    /// The same on `device`, which is always the one of the first call.
    pub(crate) fn there(&self, device: &Device) -> Result<&Turns> {
        once(&self.there, || device.ask(|gpu| gpu.turns(&self.cosines, &self.sines, 2 * self.half)))
    }

    /// `to = scale · rotate(from)` for one head at `position`.
    #[inline(always)]
    pub(crate) fn rotate(&self, position: usize, scale: f32, from: &[f32], to: &mut [f32]) {
        self.turn(position, scale, 1.0, from, to);
    }

    /// `to = scale · rotate⁻¹(from)`, which is also the backward pass of [`Rope::rotate`].
    #[inline(always)]
    pub(crate) fn rotate_back(&self, position: usize, scale: f32, from: &[f32], to: &mut [f32]) {
        self.turn(position, scale, -1.0, from, to);
    }

    #[inline(always)]
    fn turn(&self, position: usize, scale: f32, direction: f32, from: &[f32], to: &mut [f32]) {
        let half = self.half;
        let row = position * half..(position + 1) * half;
        let (cosines, sines) = (&self.cosines[row.clone()], &self.sines[row]);
        let (from_low, from_high) = from.split_at(half);
        let (to_low, to_high) = to.split_at_mut(half);
        let (along, across) = (scale, scale * direction);
        for ((((low, a), b), cos), sin) in
            to_low.iter_mut().zip(from_low).zip(from_high).zip(cosines).zip(sines)
        {
            *low = a * cos * along - b * sin * across;
        }
        for ((((high, a), b), cos), sin) in
            to_high.iter_mut().zip(from_low).zip(from_high).zip(cosines).zip(sines)
        {
            *high = b * cos * along + a * sin * across;
        }
    }
}
