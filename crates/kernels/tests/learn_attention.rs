//! Attention of training and its gradients in the emulator, and on a GPU where there is one, beside the formulas in f64.

mod emulated;

use std::ops::Range;

use flow_kernels::gpu::{AttentionHeads, AttentionScores, Gpu};
use flow_kernels::uniform;

/// Rows of all documents, and how they are read.
struct Case {
    heads: AttentionHeads,
    scores: AttentionScores,
    documents: Vec<Range<usize>>,
    cosines: Vec<f32>,
    sines: Vec<f32>,
}

impl Case {
    /// Documents of these lengths.
    fn new([query, readers, key_value, dim]: [usize; 4], lengths: &[usize]) -> Self {
        let ends = lengths.iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        let documents: Vec<_> = ends.zip(lengths).map(|(end, length)| end - length..end).collect();
        let count = lengths.iter().max().unwrap_or(&0) * (dim / 2);
        let angle = |i: usize| (i / (dim / 2)) as f32 * 0.7 / (1 + i % (dim / 2)) as f32;
        Self {
            heads: AttentionHeads { query, readers, key_value, dim },
            scores: AttentionScores { scale: 1.0 / (dim as f32).sqrt(), cap: None, window: None },
            documents,
            cosines: (0..count).map(|i| angle(i).cos()).collect(),
            sines: (0..count).map(|i| angle(i).sin()).collect(),
        }
    }

    /// The same with other scores.
    fn scored(self, scale: f32, cap: Option<f32>, window: Option<usize>) -> Self {
        Self { scores: AttentionScores { scale, cap, window }, ..self }
    }

    fn rows(&self) -> usize {
        self.documents.last().map_or(0, |document| document.end)
    }

    fn width(&self) -> usize {
        (self.heads.query + 2 * self.heads.key_value) * self.heads.dim
    }

    /// The key head that query head `h` reads.
    fn key_of(&self, h: usize) -> usize {
        let own = self.heads.query / self.heads.readers;
        h % own / (own / self.heads.key_value)
    }

    /// One head at a position, turned forth or back.
    fn turned(&self, position: usize, direction: f64, head: &[f64]) -> Vec<f64> {
        let half = self.heads.dim / 2;
        let turn = |d: usize| {
            let at = position * half + d % half;
            let (cos, sin) = (f64::from(self.cosines[at]), direction * f64::from(self.sines[at]));
            let across = if d < half { -head[half + d] } else { head[d - half] };
            head[d] * cos + across * sin
        };
        (0..self.heads.dim).map(turn).collect()
    }

    /// One head of all rows of a document, whose numbers begin at `at` of rows of `width`.
    fn head(x: &[f64], width: usize, document: &Range<usize>, at: usize, dim: usize) -> Vec<Vec<f64>> {
        document.clone().map(|row| x[row * width + at..][..dim].to_vec()).collect()
    }

    /// Queries, scaled, and keys of query head `h`, turned, and the values that it reads.
    fn operands(&self, x: &[f64], document: &Range<usize>, h: usize) -> [Vec<Vec<f64>>; 3] {
        let (AttentionHeads { query, key_value, dim, .. }, g) = (self.heads, self.key_of(h));
        let [mut q, mut k, v] = [h, query + g, query + key_value + g]
            .map(|head| Self::head(x, self.width(), document, head * dim, dim));
        for (position, (q, k)) in q.iter_mut().zip(&mut k).enumerate() {
            *q = self.turned(position, 1.0, q).iter().map(|x| x * self.scale()).collect();
            *k = self.turned(position, 1.0, k);
        }
        [q, k, v]
    }

    fn scale(&self) -> f64 {
        f64::from(self.scores.scale)
    }

    /// What a query sees of each key up to its own, the slopes of what holds the scores, and the logarithm of the sum of the exponentials.
    fn probabilities(&self, i: usize, q: &[Vec<f64>], k: &[Vec<f64>]) -> (Vec<f64>, Vec<f64>, f64) {
        let held = |score: f64| match self.scores.cap.map(f64::from) {
            Some(cap) => ((score / cap).tanh() * cap, 1.0 - (score / cap).tanh().powi(2)),
            None => (score, 1.0),
        };
        let (scores, slopes): (Vec<f64>, Vec<f64>) = (0..=i).map(|j| held(dot(&q[i], &k[j]))).unzip();
        let seen = |j: usize| self.scores.window.is_none_or(|window| i - j < window);
        let exponential = |(j, score): (usize, &f64)| if seen(j) { score.exp() } else { 0.0 };
        let exponentials: Vec<f64> = scores.iter().enumerate().map(exponential).collect();
        let sum: f64 = exponentials.iter().sum();
        (exponentials.iter().map(|x| x / sum).collect(), slopes, sum.ln())
    }

