//! Rows times a weight matrix, with the weights packed once.
//!
//! `gemm`-like libraries repack the weights at every call and pick another path for few rows; with the weights of a
//! model fixed for thousands of calls, packing them once is faster, and one path for any number of rows gives the
//! property all of this crate rests on: each output is one chain of fused multiply-adds over the inputs in order, so
//! a row's result has the same bits alone and among any others.

use std::cell::RefCell;

use pulp::Simd;

use crate::numbers::{Bf16, Precision, Weight, round, scale};
use crate::panels::{Code, Codes, PANEL, Panels, Widen};
use crate::simd::{Kernel, LANES, Lanes, Unit, run};

/// Rows in the largest tile: 12 x 2 accumulators fill 24 of the 32 registers of AVX-512.
const TILE: usize = 12;

/// The width a row of `n` numbers takes in a buffer: whole panels, the rest zeros.
#[inline]
pub fn padded(n: usize) -> usize {
    n.next_multiple_of(PANEL)
}

/// A weight matrix, inputs x outputs, cut into panels of 32 outputs.
pub struct Packed {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) panels: Panels,
    /// Added to each output row, padded with zeros.
    pub(crate) bias: Option<Box<[f32]>>,
}

impl Packed {
    /// Packs matrices with the same `inputs` side by side. Each is row-major (outputs, inputs), as in a checkpoint;
    /// its outputs start on a panel border and are followed by zeros up to the next.
    pub fn new(precision: Precision, inputs: usize, matrices: &[&[f32]]) -> Self {
        let counts: Vec<usize> = matrices.iter().map(|matrix| matrix.len() / inputs).collect();
        let mut packed = Self::zeros(precision, inputs, counts.iter().copied());
        let mut column = 0;
        for (matrix, outputs) in matrices.iter().zip(counts) {
            packed.set(column, matrix);
            column += padded(outputs);
        }
        packed
    }

    /// The same of zeros, with so many `outputs` for each matrix: [`Packed::set`] fills it, a few outputs at a time.
    pub fn zeros(precision: Precision, inputs: usize, outputs: impl IntoIterator<Item = usize>) -> Self {
        let outputs = outputs.into_iter().map(padded).sum();
        Self { inputs, outputs, panels: Panels::zeros(precision, inputs, outputs), bias: None }
    }

    /// The same for weights that [`Packed::set_coded`] sets.
    pub fn coded(code: Code, inputs: usize, outputs: impl IntoIterator<Item = usize>) -> Self {
        let outputs = outputs.into_iter().map(padded).sum();
        Self { inputs, outputs, panels: Panels::coded(code, inputs, outputs), bias: None }
    }

    /// Sets the weights of outputs from the column `first` on, row-major (outputs, inputs). The columns of a matrix begin behind the
    /// padded ones of the matrix before it.
    ///
    /// # Panics
    /// The weights are coded.
    pub fn set(&mut self, first: usize, weights: &[f32]) {
        let inputs = self.inputs;
        for (column, row) in (first..).zip(weights.chunks_exact(inputs)) {
            match &mut self.panels {
                Panels::F32(panels) => put(panels, column, row, |w| w),
                Panels::Bf16(panels) => put(panels, column, row, Bf16::round),
                Panels::Int8(panels, scales) => {
                    let scale = scale(row);
                    scales[column] = scale;
                    put(panels, column, row, |w| round(w, scale));
                }
                Panels::Ternary(..) | Panels::Int4(..) => panic!("coded weights are set by their codes"),
            }
        }
    }

