//! The worker threads of this process, alone or among those of other processes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use timely::communication::allocator::zero_copy::initialize::CommsGuard;
use timely::communication::{AllocatorBuilder, WorkerGuards};
use timely::execute::execute_from;
use timely::worker::Worker;
use timely::{CommunicationConfig, WorkerConfig};

use crate::SessionError;
use crate::cluster::{Connections, allocators};

/// How often a waiting host looks up, and a parked worker at the latest.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(50);

/// How long to look for a reason before a worker's end is called a bug.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Whether a worker of this process is held where its connection broke.
static HELD: AtomicBool = AtomicBool::new(false);

/// For the hook of panics: never returns where `words` are those of a worker whose connection is gone. Unwinding would
/// drop handles that write to it once more, and a panic while unwinding aborts the process before it can say what was lost.
pub fn hold_where_connection_broke(words: &str) {
    // As timely names them.
    let is_worker = std::thread::current().name().is_some_and(|name| name.starts_with("timely:work"));
    if is_worker && words.starts_with("MergeQueue") {
        HELD.store(true, Relaxed);
        loop {
            std::thread::park();
        }
    }
}

/// Why workers are to stop.
#[derive(Debug, Default)]
pub(crate) struct Halt {
    /// The host wants no more.
    stopping: AtomicBool,
    /// A worker has panicked, and the others cannot finish what they wait for.
    lost: AtomicBool,
}

impl Halt {
    /// Asks all workers to stop.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Relaxed);
    }

    /// Whether workers are to stop.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    /// Whether a worker has panicked.
    pub(crate) fn has_lost(&self) -> bool {
        self.lost.load(Relaxed)
    }
}

/// Running worker threads. Dropping them waits for their ends, which [`Halt::stop`] and their own lives bring about.
pub(crate) struct Workers {
    halt: Arc<Halt>,
    guards: Option<WorkerGuards<()>>,
    /// The threads that move rows between processes.
    movers: Option<CommsGuard>,
    /// Whether the other processes end their connections in order.
    in_peace: bool,
}

impl Workers {
    /// Starts `n` workers with the same `life`; over `connections` where this process is one of several.
    pub(crate) fn start(
        n: usize,
        connections: Option<Connections>,
        life: impl Fn(&mut Worker, &Halt) + Send + Sync + 'static,
    ) -> Result<Self, SessionError> {
        let (builders, movers) = builders(n, connections)?;
        let halt = Arc::new(Halt::default());
        let workers_halt = halt.clone();
        let guards = execute_from(builders, Box::new(()), WorkerConfig::default(), move |worker| {
            let alive = || life(worker, &workers_halt);
            if catch_unwind(AssertUnwindSafe(alive)).is_err() {
                workers_halt.lost.store(true, Relaxed);
                workers_halt.stop();
            }
            // Timely would go on stepping what is installed, and wait for ever for what others do not send any more.
            worker.installed_dataflows().into_iter().for_each(|dataflow| worker.drop_dataflow(dataflow));
        });
        let guards = Some(guards.map_err(SessionError::Start)?);
        Ok(Self { halt, guards, movers, in_peace: false })
    }

    /// How to stop them, and whether they go on.
    pub(crate) fn halt(&self) -> &Halt {
        &self.halt
    }

    /// The other processes are about to end their connections in order, and can be waited for.
    pub(crate) fn part_in_peace(&mut self) {
        self.in_peace = true;
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.halt.stop();
        let Some(guards) = self.guards.take() else { return };
        while self.movers.is_some() && !guards.guards().iter().all(JoinHandle::is_finished) {
            if HELD.load(Relaxed) {
                std::mem::forget((guards, self.movers.take()));
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // A worker that ended badly has said so: timely's own end of it may panic once more.
        let _ends = guards.join();
        let movers = self.movers.take();
        if self.in_peace {
            // A process that dies at the very end panics a thread of timely's; all is done by then.
            let _ = catch_unwind(AssertUnwindSafe(|| drop(movers)));
        } else {
            // They may wait for processes that never answer; they end with this one.
            std::mem::forget(movers);
        }
    }
}

type Builders = (Vec<AllocatorBuilder>, Option<CommsGuard>);

fn builders(n: usize, connections: Option<Connections>) -> Result<Builders, SessionError> {
    match connections {
        Some(connections) => match allocators(connections) {
            Ok((builders, movers)) => Ok((builders, Some(movers))),
            Err(error) => Err(SessionError::Start(error.to_string())),
        },
        None => match CommunicationConfig::Process(n).try_build() {
            Ok((builders, _)) => Ok((builders, None)),
            Err(error) => Err(SessionError::Start(error)),
        },
    }
}
