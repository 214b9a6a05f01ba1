//! Threads that work on slices side by side.

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Threads with a pool of one each, so that the matrix products inside stay on their thread.
pub(crate) struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// As many threads as asked for, or one per core, but no more than there are slices.
    pub(crate) fn new(threads: Option<usize>, slices: usize) -> Result<Self, ThreadPoolBuildError> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let n = threads.unwrap_or_else(cores).min(slices);
        let pools =
            (0..n).map(|_| ThreadPoolBuilder::new().num_threads(1).build()).collect::<Result<_, _>>()?;
        Ok(Self { pools })
    }

    /// Applies `work` to every slice; results in the order of the slices.
    pub(crate) fn map<S: Sync, R: Send>(&self, slices: &[S], work: impl Fn(&S) -> R + Sync) -> Vec<R> {
        let n = self.pools.len();
        let mut results: Vec<Option<R>> = slices.iter().map(|_| None).collect();
        let mut shares: Vec<Vec<(&S, &mut Option<R>)>> = (0..n).map(|_| Vec::new()).collect();
        for (i, pair) in slices.iter().zip(&mut results).enumerate() {
            shares[i % n].push(pair);
        }
        std::thread::scope(|scope| {
            for (pool, share) in self.pools.iter().zip(shares) {
                let work = &work;
                scope.spawn(|| {
                    pool.install(|| share.into_iter().for_each(|(slice, result)| *result = Some(work(slice))))
                });
            }
        });
        results.into_iter().map(|result| result.expect("every slice was worked on")).collect()
    }
}
