//! The kernels of training in the emulator, and on a GPU where there is one, beside plain loops in f64.

mod emulated;

use flow_kernels::gpu::{AdamWStep, Buffer, Gpu, Indices, Rounding, Stored};
use flow_kernels::plain::normal;
use flow_kernels::{Activation, Bf16, uniform};

/// All devices, the emulator with its threads ascending and descending.
fn devices() -> Vec<Gpu> {
    emulated::devices(&[false, true])
}

/// Numbers in -2 to 2, others for each `seed`.
fn numbers(count: usize, seed: u8) -> Vec<f32> {
    (0..count as u32).map(|i| uniform(&[seed; 16], i) as f32 * 4.0 - 2.0).collect()
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|x| f64::from(*x)).collect()
}

fn indices(gpu: &mut Gpu, numbers: &[u32]) -> Indices {
    let mut on = gpu.indices().unwrap();
    gpu.index(&mut on, numbers).unwrap();
    on
}

/// Within 1e-5 of the largest number.
fn close(found: &[f32], expected: &[f64], what: &str) {
    within(1e-5, found, expected, what);
}

fn within(tolerance: f64, found: &[f32], expected: &[f64], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let apart = (f64::from(*found) - expected).abs();
        assert!(apart <= tolerance * largest, "{what}: number {i} is {found}, expected {expected}");
    }
}

/// All numbers of a buffer.
fn all(gpu: &mut Gpu, buffer: &Buffer<f32>) -> Vec<f32> {
    gpu.read(buffer, 0, buffer.len()).unwrap()
}

/// All devices, and a GPU once more with products by our own kernels.
fn multiplying() -> impl Iterator<Item = Gpu> {
    devices().into_iter().chain(emulated::devices(&[]).into_iter().map(Gpu::without_library))
}

/// Products of operands that are rounded as asked. A library may leave operands of bf16 as they are, where that is as fast.
fn product_close(
    gpu: &mut Gpu,
    found: &Buffer<f32>,
    expected: impl Fn(Rounding) -> Vec<f64>,
    rounding: Rounding,
) {
    let found = all(gpu, found);
    let what = format!("{rounding:?} on {}", gpu.name());
    match rounding {
        Rounding::Bf16 if gpu.name() != "the emulator" => {
            within(1e-2, &found, &expected(Rounding::None), &what)
        }
        _ => close(&found, &expected(rounding), &what),
    }
}

fn rounded(numbers: &[f32], rounding: Rounding) -> Vec<f64> {
    let round = |x: &f32| match rounding {
        Rounding::None => f64::from(*x),
        Rounding::Bf16 => f64::from(f32::from_bits(u32::from(Bf16::round(*x).bits()) << 16)),
    };
    numbers.iter().map(round).collect()
}

/// The number (row, column) of a matrix of `rows` by `columns`.
fn of(matrix: &[f64], stored: Stored, [rows, columns]: [usize; 2], row: usize, column: usize) -> f64 {
    match stored {
        Stored::Plain => matrix[row * columns + column],
        Stored::Transposed => matrix[column * rows + row],
    }
}

const BOTH: [Stored; 2] = [Stored::Plain, Stored::Transposed];

const ROUNDINGS: [Rounding; 2] = [Rounding::None, Rounding::Bf16];

#[test]
fn products_of_matrices_as_they_are_and_transposed() {
    for mut gpu in multiplying() {
        for [m, k, n] in [[1, 1, 1], [3, 0, 2], [5, 17, 70], [131, 270, 3], [128, 32, 64]] {
            let (a, b) = (numbers(m * k, 1), numbers(k * n, 2));
            let (a_on, b_on) = (gpu.upload(&a).unwrap(), gpu.upload(&b).unwrap());
            for (a_stored, b_stored) in BOTH.into_iter().flat_map(|a| BOTH.map(|b| (a, b))) {
                let expected = |rounding| {
                    let (a, b) = (rounded(&a, rounding), rounded(&b, rounding));
                    let sum = |i, j| {
                        let term = |l| of(&a, a_stored, [m, k], i, l) * of(&b, b_stored, [k, n], l, j);
                        (0..k).map(term).sum()
                    };
                    (0..m * n).map(|at| sum(at / n, at % n)).collect()
                };
                for rounding in ROUNDINGS {
                    let mut out = gpu.allocate(m * n).unwrap();
                    let (left, right) = ((&a_on, a_stored), (&b_on, b_stored));
                    gpu.product([m, k, n], left, right, rounding, &mut out).unwrap();
                    product_close(&mut gpu, &out, expected, rounding);
                }
            }
        }
    }
}

