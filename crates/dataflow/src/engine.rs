//! The engine: one thread beside the dataflow that answers the requests of all effects.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use flow_data::{Id, Value};
use serde::{Deserialize, Serialize};
use timely::scheduling::SyncActivator;

use crate::{Answer, EffectOp, Failure, Memo, Request};

/// Most requests handed to an operator at once. Large, so that a batching sampler can keep its slots full.
const BATCH: usize = 1 << 16;

/// The cells of an answer or the failure, shared by all who asked.
pub(crate) type Reply = Arc<Answer>;

/// Which stage of which step asks.
pub(crate) type EffectId = (usize, usize);

/// What becomes of requests that the memo cannot answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Calls {
    /// They are performed.
    #[default]
    Make,
    /// Those of these steps are performed; another step that needs one ends the run.
    MakeFor(BTreeSet<usize>),
    /// They are counted, and the rows that need them go no further: a forecast of what a run would do.
    Count,
}

/// Takes requests from the workers and hands out replies. Dropping it stops the thread.
pub(crate) struct Engine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    memo: Arc<dyn Memo>,
    calls: Calls,
    cancel: AtomicBool,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<EffectId, Queue>,
    waiting: HashMap<Id, Vec<Arc<Mailbox>>>,
    failed: HashMap<Id, Reply>,
    /// The keys counted instead of asked.
    counted: HashSet<Id>,
    broken: Option<(usize, Failure)>,
    closed: bool,
}

struct Queue {
    op: Arc<dyn EffectOp>,
    requests: Vec<Request>,
    progress: Arc<Progress>,
}

/// Requests of one step for its operator to answer.
struct Batch {
    node: usize,
    op: Arc<dyn EffectOp>,
    requests: Vec<Request>,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    asked: AtomicU64,
    answered: AtomicU64,
    tokens: AtomicU64,
    /// Parts done of the request under way, and all its parts; 0 of 0 when it has none.
    done: AtomicU64,
    parts: AtomicU64,
}

impl Progress {
    fn within(&self) -> Option<(u64, u64)> {
        let parts = self.parts.load(Relaxed);
        (parts > 0).then(|| (self.done.load(Relaxed), parts))
    }
}

/// How far the engine is with one step's requests in this session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectProgress {
    /// The step, an index into the network.
    pub node: usize,
    /// Requests that reached the engine.
    pub asked: u64,
    /// Requests it has answered.
    pub answered: u64,
    /// Tokens of its answers, prompts not counted.
    pub tokens: u64,
    /// For a long request under way: parts done and all its parts, such as optimiser steps.
    pub within: Option<(u64, u64)>,
}

impl EffectProgress {
    /// Adds what another process's engine has done of the same step.
    pub(crate) fn add(&mut self, other: &EffectProgress) {
        self.asked += other.asked;
        self.answered += other.answered;
        self.tokens += other.tokens;
        self.within = self.within.or(other.within);
    }
}

/// Where a worker's effect operator finds its replies; leaving one wakes the operator.
pub(crate) struct Mailbox {
    replies: Mutex<Vec<(Id, Reply)>>,
    activator: SyncActivator,
}

impl Mailbox {
    pub(crate) fn new(activator: SyncActivator) -> Self {
        Self { replies: Mutex::default(), activator }
    }

    pub(crate) fn collect(&self) -> Vec<(Id, Reply)> {
        std::mem::take(&mut *lock(&self.replies))
    }

    fn leave(&self, key: Id, reply: Reply) {
        lock(&self.replies).push((key, reply));
        // The worker may be gone already when a run is interrupted; then nobody waits for the reply.
        let _ = self.activator.activate();
    }
}

/// What an operator sees while it answers requests.
pub struct Perform<'a> {
    shared: &'a Shared,
    op: &'a dyn EffectOp,
    node: usize,
    requests: &'a [Request],
    progress: &'a Progress,
    answered: Vec<AtomicBool>,
}

