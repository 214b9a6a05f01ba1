//! A network running on its workers, and the host that feeds it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::mpsc::{
    Receiver, RecvTimeoutError, SendError, Sender, SyncSender, TryRecvError, channel, sync_channel,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flow_data::{Heap, Id, Round, Row};
use timely::worker::Worker;

use crate::cluster::{Cluster, Members, Trouble};
use crate::counts::Counts;
use crate::engine::{Allowance, Calls, Engine, not_allowed};
use crate::moves::{Moved, Moves};
use crate::render::{Captured, Inputs, Shared, Tick, render};
use crate::workers::{GRACE, HEARTBEAT, Halt, Workers};
use crate::{Census, EffectProgress, Effort, Failure, InputId, Memo, Network, Port, StepCounts};

/// Updates that a worker gets at once, and how many such chunks may wait for it: what streams in is not piled up.
const CHUNK: usize = 1 << 10;
const CHUNKS: usize = 8;

/// How long a thread that waits looks for itself before it sleeps.
const ALERT: Duration = Duration::from_micros(300);

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
    /// Another process of the run cannot be reached any more.
    #[error("process {process} at `{address}` was lost: {why}")]
    Lost {
        /// The process.
        process: usize,
        /// Where it was reached.
        address: String,
        /// What was seen of it.
        why: String,
    },
    /// A worker ended unexpectedly.
    #[error("a dataflow worker ended unexpectedly: this is a bug")]
    WorkerLost,
    /// Threads could not be started.
    #[error("could not start the dataflow: {0}")]
    Start(String),
}

/// Changes of rows of inputs.
type Updates = Vec<(InputId, Row, isize)>;

enum Command {
    Update(Updates),
    /// The last updates of a tick.
    Tick(Tick, Updates),
}

/// How a session runs.
#[derive(Debug, Default)]
pub struct SessionOptions {
    /// Worker threads of this process, at least one; ignored where a cluster says how many.
    pub workers: usize,
    /// What becomes of requests that the memo cannot answer.
    pub calls: Calls,
    /// Most requests that all processes together perform: where there are more, the run ends once those under way are answered. `None` for any
    /// number.
    pub most_calls: Option<u64>,
    /// The ports whose rows the host will read, `None` for a step's rejected rows.
    pub capture: Vec<(usize, Option<Port>)>,
    /// The other processes that take part; `None` where this one is alone.
    pub cluster: Option<Cluster>,
}

/// A running network. After an error it can only be dropped.
pub struct Session {
    shared: Shared,
    commands: Vec<SyncSender<Command>>,
    settled: Receiver<()>,
    buffer: Vec<(InputId, Row, isize)>,
    tick: Tick,
    /// The other processes, until the run has ended for them.
    members: Option<Members>,
    /// Stops when dropped, after the workers' last look at it and before they are joined.
    engine: Engine,
    workers: Workers,
}

impl Session {
    /// Starts the worker threads and the engine; the host's, where `options` name a cluster.
    pub fn start(
        network: Arc<Network>,
        heap: Arc<Heap>,
        memo: Arc<dyn Memo>,
        options: SessionOptions,
    ) -> Result<Self, SessionError> {
        let SessionOptions { workers, calls, most_calls, capture, cluster } = options;
        let start = |error: std::io::Error| SessionError::Start(error.to_string());
        let engine = Engine::start(memo, calls, Allowance::of(most_calls)).map_err(start)?;
        let shared = Shared {
            counts: Arc::new(Counts::new(&network)),
            captured: Arc::new(Captured::new(capture)),
            moves: Arc::new(Moves::new(&network)),
            client: engine.client(),
            team: cluster.as_ref().map(Cluster::team),
            network,
            heap,
        };
        let workers = shared.team.map_or(workers.max(1), |team| team.workers);
        let (connections, members) = match cluster {
            Some(cluster) => {
                let (connections, members) = cluster.hosted(&shared.client).map_err(start)?;
                (Some(connections), Some(members))
            }
            None => (None, None),
        };
        let (commands, desk): (Vec<_>, Vec<_>) = (0..workers).map(|_| sync_channel(CHUNKS)).unzip();
        let (done, settled) = channel();
        let desk = Mutex::new(desk.into_iter().map(Some).collect::<Vec<_>>());
        let for_workers = Mutex::new((shared.clone(), done));
        let workers = Workers::start(workers, connections, move |worker, halt| {
            let commands = desk.lock().unwrap_or_else(PoisonError::into_inner)[worker.index()].take();
            let (shared, done) = for_workers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(commands) = commands {
                work(worker, &shared, &commands, &done, halt);
            }
        })?;
        Ok(Self { shared, commands, settled, buffer: Vec::new(), tick: 0, members, engine, workers })
    }