    /// Outputs (N, query·dim) and logarithms of sums (N, query).
    fn forward(&self, x: &[f64]) -> [Vec<f64>; 2] {
        let AttentionHeads { query, dim, .. } = self.heads;
        let (mut out, mut log_sums) = (vec![0.0; self.rows() * query * dim], vec![0.0; self.rows() * query]);
        for document in &self.documents {
            for h in 0..query {
                let [q, k, v] = self.operands(x, document, h);
                for (i, row) in document.clone().enumerate() {
                    let (p, _, log_sum) = self.probabilities(i, &q, &k);
                    log_sums[row * query + h] = log_sum;
                    let out = &mut out[(row * query + h) * dim..][..dim];
                    p.iter().zip(&v).for_each(|(p, v)| add(*p, v, out));
                }
            }
        }
        [out, log_sums]
    }

    /// The gradient of the rows from that of the outputs.
    fn backward(&self, x: &[f64], d_out: &[f64]) -> Vec<f64> {
        let AttentionHeads { query, key_value, dim, .. } = self.heads;
        let (width, mut dx) = (self.width(), vec![0.0; x.len()]);
        for document in &self.documents {
            for h in 0..query {
                let [q, k, v] = self.operands(x, document, h);
                let d_out = Self::head(d_out, query * dim, document, h * dim, dim);
                let g = self.key_of(h);
                let mut column = |row: usize, head: usize, gradient: &[f64]| {
                    add(1.0, gradient, &mut dx[row * width + head * dim..][..dim]);
                };
                let mut d_keys = vec![vec![0.0; dim]; q.len()];
                for (i, d_out) in d_out.iter().enumerate() {
                    let (p, bends, _) = self.probabilities(i, &q, &k);
                    let d_p: Vec<f64> = v[..=i].iter().map(|v| dot(d_out, v)).collect();
                    let (along, mut d_query) = (dot(&p, &d_p), vec![0.0; dim]);
                    for (j, (p, d_p)) in p.iter().zip(&d_p).enumerate() {
                        let slope = p * (d_p - along) * bends[j];
                        add(slope * self.scale(), &k[j], &mut d_query);
                        add(slope, &q[i], &mut d_keys[j]);
                        let d_value: Vec<f64> = d_out.iter().map(|d| p * d).collect();
                        column(document.start + j, query + key_value + g, &d_value);
                    }
                    column(document.start + i, h, &self.turned(i, -1.0, &d_query));
                }
                for (j, d_key) in d_keys.iter().enumerate() {
                    column(document.start + j, query + g, &self.turned(j, -1.0, d_key));
                }
            }
        }
        dx
    }

