//! Means with their intervals.

/// Resamples of a bootstrap.
const RESAMPLES: u64 = 2000;

/// A mean with the ends of its 95 % percentile bootstrap interval.
#[derive(Clone, Copy)]
pub(super) struct Interval {
    pub(super) mean: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Interval {
    /// Over `values`, not empty; the same values always give the same interval.
    pub(super) fn of(values: &[f64]) -> Self {
        let n = values.len();
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((u128::from(state) * n as u128) >> 64) as usize
        };
        let mean = |sum: f64| sum / n.max(1) as f64;
        let mut means: Vec<f64> =
            (0..RESAMPLES).map(|_| mean((0..n).map(|_| values[next()]).sum())).collect();
        means.sort_by(f64::total_cmp);
        let at = |share: f64| means[((means.len() - 1) as f64 * share).round() as usize];
        Self { mean: mean(values.iter().sum()), low: at(0.025), high: at(0.975) }
    }
}