#[test]
fn products_of_groups() {
    let (starts, [k, n]) = ([0, 0, 130, 131, 131, 140], [18, 67]);
    let (a, b, dy) = (numbers(140 * k, 1), numbers(5 * k * n, 2), numbers(140 * n, 3));
    let rows = |e: usize| starts[e]..starts[e + 1];
    for mut gpu in multiplying() {
        let groups = gpu.groups(&starts).unwrap();
        let [a_on, b_on, dy_on] = [&a, &b, &dy].map(|numbers| gpu.upload(numbers).unwrap());
        for (stored, rounding) in BOTH.into_iter().flat_map(|stored| ROUNDINGS.map(|r| (stored, r))) {
            let expected = |rounding| {
                let (a, b) = (rounded(&a, rounding), rounded(&b, rounding));
                let sum = |e: usize, v: usize, j| {
                    let b = &b[e * k * n..][..k * n];
                    (0..k).map(|l| a[v * k + l] * of(b, stored, [k, n], l, j)).sum()
                };
                let places = (0..5).flat_map(|e| rows(e).flat_map(move |v| (0..n).map(move |j| (e, v, j))));
                places.map(|(e, v, j)| sum(e, v, j)).collect()
            };
            let mut out = gpu.allocate(140 * n).unwrap();
            gpu.product_by_group(&groups, [k, n], &a_on, (&b_on, stored), rounding, &mut out).unwrap();
            product_close(&mut gpu, &out, expected, rounding);
        }
        for rounding in ROUNDINGS {
            let expected = |rounding| {
                let (a, dy) = (rounded(&a, rounding), rounded(&dy, rounding));
                let sum = |e, i, j| rows(e).map(|v| a[v * k + i] * dy[v * n + j]).sum();
                (0..5 * k * n).map(|at| sum(at / (k * n), at / n % k, at % n)).collect()
            };
            let mut out = gpu.allocate(5 * k * n).unwrap();
            gpu.product_over_groups(&groups, [k, n], &a_on, &dy_on, rounding, &mut out).unwrap();
            product_close(&mut gpu, &out, expected, rounding);
        }
        let (none, mut out) = (gpu.groups(&[0, 0]).unwrap(), gpu.upload(&[1.0f32; 6]).unwrap());
        gpu.product_over_groups(&none, [2, 3], &a_on, &dy_on, Rounding::None, &mut out).unwrap();
        assert_eq!(all(&mut gpu, &out), [0.0; 6], "no rows");
    }
}

#[test]
fn long_sums_keep_their_precision() {
    let rows = 40_000;
    let a: Vec<f32> = numbers(rows, 1).iter().map(|x| x + 2.1).collect();
    let sum: f64 = wide(&a).iter().sum();
    for mut gpu in devices().into_iter().map(Gpu::without_library) {
        let (on, ones) = (gpu.upload(&a).unwrap(), gpu.upload(&vec![1.0f32; rows]).unwrap());
        let mut out = gpu.allocate(1).unwrap();
        let (left, right) = ((&on, Stored::Plain), (&ones, Stored::Plain));
        gpu.product([1, rows, 1], left, right, Rounding::None, &mut out).unwrap();
        within(2e-6, &all(&mut gpu, &out), &[sum], "product");
        let places = gpu.scatter_places(&vec![0; rows], 1).unwrap();
        gpu.scatter(1, &places, &on, &mut out).unwrap();
        within(1e-7, &all(&mut gpu, &out), &[sum], "scatter");
    }
}

