//! Sixteen f32 at a time, on whatever registers the machine has.
//!
//! Every kernel of this crate is written against [`Lanes`]: one 512-bit register, two of 256, four of 128, or
//! sixteen scalars. Each operation rounds each lane by itself (IEEE, fused multiply-add) and reductions always fold
//! sixteen partial results in the same tree, so a result has the same bits on all of them
//! (a test holds the whole model to that).

use std::sync::LazyLock;

use pulp::{Arch, Simd, WithSimd};

/// Lanes in a [`Lanes`].
pub const LANES: usize = 16;

/// Sixteen f32 as `V` registers of the instruction set `S`.
pub(crate) type Lanes<S, const V: usize> = [<S as Simd>::f32s; V];

/// A loop that runs on the best instruction set of the machine. Its `run` and all it calls must be
/// `#[inline(always)]`: only then is it compiled for that set.
pub(crate) trait Kernel {
    /// What the loop returns.
    type Output;
    /// The loop.
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) -> Self::Output;
}

/// Runs `kernel` on the best instruction set found on this machine.
pub(crate) fn run<K: Kernel>(kernel: K) -> K::Output {
    struct Dispatch<K>(K);

    impl<K: Kernel> WithSimd for Dispatch<K> {
        type Output = K::Output;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> K::Output {
            match S::F32_LANES {
                16 => self.0.run(Unit::<S, 1>(simd)),
                8 => self.0.run(Unit::<S, 2>(simd)),
                4 => self.0.run(Unit::<S, 4>(simd)),
                _ => self.0.run(Unit::<S, 16>(simd)),
            }
        }
    }

    arch().dispatch(Dispatch(kernel))
}

fn arch() -> Arch {
    static BEST: LazyLock<Arch> = LazyLock::new(Arch::new);
    #[cfg(test)]
    if let Some(arch) = tests::FORCED.get() {
        return arch;
    }
    *BEST
}

/// The arithmetic of [`Lanes`].
#[derive(Clone, Copy)]
pub(crate) struct Unit<S, const V: usize>(S);

#[rustfmt::skip]
impl<S: Simd, const V: usize> Unit<S, V> {
    #[inline(always)]
    pub(crate) fn splat(self, x: f32) -> Lanes<S, V> { [self.0.splat_f32s(x); V] }

    #[inline(always)]
    pub(crate) fn load(self, from: &[f32; LANES]) -> Lanes<S, V> {
        let (registers, _) = S::as_simd_f32s(from);
        let mut out = self.splat(0.0);
        out.copy_from_slice(registers);
        out
    }

    #[inline(always)]
    pub(crate) fn store(self, x: Lanes<S, V>, to: &mut [f32; LANES]) {
        let (registers, _) = S::as_mut_simd_f32s(to);
        registers.copy_from_slice(&x);
    }

    #[inline(always)]
    fn zip(self, a: Lanes<S, V>, b: Lanes<S, V>, op: impl Fn(S, S::f32s, S::f32s) -> S::f32s) -> Lanes<S, V> {
        let mut out = a;
        for i in 0..V {
            out[i] = op(self.0, a[i], b[i]);
        }
        out
    }

    #[inline(always)]
    pub(crate) fn add(self, a: Lanes<S, V>, b: Lanes<S, V>) -> Lanes<S, V> { self.zip(a, b, S::add_f32s) }

    #[inline(always)]
    pub(crate) fn sub(self, a: Lanes<S, V>, b: Lanes<S, V>) -> Lanes<S, V> { self.zip(a, b, S::sub_f32s) }

    #[inline(always)]
    pub(crate) fn mul(self, a: Lanes<S, V>, b: Lanes<S, V>) -> Lanes<S, V> { self.zip(a, b, S::mul_f32s) }

    #[inline(always)]
    pub(crate) fn div(self, a: Lanes<S, V>, b: Lanes<S, V>) -> Lanes<S, V> { self.zip(a, b, S::div_f32s) }

    #[inline(always)]
    pub(crate) fn max(self, a: Lanes<S, V>, b: Lanes<S, V>) -> Lanes<S, V> { self.zip(a, b, S::max_f32s) }

    #[inline(always)]
    pub(crate) fn min(self, a: Lanes<S, V>, b: Lanes<S, V>) -> Lanes<S, V> { self.zip(a, b, S::min_f32s) }

    /// `a * b + c`, rounded once.
    #[inline(always)]
    pub(crate) fn fma(self, a: Lanes<S, V>, b: Lanes<S, V>, c: Lanes<S, V>) -> Lanes<S, V> {
        let mut out = c;
        for i in 0..V {
            out[i] = self.0.mul_add_f32s(a[i], b[i], c[i]);
        }
        out
    }

