//! Plain loops that the compiler turns into the widest vector instructions of the machine.
//!
//! [`vectorised`] compiles a closure for each instruction set and picks one at run time. Everything it calls must be
//! `#[inline(always)]`. Sums run in [`LANES`] fixed lanes, so their order, and with it their bits, does not depend on
//! the machine's vector width; with fused multiply-add in hardware or in software the bits are the same too.

use pulp::Arch;

/// Numbers treated at once.
pub(crate) const LANES: usize = 16;

/// The vector instructions that training uses on this machine: `avx512`, `avx2`, `neon` or `scalar`. Large products
/// are summed in tiles of their width, so trained weights differ between sets in their last bits.
pub fn instruction_set() -> &'static str {
    match Arch::new() {
        #[cfg(target_arch = "x86_64")]
        Arch::V4(_) => "avx512",
        #[cfg(target_arch = "x86_64")]
        Arch::V3(_) => "avx2",
        #[cfg(target_arch = "aarch64")]
        Arch::Neon(_) => "neon",
        _ => "scalar",
    }
}

/// Runs `kernel`, compiled for the best instruction set of this machine.
pub(crate) fn vectorised<R>(kernel: impl FnOnce() -> R) -> R {
    Arch::new().dispatch(kernel)
}

/// e to the power of x, within 2 units in the last place; exactly 0 from -88 down, held at e^88 above.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding this rounds to an integer and leaves that integer plus the exponent bias in the low bits.
    const ROUND: f32 = 12_582_912.0 + 127.0;
    let x = x.clamp(-88.0, 88.0);
    let shifted = x.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-0.693_359_4, x);
    let r = n.mul_add(2.121_944_4e-4, r);
    let mut p = 1.987_569_1e-4f32;
    for c in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        p = p.mul_add(r, c);
    }
    let p = p.mul_add(r * r, r) + 1.0;
    p * f32::from_bits(shifted.to_bits() << 23)
}

/// 1 / (1 + e^-x).
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `cap · tanh(x / cap)`.
#[inline(always)]
pub(crate) fn soft_capped(x: f32, cap: f32) -> f32 {
    // tanh y = 1 - 2 / (e^2y + 1)
    cap - 2.0 * cap / (exp(x * (2.0 / cap)) + 1.0)
}

/// The slope of [`soft_capped`] where it gives `y`.
#[inline(always)]
pub(crate) fn soft_cap_slope(y: f32, cap: f32) -> f32 {
    1.0 - (y / cap) * (y / cap)
}

/// Σ a·b.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    for (a, b) in a.iter().zip(b) {
        for l in 0..LANES {
            lanes[l] = a[l].mul_add(b[l], lanes[l]);
        }
    }
    for ((lane, a), b) in lanes.iter_mut().zip(a_rest).zip(b_rest) {
        *lane = a.mul_add(*b, *lane);
    }
    fold(lanes, |a, b| a + b)
}

/// Σ a.
#[inline(always)]
pub(crate) fn sum(a: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] += chunk[l];
        }
    }
    for (lane, a) in lanes.iter_mut().zip(rest) {
        *lane += a;
    }
    fold(lanes, |a, b| a + b)
}

/// Σ a², in f64.
#[inline(always)]
pub(crate) fn square_sum(a: &[f32]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            let x = f64::from(chunk[l]);
            lanes[l] = x.mul_add(x, lanes[l]);
        }
    }
    for (lane, x) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(*x) * f64::from(*x);
    }
    lanes.iter().sum()
}

/// The largest number; -∞ of nothing.
#[inline(always)]
pub(crate) fn largest(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = a.as_chunks::<LANES>();
    for chunk in chunks {
        for l in 0..LANES {
            lanes[l] = larger(lanes[l], chunk[l]);
        }
    }
    for (lane, a) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, *a);
    }
    fold(lanes, larger)
}

#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if a < b { b } else { a }
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES], op: impl Fn(f32, f32) -> f32) -> f32 {
    for half in [8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = op(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere_and_zero_far_below() {
        for i in -870_000..880_000 {
            let x = i as f32 * 1e-4;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "{x}: {error}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-88.0), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn reductions_count_every_element_once() {
        for n in [0, 1, 15, 16, 17, 40] {
            let a: Vec<f32> = (0..n).map(|i| i as f32).collect();
            let total: f32 = a.iter().sum();
            assert_eq!(sum(&a), total);
            assert_eq!(square_sum(&a), a.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>());
            assert_eq!(dot(&a, &vec![2.0; n]), 2.0 * total);
            assert_eq!(largest(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        }
    }
}