#[test]
fn norms_and_their_gradients() {
    for mut gpu in devices() {
        for [rows, width] in [[0, 3], [1, 4], [5, 20], [7, 200], [150, 33]] {
            let (x, weight, dy) = (numbers(rows * width, 1), numbers(width, 2), numbers(rows * width, 3));
            let on = [&x, &weight, &dy].map(|numbers| gpu.upload(numbers).unwrap());
            let (mut y, mut dx) = (gpu.allocate(x.len()).unwrap(), gpu.allocate(x.len()).unwrap());
            let mut dw = gpu.allocate(width).unwrap();
            gpu.norm([rows, width], 1e-3, &on[0], &on[1], &mut y).unwrap();
            gpu.norm_back([rows, width], 1e-3, &on[0], &on[1], &on[2], &mut dx, &mut dw).unwrap();
            let (x, weight, dy) = (wide(&x), wide(&weight), wide(&dy));
            let (mut expected, mut back) = (Vec::new(), Vec::new());
            let mut weight_back = vec![0.0; width];
            for (x, dy) in x.chunks(width).zip(dy.chunks(width)) {
                let squares: f64 = x.iter().map(|x| x * x).sum();
                let r = 1.0 / (squares / width as f64 + f64::from(1e-3f32)).sqrt();
                let along: f64 = (0..width).map(|i| weight[i] * dy[i] * x[i]).sum();
                for i in 0..width {
                    expected.push(weight[i] * x[i] * r);
                    back.push(r * weight[i] * dy[i] - x[i] * r.powi(3) / width as f64 * along);
                    weight_back[i] += dy[i] * x[i] * r;
                }
            }
            close(&all(&mut gpu, &y), &expected, "norm");
            close(&all(&mut gpu, &dx), &back, "dx");
            close(&all(&mut gpu, &dw), &weight_back, "dw");
        }
    }
}

/// An activation and its slope.
fn active(activation: Activation, g: f64) -> (f64, f64) {
    let (share, slope) = match activation {
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-g).exp());
            (s, s * (1.0 - s))
        }
        Activation::GeluTanh => {
            let root = (2.0 / std::f64::consts::PI).sqrt();
            let t = (root * (g + 0.044_715 * g.powi(3))).tanh();
            ((1.0 + t) / 2.0, (1.0 - t * t) / 2.0 * root * (1.0 + 3.0 * 0.044_715 * g * g))
        }
        Activation::Gelu => (normal(g), (-g * g / 2.0).exp() / std::f64::consts::TAU.sqrt()),
    };
    (g * share, share + g * slope)
}

#[test]
fn what_is_held_between_bounds_gets_the_slope_of_the_bound() {
    let (x, dy) = (numbers(300, 1), numbers(300, 2));
    let x: Vec<f32> = x.iter().map(|x| x * 4.0).collect();
    for mut gpu in devices() {
        let [x_on, dy_on] = [&x, &dy].map(|numbers| gpu.upload(numbers).unwrap());
        let mut out = gpu.allocate(300).unwrap();
        gpu.soft_cap_back((300, 3.0), &x_on, &dy_on, &mut out).unwrap();
        let slope = |x: f64| 1.0 - (x / 3.0).tanh().powi(2);
        let expected = |f: &dyn Fn(f64, f64) -> f64| -> Vec<f64> {
            wide(&x).into_iter().zip(wide(&dy)).map(|(x, dy)| f(x, dy)).collect()
        };
        close(&all(&mut gpu, &out), &expected(&|x, dy| dy * slope(x)), "soft_cap_back");
        gpu.clip((300, 3.0), &x_on, None, &mut out).unwrap();
        within(0.0, &all(&mut gpu, &out), &expected(&|x, _| x.clamp(-3.0, 3.0)), "clip");
        gpu.clip((300, 3.0), &x_on, Some(&dy_on), &mut out).unwrap();
        let back = expected(&|x, dy| if x.abs() <= 3.0 { dy } else { 0.0 });
        assert!(back.contains(&0.0), "some are beyond");
        within(0.0, &all(&mut gpu, &out), &back, "the gradient of clip");
    }
}