    /// e to the power of each lane, within 2 units in the last place; exactly 0 below about -87.7, and never
    /// infinite (the exponent is held at 88).
    #[inline(always)]
    pub(crate) fn exp(self, x: Lanes<S, V>) -> Lanes<S, V> {
        // Adding this rounds to an integer and leaves that integer, plus the exponent bias, in the low bits.
        const ROUND: f32 = 12_582_912.0 + 127.0;
        const POLYNOMIAL: [f32; 5] = [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5];
        let x = self.min(self.max(x, self.splat(-88.0)), self.splat(88.0));
        let shifted = self.fma(x, self.splat(std::f32::consts::LOG2_E), self.splat(ROUND));
        let n = self.sub(shifted, self.splat(ROUND));
        let r = self.fma(n, self.splat(-0.693_359_4), x);
        let r = self.fma(n, self.splat(2.121_944_4e-4), r);
        let mut p = self.splat(1.987_569_1e-4);
        for c in POLYNOMIAL {
            p = self.fma(p, r, self.splat(c));
        }
        let p = self.add(self.fma(p, self.mul(r, r), r), self.splat(1.0));
        let mut scale = shifted;
        for s in &mut scale {
            let bits = self.0.wrapping_dyn_shl_u32s(self.0.transmute_u32s_f32s(*s), self.0.splat_u32s(23));
            *s = self.0.transmute_f32s_u32s(bits);
        }
        self.mul(p, scale)
    }

    /// `cap * tanh(x / cap)`.
    #[inline(always)]
    pub(crate) fn soft_cap(self, x: Lanes<S, V>, cap: f32) -> Lanes<S, V> {
        // tanh y = 1 - 2 / (e^2y + 1)
        let grown = self.exp(self.mul(x, self.splat(2.0 / cap)));
        let rest = self.div(self.splat(2.0 * cap), self.add(grown, self.splat(1.0)));
        self.sub(self.splat(cap), rest)
    }

    /// The sum of the sixteen lanes, always folded in halves.
    #[inline(always)]
    pub(crate) fn total(self, x: Lanes<S, V>) -> f32 { self.fold(x, |a, b| a + b) }

    /// The largest of the sixteen lanes.
    #[inline(always)]
    pub(crate) fn largest(self, x: Lanes<S, V>) -> f32 { self.fold(x, |a, b| if a < b { b } else { a }) }

    #[inline(always)]
    fn fold(self, x: Lanes<S, V>, op: impl Fn(f32, f32) -> f32) -> f32 {
        let mut a = [0.0; LANES];
        self.store(x, &mut a);
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                a[i] = op(a[i], a[i + half]);
            }
        }
        a[0]
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;

    use super::*;

    struct Exp<'a>(&'a mut [f32; LANES]);

    impl Kernel for Exp<'_> {
        type Output = f32;
        #[inline(always)]
        fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) -> f32 {
            let y = unit.exp(unit.load(self.0));
            unit.store(y, self.0);
            unit.total(y)
        }
    }

    #[test]
    fn exp_is_within_two_ulp_and_vanishes_far_below() {
        let mut worst = 0.0f64;
        for i in -87_000..88_000 {
            let x = i as f32 * 0.001 + 0.000_37;
            let mut lanes = [x; LANES];
            run(Exp(&mut lanes));
            let exact = f64::from(x).exp();
            worst = worst.max((f64::from(lanes[3]) - exact).abs() / exact);
        }
        assert!(worst < 2.0 * f64::from(f32::EPSILON), "{worst}");
        for x in [-88.0, -1e4, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(run(Exp(&mut [x; LANES])), 0.0);
        }
        assert_eq!(run(Exp(&mut [0.0; LANES])), 16.0);
    }

    thread_local! {
        /// The instruction set kernels of this thread run on, in place of the best.
        pub(super) static FORCED: Cell<Option<Arch>> = const { Cell::new(None) };
    }

    /// Instruction sets of this machine, the scalar one first.
    fn sets() -> Vec<Arch> {
        let mut sets = vec![Arch::Scalar];
        #[cfg(target_arch = "x86_64")]
        sets.extend(pulp::x86::V3::try_new().map(Arch::V3));
        sets.push(Arch::new());
        sets
    }

    /// What `work` gives on every instruction set of this machine.
    pub(crate) fn on_each_set<T>(mut work: impl FnMut() -> T) -> Vec<T> {
        let on = |arch| {
            FORCED.set(Some(arch));
            let found = work();
            FORCED.set(None);
            found
        };
        sets().into_iter().map(on).collect()
    }
}