    /// The same of codes, and of the `scales` of their groups, row-major (outputs, groups).
    ///
    /// # Panics
    /// The weights are not coded, or the scales are not as many as groups.
    pub fn set_coded(&mut self, first: usize, codes: &[i8], scales: &[f32]) {
        let inputs = self.inputs;
        let groups = inputs.div_ceil(self.panels.group(inputs));
        assert_eq!(codes.len() * groups, scales.len() * inputs, "each group has a scale");
        let outputs = codes.chunks_exact(inputs).zip(scales.chunks_exact(groups));
        for (column, (codes, scales)) in (first..).zip(outputs) {
            let (panel, at) = (column / PANEL, column % PANEL);
            let kept = match &mut self.panels {
                Panels::Ternary(rows, kept) => {
                    let rows = rows[panel * inputs..].iter_mut().zip(codes);
                    rows.for_each(|(row, code)| row.put(at, *code));
                    kept
                }
                Panels::Int4(rows, kept) => {
                    let rows = rows[panel * inputs..].iter_mut().zip(codes);
                    rows.for_each(|(row, code)| row.put(at, *code));
                    kept
                }
                Panels::F32(_) | Panels::Bf16(_) | Panels::Int8(..) => panic!("the weights have no codes"),
            };
            for (g, scale) in scales.iter().enumerate() {
                kept[(panel * groups + g) * PANEL + at] = *scale;
            }
        }
    }

    /// The same with a bias for each of the matrices, in their order.
    pub fn with_bias(self, biases: &[&[f32]]) -> Self {
        let padded = biases.iter().flat_map(|bias| {
            let zeros = padded(bias.len()) - bias.len();
            bias.iter().copied().chain(std::iter::repeat_n(0.0, zeros))
        });
        Self { bias: Some(padded.collect()), ..self }
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        self.panels.bytes() + self.bias.as_ref().map_or(0, |bias| size_of_val(&**bias))
    }

    /// Width of an output row, padding included.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// `out = x · W + bias` for `rows` rows.
    pub fn multiply(&self, rows: usize, x: &[f32], out: &mut [f32]) {
        self.product::<false>(rows, x, out);
        self.add_bias(out);
    }

    /// `out += x · W + bias` for `rows` rows; the product is complete before it is added.
    pub fn multiply_add(&self, rows: usize, x: &[f32], out: &mut [f32]) {
        self.product::<true>(rows, x, out);
        self.add_bias(out);
    }

    fn product<const ADD: bool>(&self, rows: usize, x: &[f32], out: &mut [f32]) {
        let (k, n) = (self.inputs, self.outputs);
        match &self.panels {
            Panels::F32(panels) => run(Product::<f32, ADD> { k, n, panels, scales: None, rows, x, out }),
            Panels::Bf16(panels) => run(Product::<Bf16, ADD> { k, n, panels, scales: None, rows, x, out }),
            Panels::Int8(panels, scales) => {
                run(Product::<i8, ADD> { k, n, panels, scales: Some(scales), rows, x, out });
            }
            Panels::Ternary(codes, scales) => self.coded_product::<_, ADD>(codes, scales, rows, x, out),
            Panels::Int4(codes, scales) => self.coded_product::<_, ADD>(codes, scales, rows, x, out),
        }
    }

    /// The same of coded weights: a panel at a time is widened, for all rows.
    fn coded_product<C: Codes, const ADD: bool>(
        &self,
        codes: &[C],
        scales: &[f32],
        rows: usize,
        x: &[f32],
        out: &mut [f32],
    ) {
        thread_local! {
            static WIDE: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
        }
        let (k, n, group) = (self.inputs, self.outputs, self.panels.group(self.inputs));
        let groups = k.div_ceil(group) * PANEL;
        WIDE.with_borrow_mut(|wide| {
            wide.resize(k * PANEL, 0.0);
            for (p, (codes, scales)) in codes.chunks_exact(k).zip(scales.chunks_exact(groups)).enumerate() {
                run(Widen { codes, scales, group, wide });
                let out = &mut out[p * PANEL..];
                run(Product::<f32, ADD> { k, n, panels: wide, scales: None, rows, x, out });
            }
        });
    }

    fn add_bias(&self, out: &mut [f32]) {
        let Some(bias) = &self.bias else { return };
        for row in out.chunks_exact_mut(self.outputs) {
            row.iter_mut().zip(bias).for_each(|(to, b)| *to += b);
        }
    }
}

/// Puts the weights of an output into its panel, as `of` keeps them.
fn put<W: Weight>(panels: &mut [W], column: usize, weights: &[f32], of: impl Fn(f32) -> W) {
    let panel = &mut panels[column / PANEL * PANEL * weights.len()..][..PANEL * weights.len()];
    for (to, &weight) in panel.iter_mut().skip(column % PANEL).step_by(PANEL).zip(weights) {
        *to = of(weight);
    }
}

