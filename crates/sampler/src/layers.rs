//! The small loops between matrix products: RMSNorm, SwiGLU, softmax over experts. All work on padded rows, in
//! place of which zeros stay zeros.

use pulp::Simd;

use crate::simd::{Kernel, LANES, Unit, run};

/// `out = x / sqrt(mean(x²) + eps) * scale`, row by row.
pub(crate) fn rms_norm(x: &[f32], norm: &Norm, out: &mut [f32]) {
    run(RmsNorm { x, norm, out });
}

/// An RMSNorm's parameters.
pub(crate) struct Norm {
    /// One factor per channel, padded with zeros; its length is the row stride.
    pub(crate) scale: Vec<f32>,
    /// Channels of a row, without padding.
    pub(crate) width: usize,
    pub(crate) eps: f32,
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

/// `out = silu(gate) * up`; a row of `gate_up` is `width` gates, then `width` ups.
pub(crate) fn swiglu(gate_up: &[f32], width: usize, out: &mut [f32]) {
    run(Swiglu { gate_up, width, out });
}

struct Swiglu<'a> {
    gate_up: &'a [f32],
    width: usize,
    out: &'a mut [f32],
}

impl Kernel for Swiglu<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) {
        let rows = self.gate_up.chunks_exact(2 * self.width).zip(self.out.chunks_exact_mut(self.width));
        for (gate_up, out) in rows {
            let (gate, up) = gate_up.split_at(self.width);
            let chunks = gate.as_chunks::<LANES>().0.iter().zip(up.as_chunks::<LANES>().0);
            for ((gate, up), out) in chunks.zip(out.as_chunks_mut::<LANES>().0) {
                let gate = unit.load(gate);
                let decay = unit.exp(unit.sub(unit.splat(0.0), gate));
                let silu = unit.div(gate, unit.add(unit.splat(1.0), decay));
                unit.store(unit.mul(silu, unit.load(up)), out);
            }
        }
    }
}

/// Softmax over a row whose padding is `f32::MIN` (its probability is 0), in place.
pub(crate) fn softmax(row: &mut [f32]) {
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
    fn swiglu_gates_and_softmax_sums_to_one() {
        let gate_up: Vec<f32> = (0..64).map(|i| (i as f32 - 20.0) * 0.7).collect();
        let mut out = vec![0.0; 32];
        swiglu(&gate_up, 32, &mut out);
        let silu = |x: f64| x / (1.0 + (-x).exp());
        close(&out, (0..32).map(|i| silu(f64::from(gate_up[i])) * f64::from(gate_up[i + 32])));

        let mut row = vec![f32::MIN; 32];
        row[..4].copy_from_slice(&[1.0, 2.0, 3.0, -50.0]);
        softmax(&mut row);
        let e = |x: f64| x.exp() / (1f64.exp() + 2f64.exp() + 3f64.exp());
        close(&row, [e(1.0), e(2.0), e(3.0), e(-50.0)]);
        assert!(row[4..].iter().all(|&p| p == 0.0));
    }
}
