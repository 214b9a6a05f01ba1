//! Estimates and their intervals.

use flow_data::Id;

use crate::random::below;

/// Resamples of a bootstrap.
const RESAMPLES: usize = 1000;

/// An estimate with the ends of its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) value: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// The chance that at least one of `k` draws is correct, estimated without bias from `n` draws of which `c` are:
/// 1 - C(n - c, k) / C(n, k). `k` is at most `n`.
pub(crate) fn pass_at_k(n: usize, c: usize, k: usize) -> f64 {
    debug_assert!(k <= n, "{k} of {n} draws");
    if n - c < k {
        return 1.0;
    }
    1.0 - (n - c + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product::<f64>()
}

/// The mean of `values` (not empty) with its percentile bootstrap interval over them. The resamples are fixed by
/// `seed` and the number of values, so that two series over the same problems are resampled alike.
pub(crate) fn bootstrap(values: &[f64], seed: u64) -> Estimate {
    let mean = |strata: &[Vec<f64>]| strata[0].iter().sum::<f64>() / strata[0].len() as f64;
    stratified(&[values.to_vec()], seed, mean)
}

/// A `statistic` of values in strata (none of them empty) with its percentile bootstrap interval: values are drawn anew within
/// each stratum. The resamples are fixed by `seed` and the numbers of values.
pub(crate) fn stratified<T: Copy>(
    strata: &[Vec<T>],
    seed: u64,
    statistic: impl Fn(&[Vec<T>]) -> f64,
) -> Estimate {
    let resampled = |resample: u64| {
        let mut state = Id::of("bootstrap", [&seed.to_le_bytes()[..], &resample.to_le_bytes()]).leading();
        let mut again =
            |values: &Vec<T>| (0..values.len()).map(|_| values[below(&mut state, values.len())]).collect();
        statistic(&strata.iter().map(&mut again).collect::<Vec<_>>())
    };
    let mut estimates: Vec<f64> = (0..RESAMPLES as u64).map(resampled).collect();
    estimates.sort_by(f64::total_cmp);
    let at = |share: f64| estimates[((RESAMPLES - 1) as f64 * share).round() as usize];
    Estimate { value: statistic(strata), low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// C(n - c, k) / C(n, k) by counting subsets.
    fn by_counting(n: usize, c: usize, k: usize) -> f64 {
        let subsets = (0u32..1 << n).filter(|set| set.count_ones() as usize == k);
        let (mut all, mut hit) = (0, 0);
        for set in subsets {
            all += 1;
            hit += i32::from(set & ((1 << c) - 1) != 0);
        }
        f64::from(hit) / f64::from(all)
    }

    #[test]
    fn pass_at_k_counts_subsets() {
        for n in 1..=8 {
            for c in 0..=n {
                for k in 1..=n {
                    assert!((pass_at_k(n, c, k) - by_counting(n, c, k)).abs() < 1e-12, "n {n} c {c} k {k}");
                }
            }
        }
    }

    #[test]
    fn intervals_hold_the_mean_and_shrink_with_more_values() {
        let values = |n: usize| (0..n).map(|i| f64::from(i % 3 == 0)).collect::<Vec<_>>();
        let (few, many) = (bootstrap(&values(30), 1), bootstrap(&values(3000), 1));
        assert!(few.low <= few.value && few.value <= few.high);
        assert!(many.high - many.low < (few.high - few.low) / 5.0);
        // The normal interval of a share p over n values is p ± 1.96 sqrt(p(1-p)/n).
        let normal = 2.0 * 1.96 * (many.value * (1.0 - many.value) / 3000.0).sqrt();
        assert!(((many.high - many.low) / normal - 1.0).abs() < 0.1);
    }
}
