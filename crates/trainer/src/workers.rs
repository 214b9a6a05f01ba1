//! Threads that share out pieces of work.

use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};

/// Threads with a pool of one each, so that the matrix products inside stay on their thread.
pub(crate) struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// As many threads as asked for, or one per core.
    pub(crate) fn new(threads: Option<usize>) -> Result<Self, ThreadPoolBuildError> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
        Ok(Self { pools: (0..threads.unwrap_or_else(cores)).map(pool).collect::<Result<_, _>>()? })
    }

    /// No threads: all is done where it is asked for.
    pub(crate) fn none() -> Self {
        Self { pools: Vec::new() }
    }

    /// Applies `work` to every item; results in the order of the items. A thread that is done takes the next item, so that who does
    /// what is open, and no result may depend on it.
    pub(crate) fn map<T: Send, R: Send>(
        &self,
        items: impl IntoIterator<Item = T>,
        work: impl Fn(T) -> R + Sync,
    ) -> Vec<R> {
        if self.pools.is_empty() {
            return items.into_iter().map(work).collect();
        }
        let items: Vec<T> = items.into_iter().collect();
        let mut results: Vec<Option<R>> = items.iter().map(|_| None).collect();
        let threads = self.pools.len().min(items.len());
        let waiting = Mutex::new(items.into_iter().zip(&mut results));
        let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
        on_all(&self.pools[..threads], &|| {
            while let Some((item, result)) = next() {
                *result = Some(work(item));
            }
        });
        results.into_iter().map(|result| result.expect("every item was worked on")).collect()
    }

    /// [`Self::map`], and the first error in the order of the items.
    pub(crate) fn try_map<T: Send, R: Send, E: Send>(
        &self,
        items: impl IntoIterator<Item = T>,
        work: impl Fn(T) -> Result<R, E> + Sync,
    ) -> Result<Vec<R>, E> {
        self.map(items, work).into_iter().collect()
    }
}

/// Runs `share` once on each of the pools, side by side.
fn on_all(pools: &[ThreadPool], share: &(dyn Fn() + Sync)) {
    if let [pool, rest @ ..] = pools {
        pool.in_place_scope(|scope| {
            scope.spawn(|_| share());
            on_all(rest, share);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_results_keep_their_order() {
        for threads in [Some(1), Some(2), Some(5), None] {
            let workers = Workers::new(threads).expect("threads");
            for n in [0, 1, 3, 100] {
                assert_eq!(workers.map(0..n, |i| i * i), (0..n).map(|i| i * i).collect::<Vec<_>>());
            }
        }
        assert_eq!(Workers::none().map([1, 2], |i| i + 1), [2, 3]);
        let odd = |i: usize| if i.is_multiple_of(2) { Ok(i) } else { Err(i) };
        assert_eq!(Workers::none().try_map(0..6, odd), Err(1));
    }
}