#[test]
fn gates_sums_and_products_of_rows() {
    let [rows, width] = [5, 150];
    let (x, dy, factors) = (numbers(rows * 2 * width, 1), numbers(rows * width, 2), numbers(rows, 3));
    let x: Vec<f32> = x.iter().map(|x| x * 6.0).collect();
    for mut gpu in devices() {
        let on = [&x, &dy, &factors].map(|numbers| gpu.upload(numbers).unwrap());
        let (mut y, mut dx) = (gpu.allocate(dy.len()).unwrap(), gpu.allocate(x.len()).unwrap());
        for activation in [Activation::Silu, Activation::GeluTanh, Activation::Gelu] {
            gpu.gate(activation, rows, width, &on[0], &mut y).unwrap();
            gpu.gate_back(activation, [rows, width], &on[0], &on[1], &mut dx).unwrap();
            let (mut expected, mut back) = (Vec::new(), vec![0.0; x.len()]);
            for (at, dy) in wide(&dy).into_iter().enumerate() {
                let (row, i) = (at / width * 2 * width, at % width);
                let (g, u) = (f64::from(x[row + i]), f64::from(x[row + width + i]));
                let (a, slope) = active(activation, g);
                expected.push(a * u);
                back[row + i] = dy * u * slope;
                back[row + width + i] = dy * a;
            }
            close(&all(&mut gpu, &y), &expected, &format!("{activation:?}"));
            close(&all(&mut gpu, &dx), &back, &format!("{activation:?} back"));
        }
        gpu.sum(dy.len(), &on[0], &on[1], &mut y).unwrap();
        let sums: Vec<f64> = x.iter().zip(&dy).map(|(a, b)| f64::from(a + b)).collect();
        within(0.0, &all(&mut gpu, &y), &sums, "sum");
        gpu.scale_rows([rows, width], &on[1], &on[2], &mut y).unwrap();
        let scaled: Vec<f64> = (0..dy.len()).map(|at| f64::from(factors[at / width] * dy[at])).collect();
        within(0.0, &all(&mut gpu, &y), &scaled, "scale_rows");
        let mut dots = gpu.allocate(rows).unwrap();
        gpu.dot_rows([rows, width], &on[0], &on[1], &mut dots).unwrap();
        let (x, dy) = (wide(&x), wide(&dy));
        let dot = |r: usize| (0..width).map(|i| x[r * width + i] * dy[r * width + i]).sum();
        close(&all(&mut gpu, &dots), &(0..rows).map(dot).collect::<Vec<f64>>(), "dot_rows");
    }
}

#[test]
fn rows_that_were_gathered_get_all_their_gradients() {
    let (index, held, width) = ([3u32, 0, 3, 5, 3, 0], 7, 130);
    let dy = numbers(index.len() * width, 1);
    let mut expected = vec![0.0; held * width];
    for (dy, index) in wide(&dy).chunks(width).zip(index) {
        dy.iter().zip(&mut expected[index as usize * width..]).for_each(|(dy, dx)| *dx += dy);
    }
    for mut gpu in devices() {
        let (on, mut dx) = (gpu.upload(&dy).unwrap(), gpu.allocate(held * width).unwrap());
        let places = gpu.scatter_places(&index, held).unwrap();
        gpu.scatter(width, &places, &on, &mut dx).unwrap();
        close(&all(&mut gpu, &dx), &expected, "scatter");
        let nothing = gpu.scatter_places(&[], held).unwrap();
        gpu.scatter(width, &nothing, &on, &mut dx).unwrap();
        assert_eq!(all(&mut gpu, &dx), vec![0.0; held * width]);
    }
}

#[test]
fn visits_of_tokens_and_their_gradients() {
    let (ends, row_of, width) = ([2u32, 2, 3, 6, 6], [4u32, 0, 5, 1, 3, 2], 131);
    let (x, weights, dy) = (numbers(6 * width, 1), numbers(6, 2), numbers(5 * width, 3));
    let token_of = |v: u32| ends.iter().position(|end| v < *end).unwrap();
    for mut gpu in devices() {
        let mixed = gpu.mixed(&ends, &row_of).unwrap();
        let on = [&x, &weights, &dy].map(|numbers| gpu.upload(numbers).unwrap());
        let (mut y, mut dx) = (gpu.allocate(dy.len()).unwrap(), gpu.allocate(x.len()).unwrap());
        let mut dw = gpu.allocate(6).unwrap();
        gpu.mix(width, &mixed, &on[0], &on[1], &mut y).unwrap();
        gpu.mix_back(width, &mixed, &on[0], &on[1], &on[2], &mut dx, &mut dw).unwrap();
        let (x, weights, dy) = (wide(&x), wide(&weights), wide(&dy));
        let (mut expected, mut back, mut weight_back) = (vec![0.0; dy.len()], vec![0.0; x.len()], [0.0; 6]);
        for v in 0..6 {
            let (token, row) = (token_of(v as u32) * width, row_of[v] as usize * width);
            for i in 0..width {
                expected[token + i] += weights[v] * x[row + i];
                back[row + i] = weights[v] * dy[token + i];
                weight_back[v] += x[row + i] * dy[token + i];
            }
        }
        close(&all(&mut gpu, &y), &expected, "mix");
        close(&all(&mut gpu, &dx), &back, "dx");
        close(&all(&mut gpu, &dw), &weight_back, "dw");
    }
}