    /// From now on so many requests more are performed, see [`SessionOptions::most_calls`].
    pub fn allow(&self, most_calls: Option<u64>) {
        self.engine.allow(most_calls);
    }

    /// Changes the multiplicity of a row of an input by `diff` with the next tick.
    pub fn update(&mut self, input: InputId, row: Row, diff: isize) {
        self.buffer.push((input, row, diff));
    }

    /// Adds a row to an input with the next tick. Unlike with [`Session::update`], work on it may begin at once, so the
    /// row must not be taken back within the tick.
    pub(crate) fn stream(&mut self, input: InputId, row: Row) {
        self.update(input, row, 1);
        if self.buffer.len() >= CHUNK * self.commands.len() {
            // A lost worker is found when the tick is closed.
            let _ = self.send(Command::Update);
        }
    }

    /// Closes a tick: applies the updates so far and waits until everything that follows from them has settled.
    pub fn tick(&mut self, watch: &mut Watch<'_>) -> Result<(), SessionError> {
        self.tick += 1;
        let tick = self.tick;
        self.send(|updates| Command::Tick(tick, updates)).map_err(|_| self.loss())?;
        let settled = self.wait(watch);
        if settled.is_err() {
            self.halt();
        }
        settled
    }

    /// Hands the updates so far to the workers, which begin to work on them. Errs when one is gone.
    fn send(&mut self, command: impl Fn(Updates) -> Command) -> Result<(), SendError<Command>> {
        let mut shares = vec![Vec::new(); self.commands.len()];
        for update in self.buffer.drain(..) {
            shares[update.1.id.leading() as usize % self.commands.len()].push(update);
        }
        self.commands.iter().zip(shares).try_for_each(|(to, share)| to.send(command(share)))
    }