    /// Holds a device to the formulas.
    fn check(&self, gpu: &mut Gpu, factor: f32) {
        let (heads, rows) = (self.heads, self.rows());
        let x: Vec<f32> = numbers(rows * self.width(), 1).iter().map(|x| x * factor).collect();
        let d_out = numbers(rows * heads.query * heads.dim, 2);
        let documents = gpu.documents(&self.documents).unwrap();
        let turns = gpu.turns(&self.cosines, &self.sines, heads.dim).unwrap();
        let (x_on, d_on) = (gpu.upload(&x).unwrap(), gpu.upload(&d_out).unwrap());
        let mut out = gpu.allocate(d_out.len()).unwrap();
        let mut log_sums = gpu.allocate(rows * heads.query).unwrap();
        gpu.attention((&heads, &self.scores), &documents, &turns, &x_on, &mut out, &mut log_sums).unwrap();
        let mut dx = gpu.allocate(x.len()).unwrap();
        let how = (&heads, &self.scores);
        gpu.attention_back(how, &documents, &turns, &x_on, &out, &log_sums, &d_on, &mut dx).unwrap();
        let (x, d_out) = (wide(&x), wide(&d_out));
        let [expected, expected_sums] = self.forward(&x);
        for (found, expected, what) in [
            (&out, expected, "out"),
            (&log_sums, expected_sums, "log_sums"),
            (&dx, self.backward(&x, &d_out), "dx"),
        ] {
            let found = gpu.read(found, 0, expected.len()).unwrap();
            close(&found, &expected, &format!("{what} of {heads:?} in {:?}", self.documents));
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn add(factor: f64, from: &[f64], to: &mut [f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += factor * from);
}

/// Numbers in -2 to 2, others for each `seed`.
fn numbers(count: usize, seed: u8) -> Vec<f32> {
    (0..count as u32).map(|i| uniform(&[seed; 16], i) as f32 * 4.0 - 2.0).collect()
}

fn wide(numbers: &[f32]) -> Vec<f64> {
    numbers.iter().map(|x| f64::from(*x)).collect()
}

/// Within 1e-5 of the largest number.
fn close(found: &[f32], expected: &[f64], what: &str) {
    let largest = expected.iter().fold(0.0f64, |largest, x| largest.max(x.abs()));
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let apart = (f64::from(*found) - expected).abs();
        assert!(apart <= 1e-5 * largest, "{what}: number {i} is {found}, expected {expected}");
    }
}

#[test]
fn the_formula_of_the_gradient_is_the_slope_of_the_forward_pass() {
    let case = Case::new([4, 2, 1, 4], &[3, 4]).scored(0.4, Some(1.5), Some(3));
    let x = wide(&numbers(case.rows() * case.width(), 1));
    let d_out = wide(&numbers(case.rows() * 16, 2));
    for (i, slope) in case.backward(&x, &d_out).into_iter().enumerate() {
        let moved = |step: f64| {
            let mut x = x.clone();
            x[i] += step;
            dot(&case.forward(&x)[0], &d_out)
        };
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        assert!((slope - expected).abs() < 1e-7, "number {i}: {slope}, expected {expected}");
    }
}

#[test]
fn attention_and_its_gradient_in_documents_of_all_lengths() {
    for mut gpu in emulated::devices(&[false, true]) {
        Case::new([1, 1, 1, 2], &[1]).check(&mut gpu, 1.0);
        Case::new([2, 1, 1, 10], &[64, 1, 65, 3]).check(&mut gpu, 1.0);
        Case::new([2, 1, 2, 6], &[135]).check(&mut gpu, 1.0);
    }
}

#[test]
fn scores_are_held_by_caps_and_windows_hide_what_is_far() {
    for mut gpu in emulated::devices(&[false, true]) {
        for (cap, window) in
            [(Some(2.0), None), (None, Some(1)), (None, Some(64)), (Some(2.0), Some(65)), (None, Some(200))]
        {
            Case::new([2, 1, 1, 6], &[3, 200, 70]).scored(0.5, cap, window).check(&mut gpu, 1.0);
        }
    }
}

#[test]
fn heads_are_shared_by_groups_and_readers() {
    for mut gpu in emulated::devices(&[false, true]) {
        Case::new([12, 3, 2, 8], &[5, 9]).check(&mut gpu, 1.0);
        Case::new([4, 4, 1, 4], &[70]).check(&mut gpu, 1.0);
    }
}

#[test]
fn wide_heads_take_several_slices() {
    for mut gpu in emulated::devices(&[false, true]) {
        for dim in [64, 66, 128, 130, 256] {
            Case::new([2, 1, 1, dim], &[3, 67]).check(&mut gpu, 0.5);
        }
    }
}

/// Scores of some hundred: exponentials that are not of differences would be infinite.
#[test]
fn large_scores_stay_finite() {
    for mut gpu in emulated::devices(&[false, true]) {
        Case::new([1, 1, 1, 16], &[20]).check(&mut gpu, 6.0);
    }
}

#[test]
fn heads_and_documents_that_do_not_fit_are_refused() {
    let refused =
        |work: &mut dyn FnMut()| std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err();
    assert!(Gpu::check_head_dim(256).is_ok());
    let error = Gpu::check_head_dim(258).unwrap_err().to_string();
    assert!(error.contains("heads are 258 wide, at most 256 fit"), "{error}");
    for mut gpu in emulated::devices(&[false]) {
        assert!(refused(&mut || drop(gpu.documents(&[0..3, 4..5]))), "documents leave no row out");
        assert!(refused(&mut || drop(gpu.turns(&[1.0; 6], &[0.0; 5], 2))), "as many sines as cosines");
        let case = Case::new([2, 1, 1, 4], &[5]);
        let (documents, x) = (gpu.documents(&case.documents).unwrap(), gpu.upload(&[0.5f32; 80]).unwrap());
        let turns = gpu.turns(&case.cosines, &case.sines, 4).unwrap();
        let few = gpu.turns(&case.cosines[2..], &case.sines[2..], 4).unwrap();
        let other = gpu.turns(&case.cosines, &case.sines, 2).unwrap();
        let [mut out, mut short] = [40, 39].map(|len| gpu.allocate(len).unwrap());
        let mut sums = gpu.allocate(10).unwrap();
        let heads = case.heads;
        assert!(!refused(&mut || gpu
            .attention((&heads, &case.scores), &documents, &turns, &x, &mut out, &mut sums)
            .unwrap()));
        for turns in [&few, &other] {
            let work = &mut || {
                gpu.attention((&heads, &case.scores), &documents, turns, &x, &mut out, &mut sums).unwrap()
            };
            assert!(refused(work), "each position turns");
        }
        assert!(refused(&mut || gpu
            .attention((&heads, &case.scores), &documents, &turns, &x, &mut short, &mut sums)
            .unwrap()));
        let unshared = AttentionHeads { query: 3, readers: 2, ..heads };
        let work = &mut || {
            gpu.attention((&unshared, &case.scores), &documents, &turns, &x, &mut out, &mut sums).unwrap()
        };
        assert!(refused(work), "each reader has as many query heads");
    }
}
