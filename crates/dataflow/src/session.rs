//! A network running on its workers, and the host that feeds it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use flow_data::{Heap, Round, Row};
use timely::execute::execute;
use timely::worker::Worker;

use crate::counts::Counts;
use crate::engine::{Calls, Engine};
use crate::moves::{Moved, Moves};
use crate::render::{Captured, Inputs, Shared, Tick, render};
use crate::{Census, EffectProgress, Effort, Failure, InputId, Memo, Network, Port, StepCounts};

/// How often a waiting host looks up, and a parked worker at the latest.
const HEARTBEAT: Duration = Duration::from_millis(50);

/// Updates that a worker gets at once, and how many such chunks may wait for it: what streams in is not piled up.
const CHUNK: usize = 1 << 10;
const CHUNKS: usize = 8;

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

/// How a session runs.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Worker threads, at least one.
    pub workers: usize,
    /// What becomes of requests that the memo cannot answer.
    pub calls: Calls,
    /// The ports whose rows the host will read, `None` for a step's rejected rows.
    pub capture: Vec<(usize, Option<Port>)>,
}

/// A running network. After an error it can only be dropped.
pub struct Session {
    shared: Shared,
    workers: Vec<SyncSender<Command>>,
    settled: Receiver<()>,
    halt: Arc<Halt>,
    buffer: Vec<(InputId, Row, isize)>,
    tick: Tick,
    /// Stops when dropped, after the workers' last look at it and before they are joined.
    engine: Engine,
    _guards: timely::communication::WorkerGuards<()>,
}

impl Session {
    /// Starts the worker threads and the engine.
    pub fn start(
        network: Arc<Network>,
        heap: Arc<Heap>,
        memo: Arc<dyn Memo>,
        options: SessionOptions,
    ) -> Result<Self, SessionError> {
        let SessionOptions { workers, calls, capture } = options;
        let engine = Engine::start(memo, calls).map_err(|error| SessionError::Start(error.to_string()))?;
        let shared = Shared {
            counts: Arc::new(Counts::new(&network)),
            captured: Arc::new(Captured::new(capture)),
            moves: Arc::new(Moves::new(&network)),
            client: engine.client(),
            network,
            heap,
        };
        let halt = Arc::new(Halt::default());
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..workers.max(1)).map(|_| sync_channel(CHUNKS)).unzip();
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

    /// Adds a row to an input with the next tick. Unlike with [`Session::update`], work on it may begin at once, so the
    /// row must not be taken back within the tick.
    pub(crate) fn stream(&mut self, input: InputId, row: Row) {
        self.update(input, row, 1);
        if self.buffer.len() >= CHUNK * self.workers.len() {
            // A lost worker is found when the tick is closed.
            let _ = self.send();
        }
    }

    /// Closes a tick: applies the updates so far and waits until everything that follows from them has settled.
    pub fn tick(&mut self, watch: &mut Watch<'_>) -> Result<(), SessionError> {
        self.tick += 1;
        self.send()?;
        for worker in &self.workers {
            worker.send(Command::Tick(self.tick)).map_err(|_| SessionError::WorkerLost)?;
        }
        self.wait(watch)
    }

    /// Hands the updates so far to the workers, which begin to work on them.
    fn send(&mut self) -> Result<(), SessionError> {
        let mut shares = vec![Vec::new(); self.workers.len()];
        for update in self.buffer.drain(..) {
            shares[update.1.id.leading() as usize % self.workers.len()].push(update);
        }
        let sent =
            self.workers.iter().zip(shares).try_for_each(|(to, share)| to.send(Command::Update(share)));
        sent.map_err(|_| SessionError::WorkerLost)
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

    /// How far the engine is with the requests of each step in this session.
    pub fn progress(&self) -> Vec<EffectProgress> {
        self.engine.progress()
    }

    /// What has moved at each step's ports since the last call, its rejected rows last. The first call begins to count.
    pub fn moves(&self) -> Vec<Vec<Moved>> {
        self.shared.moves.take()
    }

    /// What the rows of each step's ports are as of the last settled tick, its rejected rows last.
    pub fn censuses(&self) -> Vec<Vec<Census>> {
        self.shared.counts.censuses()
    }

    /// What the rows of each step's effects rest on as of the last settled tick, by round.
    pub fn efforts(&self) -> Vec<BTreeMap<Round, Effort>> {
        self.shared.counts.efforts()
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
            Command::Update(updates) => {
                feed(&mut inputs, updates);
                worker.step();
            }
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