    fn wait(&self, watch: &mut Watch<'_>) -> Result<(), SessionError> {
        let mut waiting = self.commands.len();
        while waiting > 0 {
            match soon(&self.settled).map_or_else(|| self.settled.recv_timeout(HEARTBEAT), Ok) {
                Ok(()) => waiting -= 1,
                Err(RecvTimeoutError::Disconnected) => return Err(self.loss()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.workers.halt().has_lost() {
                return Err(self.loss());
            }
            if let Some((node, failure)) = self.engine.broken() {
                return Err(self.failed(node, failure));
            }
            if let Some(trouble) = self.members.as_ref().and_then(Members::trouble) {
                return Err(self.troubled(trouble));
            }
            if let Some(node) = self.spent() {
                return Err(self.failed(node, not_allowed()));
            }
            if watch(&self.progress()).is_break() {
                return Err(SessionError::Interrupted);
            }
        }
        let counted = self.members.as_ref().map(|members| members.count(&self.shared.counts));
        counted.unwrap_or(Ok(())).map_err(|trouble| self.troubled(trouble))
    }

    /// The step that asked for more calls than are allowed, once all that any process asked before is answered.
    fn spent(&self) -> Option<usize> {
        if !self.engine.is_spent() {
            return None;
        }
        let elsewhere = match &self.members {
            Some(members) => members.come_to_rest()?,
            None => None,
        };
        let here = self.engine.is_at_rest().then(|| self.engine.exceeded())?;
        here.or(elsewhere)
    }

    /// Why a worker is gone: another process may be, which is told a moment later.
    fn loss(&self) -> SessionError {
        let Some(members) = &self.members else { return SessionError::WorkerLost };
        let since = Instant::now();
        while since.elapsed() < GRACE {
            if let Some(trouble) = members.trouble() {
                return self.troubled(trouble);
            }
            std::thread::sleep(HEARTBEAT);
        }
        SessionError::WorkerLost
    }

    fn troubled(&self, trouble: Trouble) -> SessionError {
        match trouble {
            Trouble::Lost(lost) => lost,
            Trouble::Failed(node, failure) => self.failed(node, failure),
        }
    }

    fn failed(&self, node: usize, failure: Failure) -> SessionError {
        SessionError::Failed { step: self.shared.network.nodes[node].name.clone(), failure }
    }

    fn halt(&self) {
        self.engine.cancel();
        self.workers.halt().stop();
    }

    /// Ends the run, which was `done` or not, for the other processes; nothing can be fed any more, and what has settled can still be read.
    ///
    /// Returns the keys of the answers that they used, none where there are no others, and `None` when one of them was lost.
    pub fn end(&mut self, done: bool) -> Option<Vec<Id>> {
        self.halt();
        let Some(members) = self.members.take() else { return Some(Vec::new()) };
        let used = members.end(done);
        if used.is_some() {
            self.workers.part_in_peace();
        }
        used
    }

    /// The rows of a captured port as of the last settled tick, with their multiplicities.
    pub fn rows(&self, step: usize, port: Option<Port>) -> BTreeMap<Row, isize> {
        self.shared.captured.rows((step, port))
    }

    /// The counters of every step as of the last settled tick.
    pub fn counts(&self) -> Vec<StepCounts> {
        self.shared.counts.steps()
    }

    /// How far the engines of all processes are.
    pub fn progress(&self) -> Vec<EffectProgress> {
        let own = self.engine.progress();
        match &self.members {
            Some(members) => members.progress(own),
            None => own,
        }
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
        self.end(false);
        self.commands.clear();
    }
}

/// One worker's life: build the dataflow, then follow the host until it hangs up.
fn work(worker: &mut Worker, shared: &Shared, commands: &Receiver<Command>, done: &Sender<()>, halt: &Halt) {
    let (mut inputs, probe) = worker.dataflow(|scope| render(scope, shared));
    while let Some(command) = soon(commands).or_else(|| commands.recv().ok()) {
        match command {
            Command::Update(updates) => {
                feed(&mut inputs, shared, &updates);
                worker.step();
            }
            Command::Tick(tick, updates) => {
                feed(&mut inputs, shared, &updates);
                inputs.values_mut().for_each(|input| {
                    input.advance_to(tick);
                    input.flush();
                });
                while probe.less_than(&tick) && !halt.is_stopping() {
                    worker.step_or_park(Some(HEARTBEAT));
                }
                if done.send(()).is_err() {
                    break;
                }
            }
        }
    }
}

/// Feeds updates, and counts those of sources, whose rows leave them as they are fed.
fn feed(inputs: &mut Inputs, shared: &Shared, updates: &[(InputId, Row, isize)]) {
    for run in updates.chunk_by(|(one, ..), (other, ..)| one == other) {
        let id = run[0].0;
        let input = inputs.get_mut(&id).expect("the host feeds inputs of its own network");
        run.iter().for_each(|(_, row, diff)| input.update(*row, *diff));
        let (node, port) = match id {
            InputId::Rows(node) => (node, Some(0)),
            InputId::Rejected(node) => (node, None),
            InputId::Model(_) | InputId::Fed(..) => continue,
        };
        let time = *input.time();
        let fed: Vec<_> = run.iter().map(|(_, row, diff)| (*row, time, *diff)).collect();
        shared.teller(node)(port, &fed);
    }
}

/// What comes within moments, without sleeping: to be woken takes about as long as an edit does.
fn soon<T>(from: &Receiver<T>) -> Option<T> {
    let since = Instant::now();
    loop {
        match from.try_recv() {
            Ok(found) => return Some(found),
            Err(TryRecvError::Empty) if since.elapsed() < ALERT => std::thread::yield_now(),
            Err(_) => return None,
        }
    }
}