impl Perform<'_> {
    /// Gives the answer to the request at `index` of the batch; callable from any thread. Later ones are ignored.
    pub fn answer(&self, index: usize, answer: Answer) {
        if self.answered[index].swap(true, Relaxed) {
            return;
        }
        self.within(0, 0);
        self.progress.answered.fetch_add(1, Relaxed);
        if let Ok(cells) = &answer {
            self.progress.tokens.fetch_add(self.op.tokens(cells), Relaxed);
        }
        self.shared.deliver(self.node, self.requests[index].key, answer);
    }

    /// Tells those who watch that a long request is `done` of `parts` done.
    pub fn within(&self, done: u64, parts: u64) {
        self.progress.done.store(done, Relaxed);
        self.progress.parts.store(parts, Relaxed);
    }

    /// Whether the run is being stopped: return soon, leaving the rest unanswered.
    pub fn cancelled(&self) -> bool {
        self.shared.cancel.load(Relaxed)
    }

    /// The flag behind [`Perform::cancelled`].
    pub fn cancel_flag(&self) -> &AtomicBool {
        &self.shared.cancel
    }
}

impl Engine {
    pub(crate) fn start(memo: Arc<dyn Memo>, calls: Calls) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            memo,
            calls,
            cancel: AtomicBool::new(false),
            state: Mutex::default(),
            wake: Condvar::new(),
        });
        let worker = shared.clone();
        let thread = std::thread::Builder::new().name("flow-engine".into()).spawn(move || worker.run())?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// The handle that workers use.
    pub(crate) fn client(&self) -> Client {
        Client(self.shared.clone())
    }

    /// Stops performing as soon as the operator in charge returns.
    pub(crate) fn cancel(&self) {
        self.shared.cancel.store(true, Relaxed);
        self.shared.wake.notify_all();
    }

    /// The step and the failure that ended the run, if one did.
    pub(crate) fn broken(&self) -> Option<(usize, Failure)> {
        lock(&self.shared.state).broken.clone()
    }

    pub(crate) fn progress(&self) -> Vec<EffectProgress> {
        let state = lock(&self.shared.state);
        let read = |(effect, queue): (&EffectId, &Queue)| EffectProgress {
            node: effect.0,
            asked: queue.progress.asked.load(Relaxed),
            answered: queue.progress.answered.load(Relaxed),
            tokens: queue.progress.tokens.load(Relaxed),
            within: queue.progress.within(),
        };
        state.queues.iter().map(read).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.cancel();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported as a failure of the run.
            let _ = thread.join();
        }
    }
}

/// A worker's side of the engine.
#[derive(Clone)]
pub(crate) struct Client(Arc<Shared>);

impl Client {
    /// The reply to `key` if it is known already and `op` can use it.
    pub(crate) fn known(&self, key: &Id, op: &dyn EffectOp) -> Option<Reply> {
        if let Some(answer) = self.0.memo.get(key).filter(|answer| op.usable(answer)) {
            return Some(Arc::new(Ok(answer)));
        }
        lock(&self.0.state).failed.get(key).cloned()
    }

    /// Whether requests are counted instead of asked.
    pub(crate) fn only_counts(&self) -> bool {
        self.0.calls == Calls::Count
    }

    /// Counts keys instead of asking, or takes them back where `diff` is negative; returns how many more are counted now.
    pub(crate) fn count(&self, keys: impl Iterator<Item = Id>, diff: isize) -> i64 {
        let mut state = lock(&self.0.state);
        match diff {
            0.. => keys.filter(|key| state.counted.insert(*key)).count() as i64,
            _ => -(keys.filter(|key| state.counted.remove(key)).count() as i64),
        }
    }

