//! A network running on its workers, and the host that feeds it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_data::{Heap, Row};
use timely::execute::execute;
use timely::worker::Worker;

use crate::counts::Counts;
use crate::engine::Engine;
use crate::render::{Captured, Inputs, Shared, Tick, render};
use crate::{EffectProgress, Failure, InputId, Memo, Network, Port, StepCounts};

/// How often a waiting host looks up, and a parked worker at the latest.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// Called about twenty times a second while a tick settles; breaks to stop the run.
pub type Watch<'a> = dyn FnMut(&[EffectProgress]) -> ControlFlow<()> + 'a;

/// Why a tick did not settle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The watcher asked to stop; finished answers are in the memo.
    #[error("interrupted")]
    Interrupted,
    /// A step failed in a way that ends the run.
    #[error("step `{step}` failed: {failure}")]
    Failed {
        /// The step's name.
        step: String,
        /// What went wrong.
        failure: Failure,
    },
    /// What a round trains on depends on a later round, so that rounds never settle.
    #[error("the rounds do not settle: what a round trains on depends on a later round")]
    Unstable,
    /// A worker ended unexpectedly.
    #[error("a dataflow worker ended unexpectedly: this is a bug")]
    WorkerLost,
    /// Threads could not be started.
    #[error("could not start the dataflow: {0}")]
    Start(String),
}

enum Command {
    Update(Vec<(InputId, Row, isize)>),
    Tick(Tick),
}

/// Why workers are to stop.
#[derive(Default)]
struct Halt {
    /// The host wants no more.
    stopping: AtomicBool,
    /// A worker has panicked, and the others cannot finish what they wait for.
    lost: AtomicBool,
}

/// A running network. After an error it can only be dropped.
pub struct Session {
    shared: Shared,
    workers: Vec<Sender<Command>>,
    settled: Receiver<()>,
    halt: Arc<Halt>,
    buffer: Vec<(InputId, Row, isize)>,
    tick: Tick,
    /// Stops when dropped, after the workers' last look at it and before they are joined.
    engine: Engine,
    _guards: timely::communication::WorkerGuards<()>,
}

