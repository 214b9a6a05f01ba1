//! Gated blocks: y = a(g) · u for rows that hold g and u side by side. With SiLU this is SwiGLU, with GELU GeGLU (arXiv 2002.05202).
//!
//! Every activation is a(g) = g · s(g) with a share s of 0 to 1: ∂g = ∂y·u·(s + g·s'), ∂u = ∂y·g·s.

use candle_core::Result;
use flow_model::Activation;

use super::{elements, tensor};
use crate::simd::{exp, sigmoid, vectorised};
use crate::tape::{Node, Tape};
use crate::tensor::Tensor;

/// (N, 2F) with the gates in the first half of each row to (N, F).
pub(crate) fn gated(tape: &mut Tape, x: &Node, activation: Activation) -> Result<Node> {
    let xs = x.value.clone();
    let y = forward(&xs, activation)?;
    let again = xs.clone();
    let y = tape.push(y, [x], move |dy| Ok([backward(&xs, dy, activation)?]));
    Ok(y.computed(move || forward(&again, activation)))
}

fn forward(x: &Tensor, activation: Activation) -> Result<Tensor> {
    let (n, double) = x.dims2()?;
    let width = double / 2;
    if let Tensor::Device(array) = x {
        let xs = array.numbers();
        return array.device().make(&[n, width], |gpu, y| gpu.gate(there(activation), n, width, &xs, y));
    }
    let xs = elements(x)?;
    let mut y = vec![0.0; n * width];
    match activation {
        Activation::Silu => run::<Silu>(width, &xs, &mut y),
        Activation::GeluTanh => run::<GeluTanh>(width, &xs, &mut y),
        Activation::Gelu => run::<Gelu>(width, &xs, &mut y),
    }
    tensor(y, (n, width))
}

fn backward(x: &Tensor, dy: &Tensor, activation: Activation) -> Result<Tensor> {
    let (n, width) = dy.dims2()?;
    if let (Tensor::Device(array), Tensor::Device(d)) = (x, dy) {
        let (xs, dys, activation) = (array.numbers(), d.numbers(), there(activation));
        return array.device().make(x.dims(), |gpu, dx| gpu.gate_back(activation, [n, width], &xs, &dys, dx));
    }
    let (xs, dys) = (elements(x)?, elements(dy)?);
    let mut dx = vec![0.0; xs.len()];
    match activation {
        Activation::Silu => run_back::<Silu>(width, &xs, &dys, &mut dx),
        Activation::GeluTanh => run_back::<GeluTanh>(width, &xs, &dys, &mut dx),
        Activation::Gelu => run_back::<Gelu>(width, &xs, &dys, &mut dx),
    }
    tensor(dx, x.shape())
}

/// The same as the kernels name it.
fn there(activation: Activation) -> flow_kernels::Activation {
    match activation {
        Activation::Silu => flow_kernels::Activation::Silu,
        Activation::GeluTanh => flow_kernels::Activation::GeluTanh,
        Activation::Gelu => flow_kernels::Activation::Gelu,
    }
}

/// An activation g · s(g).
trait Share {
    /// s.
    fn of(g: f32) -> f32;

    /// d · (s + g·s').
    fn slope(d: f32, g: f32, s: f32) -> f32;
}

/// s = σ(g).
struct Silu;

impl Share for Silu {
    #[inline(always)]
    fn of(g: f32) -> f32 {
        sigmoid(g)
    }

    #[inline(always)]
    fn slope(d: f32, g: f32, s: f32) -> f32 {
        d * s * (1.0 + g * (1.0 - s))
    }
}

/// s = σ(z) with z = 2√(2/π)·(g + 0.044715·g³), which is (1 + tanh(z/2)) / 2.
struct GeluTanh;

impl GeluTanh {
    /// 2√(2/π).
    const ROOT: f32 = 1.595_769;
    const CUBE: f32 = 0.044_715 * Self::ROOT;
}

impl Share for GeluTanh {
    #[inline(always)]
    fn of(g: f32) -> f32 {
        sigmoid(g * (g * g).mul_add(Self::CUBE, Self::ROOT))
    }

    #[inline(always)]
    fn slope(d: f32, g: f32, s: f32) -> f32 {
        d * s * (1.0 + g * (1.0 - s) * (g * g).mul_add(3.0 * Self::CUBE, Self::ROOT))
    }
}

/// s = Φ(g), the normal distribution function, within 1e-7 (Abramowitz and Stegun 7.1.26).
struct Gelu;

impl Share for Gelu {
    #[inline(always)]
    fn of(g: f32) -> f32 {
        const FACTORS: [f32; 4] = [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6];
        let t = 1.0 / (1.0 + g.abs() * (0.327_591_1 * std::f32::consts::FRAC_1_SQRT_2));
        let polynomial = FACTORS.iter().fold(1.061_405_4f32, |sum, factor| sum.mul_add(t, *factor));
        let tail = 0.5 * polynomial * t * exp(-0.5 * g * g);
        if g < 0.0 { tail } else { 1.0 - tail }
    }

    #[inline(always)]
    fn slope(d: f32, g: f32, s: f32) -> f32 {
        /// 1/√(2π).
        const HEIGHT: f32 = 0.398_942_3;
        d * (g * HEIGHT).mul_add(exp(-0.5 * g * g), s)
    }
}

fn run<S: Share>(width: usize, x: &[f32], y: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || rows::<S>(width, x, y),
    );
}

fn run_back<S: Share>(width: usize, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    vectorised(
        #[inline(always)]
        || rows_back::<S>(width, x, dy, dx),
    );
}

#[inline(always)]
fn rows<S: Share>(width: usize, x: &[f32], y: &mut [f32]) {
    for (x, y) in x.chunks_exact(2 * width).zip(y.chunks_exact_mut(width)) {
        let (gate, up) = x.split_at(width);
        for ((y, g), u) in y.iter_mut().zip(gate).zip(up) {
            *y = g * S::of(*g) * u;
        }
    }
}

#[inline(always)]
fn rows_back<S: Share>(width: usize, x: &[f32], dy: &[f32], dx: &mut [f32]) {
    for ((x, dy), dx) in
        x.chunks_exact(2 * width).zip(dy.chunks_exact(width)).zip(dx.chunks_exact_mut(2 * width))
    {
        let (gate, up) = x.split_at(width);
        let (d_gate, d_up) = dx.split_at_mut(width);
        // Two loops: with one, the compiler gives up on proving that five slices do not overlap.
        for (((dg, g), u), dy) in d_gate.iter_mut().zip(gate).zip(up).zip(dy) {
            *dg = S::slope(dy * u, *g, S::of(*g));
        }
        for ((du, g), dy) in d_up.iter_mut().zip(gate).zip(dy) {
            *du = dy * g * S::of(*g);
        }
    }
}