#[test]
fn predictions_and_the_gradient_of_their_logits() {
    for mut gpu in devices() {
        for ([rows, width], shift) in [([3, 1], 0.0), ([4, 7], 300.0), ([5, 900], -9e4)] {
            let logits: Vec<f32> = numbers(rows * width, 1).iter().map(|x| x * 5.0 + shift).collect();
            let (factors, mut p) = (numbers(rows, 2), gpu.upload(&logits).unwrap());
            let targets: Vec<u32> = (0..rows).map(|r| (r * 611 % width) as u32).collect();
            let (targets_on, factors_on) = (indices(&mut gpu, &targets), gpu.upload(&factors).unwrap());
            let mut log_p = gpu.allocate(rows).unwrap();
            gpu.predict([rows, width], &mut p, &targets_on, &mut log_p).unwrap();
            let (mut probabilities, mut logs) = (Vec::new(), Vec::new());
            for (row, target) in wide(&logits).chunks(width).zip(&targets) {
                let top = row.iter().fold(f64::MIN, |top, x| top.max(*x));
                let total: f64 = row.iter().map(|x| (x - top).exp()).sum();
                probabilities.extend(row.iter().map(|x| (x - top).exp() / total));
                logs.push(row[*target as usize] - top - total.ln());
            }
            close(&all(&mut gpu, &p), &probabilities, "probabilities");
            close(&all(&mut gpu, &log_p), &logs, "log-probabilities");
            gpu.predict_back([rows, width], &mut p, &targets_on, &factors_on).unwrap();
            let slope = |(at, p): (usize, &f64)| {
                let (row, one) = (at / width, targets[at / width] as usize == at % width);
                f64::from(factors[row]) * (p - if one { 1.0 } else { 0.0 })
            };
            let back: Vec<f64> = probabilities.iter().enumerate().map(slope).collect();
            let found = all(&mut gpu, &p);
            match width {
                1 => assert!(found.iter().all(|x| *x == 0.0), "{found:?}"),
                _ => close(&found, &back, "predict_back"),
            }
        }
    }
}

#[test]
fn ternary_values_are_those_of_the_formula() {
    let length = 5001;
    let mut w = numbers(3 * length, 1);
    w[length..2 * length].fill(0.0);
    // A mean of one, and halves of it.
    let last: Vec<f32> = (0..length).map(|i| [1.0, -1.0, 0.5, -1.5, 1.5, -0.5][i % 6]).collect();
    w[2 * length..].copy_from_slice(&last);
    let quantised = |w: &[f32]| {
        let scale = (w.iter().map(|w| f64::from(w.abs())).sum::<f64>() / w.len() as f64) as f32;
        let value = move |w: &f32| match scale {
            0.0 => 0.0,
            _ => (w / scale).round_ties_even().clamp(-1.0, 1.0) * scale + 0.0,
        };
        w.iter().map(value).map(f32::to_bits).collect::<Vec<_>>()
    };
    for mut gpu in devices() {
        let (on, mut out) = (gpu.upload(&w).unwrap(), gpu.allocate(w.len()).unwrap());
        gpu.ternary([3, length], &on, &mut out).unwrap();
        let found: Vec<u32> = all(&mut gpu, &out).into_iter().map(f32::to_bits).collect();
        assert_eq!(found, w.chunks(length).flat_map(quantised).collect::<Vec<_>>());
    }
}

#[test]
fn columns_are_added_and_taken() {
    let ([rows, width], first, columns) = ([4, 170], 30, 135);
    let (v, y) = (numbers(rows * columns, 1), numbers(rows * width, 2));
    let mut expected = y.clone();
    for (at, v) in v.iter().enumerate() {
        expected[at / columns * width + first + at % columns] += 0.3 * v;
    }
    let taken = |at: usize| -1.5 * expected[at / columns * width + first + at % columns];
    let taken: Vec<f32> = (0..v.len()).map(taken).collect();
    for mut gpu in devices() {
        let (v_on, mut y_on) = (gpu.upload(&v).unwrap(), gpu.upload(&y).unwrap());
        gpu.add_columns([rows, width], first, columns, 0.3, &v_on, &mut y_on).unwrap();
        assert_eq!(all(&mut gpu, &y_on), expected);
        let mut out = gpu.allocate(v.len()).unwrap();
        gpu.take_columns([rows, width], first, columns, -1.5, &y_on, &mut out).unwrap();
        assert_eq!(all(&mut gpu, &out), taken);
    }
}