impl Session {
    /// Starts `workers` (at least one) threads. `capture` names the ports whose rows the host will read, `None` for
    /// a step's rejected rows.
    pub fn start(
        network: Arc<Network>,
        heap: Arc<Heap>,
        memo: Arc<dyn Memo>,
        workers: usize,
        capture: impl IntoIterator<Item = (usize, Option<Port>)>,
    ) -> Result<Self, SessionError> {
        let engine = Engine::start(memo).map_err(|error| SessionError::Start(error.to_string()))?;
        let shared = Shared {
            counts: Arc::new(Counts::new(&network)),
            captured: Arc::new(Captured::new(capture)),
            client: engine.client(),
            network,
            heap,
        };
        let halt = Arc::new(Halt::default());
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..workers.max(1)).map(|_| channel()).unzip();
        let (done, settled) = channel();
        let desk = Arc::new(Mutex::new(receivers.into_iter().map(Some).collect::<Vec<_>>()));
        let (for_workers, workers_halt) = (Mutex::new((shared.clone(), done)), halt.clone());
        let config = timely::Config::process(senders.len());
        let guards = execute(config, move |worker| {
            let commands = desk.lock().unwrap_or_else(PoisonError::into_inner)[worker.index()].take();
            let (shared, done) = for_workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(commands) = commands {
                let life = || work(worker, &shared, &commands, &done, &workers_halt);
                if catch_unwind(AssertUnwindSafe(life)).is_err() {
                    workers_halt.lost.store(true, Relaxed);
                    workers_halt.stopping.store(true, Relaxed);
                    // Timely would go on stepping what is installed, and wait for ever.
                    worker
                        .installed_dataflows()
                        .into_iter()
                        .for_each(|dataflow| worker.drop_dataflow(dataflow));
                }
            }
        })
        .map_err(SessionError::Start)?;
        Ok(Self {
            shared,
            workers: senders,
            settled,
            halt,
            buffer: Vec::new(),
            tick: 0,
            engine,
            _guards: guards,
        })
    }

    /// Changes the multiplicity of a row of an input by `diff` with the next tick.
    pub fn update(&mut self, input: InputId, row: Row, diff: isize) {
        self.buffer.push((input, row, diff));
    }

    /// Closes a tick: applies the updates so far and waits until everything that follows from them has settled.
    pub fn tick(&mut self, watch: &mut Watch<'_>) -> Result<(), SessionError> {
        self.tick += 1;
        let mut shares = vec![Vec::new(); self.workers.len()];
        for update in self.buffer.drain(..) {
            shares[update.1.id.leading() as usize % self.workers.len()].push(update);
        }
        for (worker, share) in self.workers.iter().zip(shares) {
            let sent =
                worker.send(Command::Update(share)).and_then(|()| worker.send(Command::Tick(self.tick)));
            sent.map_err(|_| SessionError::WorkerLost)?;
        }
        self.wait(watch)
    }

    fn wait(&mut self, watch: &mut Watch<'_>) -> Result<(), SessionError> {
        let mut waiting = self.workers.len();
        while waiting > 0 {
            match self.settled.recv_timeout(HEARTBEAT) {
                Ok(()) => waiting -= 1,
                Err(RecvTimeoutError::Disconnected) => return Err(SessionError::WorkerLost),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.halt.lost.load(Relaxed) {
                self.halt();
                return Err(SessionError::WorkerLost);
            }
            if let Some((node, failure)) = self.engine.broken() {
                self.halt();
                let step = self.shared.network.nodes[node].name.clone();
                return Err(SessionError::Failed { step, failure });
            }
            if watch(&self.engine.progress()).is_break() {
                self.halt();
                return Err(SessionError::Interrupted);
            }
        }
        Ok(())
    }

    fn halt(&self) {
        self.engine.cancel();
        self.halt.stopping.store(true, Relaxed);
    }

    /// The rows of a captured port as of the last settled tick, with their multiplicities.
    pub fn rows(&self, step: usize, port: Option<Port>) -> BTreeMap<Row, isize> {
        self.shared.captured.rows((step, port))
    }

    /// The counters of every step as of the last settled tick.
    pub fn counts(&self) -> Vec<StepCounts> {
        self.shared.counts.steps()
    }

    /// The records of this session's rows.
    pub fn heap(&self) -> &Arc<Heap> {
        &self.shared.heap
    }

    /// What runs.
    pub fn network(&self) -> &Arc<Network> {
        &self.shared.network
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.halt();
        self.workers.clear();
    }
}

/// One worker's life: build the dataflow, then follow the host until it hangs up.
fn work(worker: &mut Worker, shared: &Shared, commands: &Receiver<Command>, done: &Sender<()>, halt: &Halt) {
    let dataflow = worker.next_dataflow_index();
    let (mut inputs, probe) = worker.dataflow(|scope| render(scope, shared));
    while let Ok(command) = commands.recv() {
        match command {
            Command::Update(updates) => feed(&mut inputs, updates),
            Command::Tick(tick) => {
                inputs.values_mut().for_each(|input| {
                    input.advance_to(tick);
                    input.flush();
                });
                while probe.less_than(&tick) && !halt.stopping.load(Relaxed) {
                    worker.step_or_park(Some(HEARTBEAT));
                }
                if done.send(()).is_err() {
                    break;
                }
            }
        }
    }
    worker.drop_dataflow(dataflow);
}

fn feed(inputs: &mut Inputs, updates: Vec<(InputId, Row, isize)>) {
    for (id, row, diff) in updates {
        inputs.get_mut(&id).expect("the host feeds inputs of its own network").update(row, diff);
    }
}