    /// Asks `requests`; replies come to `mailbox`, one for each. A key that is being asked already is not asked again.
    /// Returns how many go to the engine.
    pub(crate) fn ask(
        &self,
        effect: EffectId,
        op: &Arc<dyn EffectOp>,
        requests: Vec<Request>,
        mailbox: &Arc<Mailbox>,
    ) -> usize {
        if let Some(failure) = self.refusal(effect.0, requests.len()) {
            self.fail(effect.0, failure);
            return 0;
        }
        let mut fresh = 0;
        let mut state = lock(&self.0.state);
        let State { queues, waiting, failed, .. } = &mut *state;
        let queue = queues.entry(effect).or_insert_with(|| Queue {
            op: op.clone(),
            requests: Vec::new(),
            progress: Arc::default(),
        });
        for request in requests {
            // Between the caller's look-up and this lock the answer may have come.
            if let Some(reply) = failed.get(&request.key) {
                mailbox.leave(request.key, reply.clone());
            } else if let Some(mailboxes) = waiting.get_mut(&request.key) {
                mailboxes.push(mailbox.clone());
            } else if let Some(answer) = self.0.memo.get(&request.key).filter(|answer| op.usable(answer)) {
                mailbox.leave(request.key, Arc::new(Ok(answer)));
            } else {
                waiting.insert(request.key, vec![mailbox.clone()]);
                queue.progress.asked.fetch_add(1, Relaxed);
                queue.requests.push(request);
                fresh += 1;
            }
        }
        drop(state);
        self.0.wake.notify_one();
        fresh
    }

    /// Why `requests` of the step `node` are not performed, when they are not.
    fn refusal(&self, node: usize, requests: usize) -> Option<Failure> {
        match &self.0.calls {
            Calls::MakeFor(steps) if !steps.contains(&node) => Some(fatal(
                "not_known",
                &format!("{requests} answers are not kept, and it may not ask for them"),
            )),
            _ => None,
        }
    }

    /// Ends the run by a failure of the step `node`.
    pub(crate) fn fail(&self, node: usize, failure: Failure) {
        self.0.break_off(node, failure);
    }
}

impl Shared {
    fn run(&self) {
        while let Some(Batch { node, op, requests, progress }) = self.next_batch() {
            let answered = requests.iter().map(|_| AtomicBool::new(false)).collect();
            let perform =
                Perform { shared: self, op: &*op, node, requests: &requests, progress: &progress, answered };
            let outcome = catch_unwind(AssertUnwindSafe(|| op.perform(&requests, &perform)));
            if outcome.is_err() {
                self.break_off(
                    node,
                    fatal("panic", "an operator panicked while answering a request; this is a bug"),
                );
            }
            if perform.cancelled() {
                continue;
            }
            for index in 0..requests.len() {
                perform.answer(
                    index,
                    Err(fatal("unanswered", "an operator left a request unanswered; this is a bug")),
                );
            }
        }
    }

    /// The requests of the first step that has any, once there are some; `None` when the engine is closed.
    fn next_batch(&self) -> Option<Batch> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return None;
            }
            let idle = self.cancel.load(Relaxed);
            if let Some((effect, queue)) =
                state.queues.iter_mut().find(|(_, queue)| !idle && !queue.requests.is_empty())
            {
                let rest = queue.requests.split_off(queue.requests.len().min(BATCH));
                let requests = std::mem::replace(&mut queue.requests, rest);
                return Some(Batch {
                    node: effect.0,
                    op: queue.op.clone(),
                    requests,
                    progress: queue.progress.clone(),
                });
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn deliver(&self, node: usize, key: Id, answer: Answer) {
        match &answer {
            Ok(cells) => self.keep(node, key, cells),
            Err(failure) if failure.fatal => self.break_off(node, failure.clone()),
            Err(_) => {}
        }
        let failed = answer.is_err();
        let reply = Arc::new(answer);
        let mut state = lock(&self.state);
        if failed {
            state.failed.insert(key, reply.clone());
        }
        for mailbox in state.waiting.remove(&key).unwrap_or_default() {
            mailbox.leave(key, reply.clone());
        }
    }

    fn keep(&self, node: usize, key: Id, cells: &[Value]) {
        if let Err(error) = self.memo.put(key, cells) {
            self.break_off(node, fatal("store", &error.to_string()));
        }
    }

    fn break_off(&self, node: usize, failure: Failure) {
        lock(&self.state).broken.get_or_insert((node, failure));
        self.cancel.store(true, Relaxed);
    }
}

fn fatal(reason: &'static str, detail: &str) -> Failure {
    Failure { reason, detail: detail.to_owned(), fatal: true }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