struct Product<'a, W, const ADD: bool> {
    /// Inputs.
    k: usize,
    /// Outputs.
    n: usize,
    panels: &'a [W],
    /// One for each output.
    scales: Option<&'a [f32]>,
    rows: usize,
    /// rows x padded(inputs)
    x: &'a [f32],
    /// rows x outputs
    out: &'a mut [f32],
}

impl<W: Weight, const ADD: bool> Kernel for Product<'_, W, ADD> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, unit: Unit<S, V>) {
        let Self { k, n, panels, scales, rows, x, out } = self;
        let stride = padded(k);
        // Accumulators of a tile must fit the registers: 32 of 512 bits, 16 of 256, 32 of 128.
        let limit = match V {
            1 => TILE,
            2 | 4 => 3,
            _ => 1,
        };
        let tiles = rows.div_ceil(limit);
        for (p, weights) in panels.chunks_exact(k * PANEL).enumerate() {
            let panel = Panel { k, weights, scales: scales.map(|scales| &scales[p * PANEL..][..PANEL]) };
            for t in 0..tiles {
                let (first, end) = (rows * t / tiles, rows * (t + 1) / tiles);
                let x = &x[first * stride..end * stride];
                let out = &mut out[first * n + p * PANEL..];
                match end - first {
                    1 => tile::<S, V, W, 1, ADD>(unit, x, &panel, out, n),
                    2 => tile::<S, V, W, 2, ADD>(unit, x, &panel, out, n),
                    3 => tile::<S, V, W, 3, ADD>(unit, x, &panel, out, n),
                    4 => tile::<S, V, W, 4, ADD>(unit, x, &panel, out, n),
                    5 => tile::<S, V, W, 5, ADD>(unit, x, &panel, out, n),
                    6 => tile::<S, V, W, 6, ADD>(unit, x, &panel, out, n),
                    7 => tile::<S, V, W, 7, ADD>(unit, x, &panel, out, n),
                    8 => tile::<S, V, W, 8, ADD>(unit, x, &panel, out, n),
                    9 => tile::<S, V, W, 9, ADD>(unit, x, &panel, out, n),
                    10 => tile::<S, V, W, 10, ADD>(unit, x, &panel, out, n),
                    11 => tile::<S, V, W, 11, ADD>(unit, x, &panel, out, n),
                    _ => tile::<S, V, W, TILE, ADD>(unit, x, &panel, out, n),
                }
            }
        }
    }
}

/// 32 outputs of a matrix.
struct Panel<'a, W> {
    k: usize,
    weights: &'a [W],
    scales: Option<&'a [f32]>,
}

/// `R` rows of `x` times one panel, into 32 columns of `R` rows of `out` (row length `n`).
#[inline(always)]
fn tile<S: Simd, const V: usize, W: Weight, const R: usize, const ADD: bool>(
    unit: Unit<S, V>,
    x: &[f32],
    panel: &Panel<'_, W>,
    out: &mut [f32],
    n: usize,
) {
    let k = panel.k;
    let stride = padded(k);
    let rows: [&[f32]; R] = std::array::from_fn(|r| &x[r * stride..][..k]);
    let mut sums = [[unit.splat(0.0); 2]; R];
    for (i, weights) in panel.weights.as_chunks::<PANEL>().0[..k].iter().enumerate() {
        let w = halves(unit, weights);
        for r in 0..R {
            let value = unit.splat(rows[r][i]);
            sums[r] = [unit.fma(value, w[0], sums[r][0]), unit.fma(value, w[1], sums[r][1])];
        }
    }
    if let Some(scales) = panel.scales {
        let scales = scales.as_chunks::<LANES>().0;
        for sums in &mut sums {
            *sums = [unit.mul(sums[0], unit.load(&scales[0])), unit.mul(sums[1], unit.load(&scales[1]))];
        }
    }
    for r in 0..R {
        let (chunks, _) = out[r * n..][..PANEL].as_chunks_mut::<LANES>();
        for (chunk, sum) in chunks.iter_mut().zip(sums[r]) {
            let total = if ADD { unit.add(unit.load(chunk), sum) } else { sum };
            unit.store(total, chunk);
        }
    }
}

