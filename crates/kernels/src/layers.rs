//! The small loops between matrix products: RMSNorm, gates, soft caps, softmax over experts. All work on padded rows, in
//! place of which zeros stay zeros.

use pulp::Simd;

use crate::simd::{Kernel, LANES, Lanes, Unit, run};

/// `out = x / sqrt(mean(x²) + eps) * scale`, row by row.
pub fn rms_norm(x: &[f32], norm: &Norm, out: &mut [f32]) {
    run(RmsNorm { x, norm, out });
}

/// An RMSNorm's parameters.
pub struct Norm {
    /// One factor per channel, padded with zeros; its length is the row stride.
    pub scale: Vec<f32>,
    /// Channels of a row, without padding.
    pub width: usize,
    /// Added to the mean of the squares.
    pub eps: f32,
}

struct RmsNorm<'a> {
    x: &'a [f32],
    norm: &'a Norm,
    out: &'a mut [f32],
}

impl Kernel for RmsNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) {
        let Norm { scale, width, eps } = self.norm;
        let (scale, _) = scale.as_chunks::<LANES>();
        let stride = scale.len() * LANES;
        for (x, out) in self.x.chunks_exact(stride).zip(self.out.chunks_exact_mut(stride)) {
            let (x, _) = x.as_chunks::<LANES>();
            let (out, _) = out.as_chunks_mut::<LANES>();
            let mut squares = unit.splat(0.0);
            for x in x {
                squares = unit.fma(unit.load(x), unit.load(x), squares);
            }
            let factor = unit.splat(1.0 / (unit.total(squares) / *width as f32 + eps).sqrt());
            for ((x, scale), out) in x.iter().zip(scale).zip(out) {
                unit.store(unit.mul(unit.mul(unit.load(x), factor), unit.load(scale)), out);
            }
        }
    }
}

/// An RMSNorm of each `scale.len()` numbers of `row`, in place: of heads, or of all heads together.
pub fn rms_norm_parts(row: &mut [f32], scale: &[f32], eps: f32) {
    for part in row.chunks_exact_mut(scale.len()) {
        let mut squares = [0.0; LANES];
        for x in part.chunks(LANES) {
            x.iter().zip(&mut squares).for_each(|(x, sum)| *sum += x * x);
        }
        let factor = 1.0 / (squares.iter().sum::<f32>() / scale.len() as f32 + eps).sqrt();
        part.iter_mut().zip(scale).for_each(|(x, scale)| *x = *x * factor * scale);
    }
}

/// `to += x`.
pub fn add(x: &[f32], to: &mut [f32]) {
    to.iter_mut().zip(x).for_each(|(to, x)| *to += x);
}

/// `to += factor * x`, each rounded twice.
pub fn add_scaled(to: &mut [f32], factor: f32, x: &[f32]) {
    for (to, x) in to.iter_mut().zip(x) {
        *to += factor * x;
    }
}

/// Bends each number smoothly to stay between minus `cap` and `cap`, in place; the length is a multiple of the lanes.
pub fn soft_cap(x: &mut [f32], cap: f32) {
    run(SoftCap { x, cap });
}

struct SoftCap<'a> {
    x: &'a mut [f32],
    cap: f32,
}

impl Kernel for SoftCap<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) {
        for x in self.x.as_chunks_mut::<LANES>().0 {
            unit.store(unit.soft_cap(unit.load(x), self.cap), x);
        }
    }
}

/// The function of a gated block: `activation(gate) * up`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x / (1 + e^-x)`.
    Silu,
    /// `x` times the normal distribution function, by its tanh approximation.
    GeluTanh,
    /// `x` times the normal distribution function.
    Gelu,
}

/// `out = activation(gate) * up`; a row of `gate_up` is `width` gates, then `width` ups.
pub fn gate(activation: Activation, gate_up: &[f32], width: usize, out: &mut [f32]) {
    match activation {
        Activation::Silu => run(Gate::<SILU> { gate_up, width, out }),
        Activation::GeluTanh => run(Gate::<GELU_TANH> { gate_up, width, out }),
        Activation::Gelu => run(Gate::<GELU> { gate_up, width, out }),
    }
}

const SILU: u8 = 0;
const GELU_TANH: u8 = 1;
const GELU: u8 = 2;

