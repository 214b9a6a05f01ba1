//! The threads that ask.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::http::Http;
use crate::queue::{Batch, Ended, Job, Next, Queue, Trip};
use crate::{Completion, Error, Fault, Settings, wire};

/// Stack of a thread that asks, in bytes: it holds a TLS handshake and a JSON parser.
const STACK: usize = 1 << 20;

/// Most threads of one client.
const MOST_THREADS: usize = 1024;

/// A served model that draws are submitted to. Dropping it leaves what was not sent unanswered.
#[derive(Debug)]
pub struct Client(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    settings: Arc<Settings>,
    http: Http,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Debug)]
struct State {
    queue: Queue,
    threads: usize,
    /// Threads that wait.
    idle: usize,
    closed: bool,
}

impl Client {
    /// A client with one thread, which starts others as they are needed. Asks nothing yet.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn new(settings: Settings) -> io::Result<Self> {
        let settings = Arc::new(settings);
        let queue = Queue::new(settings.clone());
        let http = Http::new(&settings, settings.timeout);
        let state = Mutex::new(State { queue, threads: 0, idle: 0, closed: false });
        let shared = Arc::new(Shared { settings, http, state, wake: Condvar::new() });
        shared.start(&mut shared.lock())?;
        Ok(Self(shared))
    }

    /// Asks for all draws of `batch`, each until it is answered or given up. Returns at once.
    pub fn submit(&self, batch: Batch) {
        if let Some(name) = wire::unsaid(self.0.settings.dialect, self.0.settings.api, &batch.params) {
            return (0..batch.draws.len()).for_each(|at| (batch.answer)(at, Err(Error::Unsaid(name))));
        }
        let mut state = self.0.lock();
        state.queue.push(batch);
        self.0.call(&mut state);
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.wake.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, state: &mut State) -> io::Result<()> {
        let shared = self.clone();
        let thread = std::thread::Builder::new().name("flow-server".into()).stack_size(STACK);
        thread.spawn(move || shared.work())?;
        state.threads += 1;
        Ok(())
    }

    /// Lets one more thread look at what waits. There is always one that waits while something is delayed, unless all ask.
    fn call(self: &Arc<Self>, state: &mut State) {
        let most = (self.settings.max_concurrency * self.settings.endpoints.len()).min(MOST_THREADS - 1) + 1;
        if state.idle > 0 {
            self.wake.notify_one();
        } else if state.threads < most {
            // Without a further thread those that there are do the work.
            let _ = self.start(state);
        }
    }

    fn work(self: Arc<Self>) {
        let mut state = self.lock();
        while !state.closed {
            match state.queue.next(Instant::now()) {
                Next::Send(trip) => {
                    if state.queue.waits() {
                        self.call(&mut state);
                    }
                    let address = state.queue.address(trip.endpoint);
                    drop(state);
                    self.make(trip, &address);
                    state = self.lock();
                }
                Next::Wait(until) => state = self.wait(state, until),
            }
        }
    }

    fn wait<'a>(&self, mut state: MutexGuard<'a, State>, until: Option<Instant>) -> MutexGuard<'a, State> {
        state.idle += 1;
        let mut state = match until {
            None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            Some(until) => {
                let time = until.saturating_duration_since(Instant::now());
                self.wake.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.idle -= 1;
        state
    }

    /// Makes a trip and tells those whose draws have their end by it.
    fn make(&self, trip: Trip, address: &str) {
        let outcome = self.ask(&trip.job, address);
        let mut state = self.lock();
        let ended = state.queue.settle(trip, outcome, Instant::now());
        let outage = state.queue.outage();
        drop(state);
        if let Some((batch, fault)) = outage {
            (batch.unanswered)(&fault);
        }
        tell(ended);
    }

    fn ask(&self, job: &Job, address: &str) -> Result<Vec<Completion>, Fault> {
        let Batch { draws, params, .. } = &*job.batch;
        let (api, n) = (self.settings.api, job.draws.len());
        let body = wire::body(&self.settings, params, &draws[job.draws.start], n);
        let text = self.http.post(&self.settings, address, wire::path(api), &body)?;
        wire::completions(api, params, n, &text).map_err(|(class, detail)| Fault {
            class,
            endpoint: address.to_owned(),
            detail: self.settings.redact(&detail),
            retry_after: None,
        })
    }
}

fn tell(ended: Ended) {
    for (Job { batch, draws, .. }, outcome) in ended {
        match outcome {
            Ok(completions) => {
                draws.zip(completions).for_each(|(at, completion)| (batch.answer)(at, Ok(completion)));
            }
            Err(error) => draws.for_each(|at| (batch.answer)(at, Err(error.clone()))),
        }
    }
}