#[inline(always)]
fn halves<S: Simd, const V: usize, W: Weight>(unit: Unit<S, V>, row: &[W; PANEL]) -> [Lanes<S, V>; 2] {
    let (chunks, _) = row.as_chunks::<LANES>();
    let widened = |chunk: &[W; LANES]| unit.load(&chunk.map(W::widen));
    [widened(&chunks[0]), widened(&chunks[1])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize, seed: u32) -> Vec<f32> {
        (0..n as u32).map(|i| crate::random::uniform(&[seed as u8; 16], i) as f32 - 0.5).collect()
    }

    fn rows(values: &[f32], width: usize) -> Vec<f32> {
        values.chunks(width).flat_map(|r| r.iter().copied().chain(vec![0.0; padded(width) - width])).collect()
    }

    #[test]
    fn a_row_is_one_chain_of_fused_steps_whatever_the_number_of_rows() {
        for (k, n) in [(1, 1), (8, 33), (64, 96), (128, 384), (172, 64), (352, 128)] {
            let (w, x) = (numbers(n * k, 1), numbers(300 * k, 2));
            let packed = Packed::new(Precision::F32, k, &[&w]);
            let width = packed.outputs();
            let chain = |r: usize, o: usize| {
                (0..k).fold(0.0f32, |sum, i| x[r * k + i].mul_add(w[o * k + i], sum)).to_bits()
            };
            let expected: Vec<Vec<u32>> = (0..300).map(|r| (0..n).map(|o| chain(r, o)).collect()).collect();
            let x = rows(&x, k);
            for count in (1..40).chain([64, 128, 300]) {
                let mut out = vec![f32::NAN; count * width];
                packed.multiply(count, &x, &mut out);
                for (r, row) in out.chunks(width).enumerate() {
                    let bits: Vec<u32> = row[..n].iter().map(|v| v.to_bits()).collect();
                    assert_eq!(bits, expected[r], "row {r} of {count}, {k} x {n}");
                    assert!(row[n..].iter().all(|&v| v == 0.0));
                }
            }
        }
    }

    /// The weights that are kept for `w`, (outputs, k), and the scale of each output.
    fn kept(precision: Precision, w: &[f32], k: usize) -> (Vec<f32>, Vec<f32>) {
        let scales: Vec<f32> = w.chunks(k).map(scale).collect();
        let weights = w.chunks(k).zip(&scales).flat_map(|(row, scale)| {
            row.iter().map(|w| match precision {
                Precision::F32 => *w,
                Precision::Bf16 => Bf16::round(*w).widen(),
                Precision::Int8 => f32::from(round(*w, *scale)),
            })
        });
        (weights.collect(), if precision == Precision::Int8 { scales } else { vec![1.0; w.len() / k] })
    }

    #[test]
    fn narrow_weights_are_widened_before_the_same_chain() {
        for precision in [Precision::Bf16, Precision::Int8] {
            for (k, n) in [(1, 1), (8, 33), (172, 64)] {
                let (w, x) = (numbers(n * k, 1), numbers(40 * k, 2));
                let packed = Packed::new(precision, k, &[&w]);
                let (kept, scales) = kept(precision, &w, k);
                let padded_x = rows(&x, k);
                for count in [1, 2, 13, 40] {
                    let mut out = vec![f32::NAN; count * packed.outputs()];
                    packed.multiply(count, &padded_x, &mut out);
                    for (r, o) in (0..count).flat_map(|r| (0..n).map(move |o| (r, o))) {
                        let sum = (0..k).fold(0.0f32, |sum, i| x[r * k + i].mul_add(kept[o * k + i], sum));
                        let found = out[r * packed.outputs() + o];
                        assert_eq!(
                            found.to_bits(),
                            (sum * scales[o]).to_bits(),
                            "{precision:?} {k} x {n}, {r} {o}"
                        );
                    }
                }
                assert!(packed.bytes() < 4 * k * packed.outputs() / 2 + 5 * packed.outputs());
            }
        }
    }

    /// A matrix of random codes with their scales, packed, and the weights that it computes with, (n, k).
    fn coded(code: Code, k: usize, n: usize) -> (Packed, Vec<f32>) {
        let (most, groups) = (if code == Code::Ternary { 1.0 } else { 7.0 }, k.div_ceil(code.group(k)));
        let codes = numbers(n * k, 1).into_iter().map(|x| (2.0 * most * x).round_ties_even() as i8);
        // Of few bits, so that products have no rounding.
        let scales = numbers(n * groups, 3).into_iter().map(|x| Bf16::round(x.abs()).widen());
        let (codes, scales): (Vec<i8>, Vec<f32>) = (codes.collect(), scales.collect());
        let scale = |o: usize, i: usize| scales[o * groups + i / code.group(k)];
        let weights = (0..n * k).map(|at| f32::from(codes[at]) * scale(at / k, at % k)).collect();
        let mut packed = Packed::coded(code, k, [n]);
        // In two parts, as chunks of a file are.
        let first = n / 2;
        packed.set_coded(first, &codes[first * k..], &scales[first * groups..]);
        if first > 0 {
            packed.set_coded(0, &codes[..first * k], &scales[..first * groups]);
        }
        (packed, weights)
    }

    #[test]
    fn coded_weights_compute_what_they_stand_for() {
        for code in [Code::Ternary, Code::Int4] {
            for (k, n) in [(1, 1), (8, 33), (128, 70), (300, 64)] {
                let ((packed, weights), x) = (coded(code, k, n), rows(&numbers(40 * k, 2), k));
                let full = Packed::new(Precision::F32, k, &[&weights]);
                for count in [1, 2, 13, 40] {
                    let products = [&packed, &full].map(|matrix| {
                        let mut out = vec![1.5; count * matrix.outputs()];
                        matrix.multiply_add(count, &x, &mut out);
                        out.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                    });
                    assert_eq!(products[0], products[1], "{code:?} {k} x {n}, {count} rows");
                }
                assert_eq!(packed.bytes(), code.bytes(k, packed.outputs()));
            }
        }
        let bits = |code: Code| 8.0 * code.bytes(4096, 4096) as f64 / (4096.0 * 4096.0);
        assert_eq!([Code::Ternary, Code::Int4].map(bits), [2.0 + 32.0 / 4096.0, 4.25]);
    }

    #[test]
    fn a_bias_is_added_to_each_row_of_its_own_matrix() {
        let (a, b) = (numbers(40 * 16, 1), numbers(8 * 16, 2));
        let x = rows(&numbers(3 * 16, 3), 16);
        let (mut plain, mut biased) = (vec![0.0; 3 * 96], vec![0.0; 3 * 96]);
        Packed::new(Precision::F32, 16, &[&a, &b]).multiply(3, &x, &mut plain);
        Packed::new(Precision::F32, 16, &[&a, &b]).with_bias(&[&[2.0; 40], &[3.0; 8]]).multiply(
            3,
            &x,
            &mut biased,
        );
        for (i, (plain, biased)) in plain.iter().zip(&biased).enumerate() {
            let bias = [2.0, 0.0, 3.0, 0.0][[40, 64, 72, 96].iter().position(|end| i % 96 < *end).unwrap()];
            assert_eq!(*biased, plain + bias, "{i}");
        }
    }

    #[test]
    fn matrices_side_by_side_start_on_panels_and_adding_adds() {
        let (a, b) = (numbers(40 * 16, 1), numbers(8 * 16, 2));
        let x = rows(&numbers(5 * 16, 3), 16);
        let both = Packed::new(Precision::F32, 16, &[&a, &b]);
        assert_eq!(both.outputs(), 64 + 32);
        let mut joint = vec![1.0; 5 * 96];
        both.multiply_add(5, &x, &mut joint);
        let mut single = vec![0.0; 5 * 32];
        Packed::new(Precision::F32, 16, &[&b]).multiply(5, &x, &mut single);
        for r in 0..5 {
            for o in 0..8 {
                assert_eq!(joint[r * 96 + 64 + o], 1.0 + single[r * 32 + o]);
            }
        }
    }
}