/// The activation `A` of sixteen numbers.
#[inline(always)]
fn activate<S: Simd, const V: usize, const A: u8>(unit: Unit<S, V>, x: Lanes<S, V>) -> Lanes<S, V> {
    let zero = unit.splat(0.0);
    match A {
        SILU => unit.div(x, unit.add(unit.splat(1.0), unit.exp(unit.sub(zero, x)))),
        GELU_TANH => {
            // x (1 + tanh u) / 2 = x / (1 + e^-2u) with u = √(2/π) (x + 0.044715 x³).
            let root = 2.0 * (2.0 / std::f32::consts::PI).sqrt();
            let cubic = unit.fma(unit.mul(x, x), unit.splat(0.044_715 * root), unit.splat(root));
            let decay = unit.exp(unit.sub(zero, unit.mul(x, cubic)));
            unit.div(x, unit.add(unit.splat(1.0), decay))
        }
        _ => {
            // The normal distribution function's tail: Abramowitz and Stegun 7.1.26, within 1.5e-7.
            const TAIL: [f32; 4] = [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
            let size = unit.max(x, unit.sub(zero, x));
            let scaled = unit.mul(size, unit.splat(0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2));
            let t = unit.div(unit.splat(1.0), unit.add(unit.splat(1.0), scaled));
            let mut tail = unit.splat(1.061_405_4);
            for c in TAIL {
                tail = unit.fma(tail, t, unit.splat(c));
            }
            let bell = unit.exp(unit.mul(unit.mul(size, size), unit.splat(-0.5)));
            let tail = unit.mul(unit.mul(tail, t), bell);
            unit.sub(unit.max(x, zero), unit.mul(unit.mul(size, unit.splat(0.5)), tail))
        }
    }
}

struct Gate<'a, const A: u8> {
    gate_up: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl<const A: u8> Kernel for Gate<'_, A> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) {
        let rows = self.gate_up.chunks_exact(2 * self.width).zip(self.out.chunks_exact_mut(self.width));
        for (gate_up, out) in rows {
            let (gate, up) = gate_up.split_at(self.width);
            let chunks = gate.as_chunks::<LANES>().0.iter().zip(up.as_chunks::<LANES>().0);
            for ((gate, up), out) in chunks.zip(out.as_chunks_mut::<LANES>().0) {
                let active = activate::<S, V, A>(unit, unit.load(gate));
                unit.store(unit.mul(active, unit.load(up)), out);
            }
        }
    }
}

/// Softmax over a row whose padding is `f32::MIN` (its probability is 0), in place.
pub fn softmax(row: &mut [f32]) {
    run(Softmax(row));
}

struct Softmax<'a>(&'a mut [f32]);

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) {
        let (chunks, _) = self.0.as_chunks_mut::<LANES>();
        let mut top = unit.splat(f32::MIN);
        for x in chunks.iter() {
            top = unit.max(top, unit.load(x));
        }
        let top = unit.splat(unit.largest(top));
        let mut total = unit.splat(0.0);
        for x in chunks.iter_mut() {
            let e = unit.exp(unit.sub(unit.load(x), top));
            total = unit.add(total, e);
            unit.store(e, x);
        }
        let total = unit.splat(unit.total(total));
        for x in chunks {
            unit.store(unit.div(unit.load(x), total), x);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: &[f32], expected: impl IntoIterator<Item = f64>) {
        for (i, (f, e)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(*f) - e).abs() < 1e-6 * (1.0 + e.abs()), "{i}: {f} {e}");
        }
    }

    #[test]
    fn rms_norm_divides_by_the_root_mean_square_of_the_unpadded_row() {
        let mut x = vec![0.0; 64];
        let mut scale = vec![0.0; 32];
        for i in 0..20 {
            (x[i], x[32 + i], scale[i]) = (i as f32, 1.0, 2.0);
        }
        let mut out = vec![1.0; 64];
        rms_norm(&x, &Norm { scale, width: 20, eps: 0.5 }, &mut out);
        let mean = (0..20).map(|i| f64::from(i * i)).sum::<f64>() / 20.0;
        close(&out[..20], (0..20).map(|i| 2.0 * f64::from(i) / (mean + 0.5).sqrt()));
        close(&out[32..52], [2.0 / 1.5f64.sqrt(); 20]);
        assert!(out[20..32].iter().all(|&x| x == 0.0));
    }

    #[test]
    fn a_soft_cap_keeps_small_numbers_and_bounds_large_ones() {
        let mut x: Vec<f32> = (0..32).map(|i| (i as f32 - 16.0).powi(3) * 0.1).collect();
        let before = x.clone();
        soft_cap(&mut x, 30.0);
        for (found, x) in x.iter().zip(&before) {
            assert!((f64::from(*found) - 30.0 * (f64::from(*x) / 30.0).tanh()).abs() < 1e-5, "{x}: {found}");
        }
        assert!(x[0] >= -30.0 && x[0] < -29.9);
    }

    #[test]
    fn parts_of_a_row_are_normed_by_themselves() {
        let mut row = [3.0, 4.0, 0.0, 0.0, 0.0, 0.0, 6.0, 8.0];
        rms_norm_parts(&mut row, &[1.0, 1.0, 1.0, 2.0], 0.0);
        close(&row, [1.2, 1.6, 0.0, 0.0, 0.0, 0.0, 1.2, 3.2]);
    }

    #[test]
    fn softmax_sums_to_one() {
        let mut row = vec![f32::MIN; 32];
        row[..4].copy_from_slice(&[1.0, 2.0, 3.0, -50.0]);
        softmax(&mut row);
        let e = |x: f64| x.exp() / (1f64.exp() + 2f64.exp() + 3f64.exp());
        close(&row, [e(1.0), e(2.0), e(3.0), e(-50.0)]);
        assert!(row[4..].iter().all(|&p| p == 0.0));
    }
}