#[test]
fn steps_of_adamw_have_the_bits_of_the_formula() {
    let step = AdamWStep {
        betas: [0.9, 0.999],
        rest: [0.1, 0.001],
        rate: 0.01,
        second_scale: 3.0,
        eps: 1e-8,
        decay: 0.999,
        scale: 0.25,
    };
    let count = 300;
    for mut gpu in devices() {
        for with in [true, false] {
            let (mut p, mut m, g) = (numbers(count, 1), numbers(count, 2), numbers(count, 4));
            let mut v: Vec<f32> = numbers(count, 3).iter().map(|x| x.abs()).collect();
            let [mut p_on, mut m_on, mut v_on] = [&p, &m, &v].map(|numbers| gpu.upload(numbers).unwrap());
            let g_on = gpu.upload(&g).unwrap();
            gpu.adamw(count, &step, &mut p_on, &mut m_on, &mut v_on, with.then_some(&g_on)).unwrap();
            for i in 0..count {
                let g = if with { g[i] * step.scale } else { 0.0 };
                m[i] = step.betas[0] * m[i] + step.rest[0] * g;
                v[i] = step.betas[1] * v[i] + step.rest[1] * g * g;
                p[i] = p[i] * step.decay - step.rate * m[i] / (v[i].sqrt() * step.second_scale + step.eps);
            }
            assert_eq!([p, m, v], [&p_on, &m_on, &v_on].map(|on| all(&mut gpu, on)));
        }
    }
}

#[test]
fn squares_are_summed_over_all_parts() {
    let parts = [numbers(9000, 1), Vec::new(), numbers(1, 2), numbers(301, 3)];
    let expected: f64 = parts.iter().flat_map(|part| wide(part)).map(|x| x * x).sum();
    for mut gpu in devices() {
        let on: Vec<_> = parts.iter().map(|part| gpu.upload(part).unwrap()).collect();
        let sum = gpu.square_sum(&on.iter().collect::<Vec<_>>()).unwrap();
        assert!((sum - expected).abs() <= 1e-14 * expected, "{sum}, expected {expected}");
        assert_eq!(gpu.square_sum(&[]).unwrap(), 0.0);
    }
}

#[test]
fn what_a_launcher_is_not_given_right_is_refused() {
    let refused =
        |work: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
    for mut gpu in devices() {
        let (x, mut out) = (gpu.upload(&[1.0f32; 12]).unwrap(), gpu.allocate::<f32>(12).unwrap());
        let (plain, none) = ((&x, Stored::Plain), Rounding::None);
        assert!(!refused(&mut || gpu.product([3, 4, 3], plain, plain, none, &mut out).unwrap()));
        assert!(refused(&mut || gpu.product([3, 5, 2], plain, plain, none, &mut out).unwrap()), "a");
        assert!(refused(&mut || gpu.product([2, 4, 4], plain, plain, none, &mut out).unwrap()), "b");
        assert!(refused(&mut || gpu.product([4, 1, 4], plain, plain, none, &mut out).unwrap()), "out");
        assert!(refused(&mut || drop(gpu.groups(&[1, 2]))), "groups begin at 0");
        assert!(refused(&mut || drop(gpu.groups(&[0, 3, 2]))), "and ascend");
        let groups = gpu.groups(&[0, 1, 4]).unwrap();
        assert!(refused(&mut || gpu.product_over_groups(&groups, [3, 3], &x, &x, none, &mut out).unwrap()));
        assert!(refused(&mut || drop(gpu.scatter_places(&[0, 3], 3))), "a place is held");
        assert!(refused(&mut || drop(gpu.mixed(&[1, 2], &[0, 0]))), "each visit has a row of its own");
        assert!(refused(&mut || drop(gpu.mixed(&[2, 1], &[0, 1]))), "ends ascend");
        let targets = indices(&mut gpu, &[4]);
        let mut log_p = gpu.allocate(1).unwrap();
        assert!(refused(&mut || gpu.predict([1, 4], &mut out, &targets, &mut log_p).unwrap()));
        assert!(refused(&mut || gpu.add_columns([3, 4], 3, 2, 1.0, &x, &mut out).unwrap()));
    }
}
