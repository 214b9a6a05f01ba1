//! The engine: beside the dataflow, answers the requests of all effects. One thread computes what is answered on this
//! machine; another hands over what is answered elsewhere, so that neither waits for the other.

mod allowance;
mod perform;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use flow_data::{Id, Value};
use timely::scheduling::SyncActivator;

use crate::{Answer, EffectOp, Failure, Memo, Request};
pub(crate) use allowance::Allowance;
use allowance::Verdict;
use perform::Progress;
pub use perform::{EffectProgress, Perform};

/// Most requests handed to an operator at once. Large, so that a batching sampler can keep its slots full.
const BATCH: usize = 1 << 16;

/// Most requests of a step that are handed over at once, of which nothing is known but that they wait elsewhere.
const HANDED: usize = 1 << 14;

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
    threads: Vec<JoinHandle<()>>,
}

/// Where requests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// By the thread that takes them, on this machine.
    Here,
    /// By others; the thread hands them over.
    Away,
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
    allowance: Allowance,
    /// The step that asked for more than that: the run ends once all that any process asked before is answered.
    exceeded: Option<usize>,
    /// Whether a member asked for more than that.
    lent_short: bool,
    broken: Option<(usize, Failure)>,
    closed: bool,
}

struct Queue {
    op: Arc<dyn EffectOp>,
    here: Vec<Request>,
    away: Vec<Request>,
    progress: Arc<Progress>,
}

impl Queue {
    fn new(op: &Arc<dyn EffectOp>) -> Self {
        Self { op: op.clone(), here: Vec::new(), away: Vec::new(), progress: Arc::default() }
    }

    fn push(&mut self, request: Request) {
        if self.op.is_away(request.model) { &mut self.away } else { &mut self.here }.push(request);
    }

    /// The requests that can be taken for `place` now.
    fn take(&mut self, place: Place) -> Option<Vec<Request>> {
        let (requests, room) = match place {
            Place::Here => (&mut self.here, BATCH),
            // Not for every answer a request, which would be small change.
            Place::Away if self.progress.away() > HANDED / 2 => return None,
            Place::Away => (&mut self.away, HANDED / 2),
        };
        let rest = requests.split_off(requests.len().min(room));
        Some(std::mem::replace(requests, rest)).filter(|taken| !taken.is_empty())
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

impl Engine {
    pub(crate) fn start(memo: Arc<dyn Memo>, calls: Calls, allowance: Allowance) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            memo,
            calls,
            cancel: AtomicBool::new(false),
            state: Mutex::new(State { allowance, ..State::default() }),
            wake: Condvar::new(),
        });
        let mut engine = Self { shared, threads: Vec::new() };
        for (name, place) in [("flow-engine", Place::Here), ("flow-engine-away", Place::Away)] {
            let worker = engine.shared.clone();
            let thread = std::thread::Builder::new().name(name.into());
            engine.threads.push(thread.spawn(move || worker.run(place))?);
        }
        Ok(engine)
    }

    /// The handle that workers use.
    pub(crate) fn client(&self) -> Client {
        Client(self.shared.clone())
    }

    /// Lets so many requests more be performed, `None` for any number; what was left before is forgotten.
    pub(crate) fn allow(&self, most_calls: Option<u64>) {
        lock(&self.shared.state).allowance = Allowance::of(most_calls);
    }

    /// How many requests wait for the host's word that it has not been asked for yet; it is from now on.
    pub(crate) fn ask_for(&self) -> usize {
        lock(&self.shared.state).allowance.ask_for()
    }

    /// Performs `granted` of the next `asked` requests that wait for the host's word; the others get no reply: the run ends.
    pub(crate) fn settle(&self, asked: usize, granted: usize) {
        let mut state = lock(&self.shared.state);
        let State { queues, waiting, allowance, exceeded, .. } = &mut *state;
        let [now, refused] = allowance.settle(asked, granted);
        for (effect, request) in now {
            queues.get_mut(&effect).expect("it was there when the request was asked").push(request);
        }
        for (effect, request) in refused {
            waiting.remove(&request.key);
            exceeded.get_or_insert(effect.0);
        }
        drop(state);
        self.shared.wake.notify_all();
    }

    /// Whether a request has to wait for somebody's word.
    pub(crate) fn is_limited(&self) -> bool {
        !matches!(lock(&self.shared.state).allowance, Allowance::Any)
    }

    /// Whether more was asked than is allowed, here or by a member.
    pub(crate) fn is_spent(&self) -> bool {
        let state = lock(&self.shared.state);
        state.exceeded.is_some() || state.lent_short
    }

    /// The step that asked here for more than is allowed.
    pub(crate) fn exceeded(&self) -> Option<usize> {
        lock(&self.shared.state).exceeded
    }

    /// Whether nothing that was asked here is under way or waits for somebody's word.
    pub(crate) fn is_at_rest(&self) -> bool {
        lock(&self.shared.state).waiting.is_empty()
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
        state.queues.iter().map(|(effect, queue)| queue.progress.of(effect.0)).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        lock(&self.shared.state).closed = true;
        self.cancel();
        for thread in self.threads.drain(..) {
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
        if let Some(answer) = self.0.kept(key, op) {
            return Some(Arc::new(answer));
        }
        lock(&self.0.state).failed.get(key).cloned()
    }

    /// What the reply to `key` would be where it is to be asked for again, as far as that is known.
    pub(crate) fn foreseen(&self, key: &Id, op: &dyn EffectOp) -> Option<Reply> {
        let answer = self.0.memo.get(key).filter(|_| self.only_counts() && op.gives_again())?;
        Some(Arc::new(Ok(answer)))
    }

    /// Whether requests are counted instead of asked.
    pub(crate) fn only_counts(&self) -> bool {
        self.0.calls == Calls::Count
    }

    /// Lends a member up to `n` of the requests that may still be performed; returns how many.
    pub(crate) fn lend(&self, n: u64) -> u64 {
        let mut state = lock(&self.0.state);
        let lent = state.allowance.lend(n);
        state.lent_short |= lent < n;
        lent
    }

    /// Counts keys instead of asking, or takes them back where `diff` is negative; returns how many more are counted now.
    pub(crate) fn count(&self, keys: impl Iterator<Item = Id>, diff: isize) -> i64 {
        let mut state = lock(&self.0.state);
        match diff {
            0.. => keys.filter(|key| state.counted.insert(*key)).count() as i64,
            _ => -(keys.filter(|key| state.counted.remove(key)).count() as i64),
        }
    }

    /// Asks `requests`; replies come to `mailbox`, one for each. A key that is being asked already is not asked again. Those that go beyond what
    /// is allowed get no reply: the run ends.
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
        let State { queues, waiting, failed, allowance, exceeded, .. } = &mut *state;
        let queue = queues.entry(effect).or_insert_with(|| Queue::new(op));
        for request in requests {
            let key = request.key;
            // Between the caller's look-up and this lock the answer may have come.
            if let Some(reply) = failed.get(&key) {
                mailbox.leave(key, reply.clone());
                continue;
            }
            if let Some(mailboxes) = waiting.get_mut(&key) {
                mailboxes.push(mailbox.clone());
                continue;
            }
            if let Some(answer) = self.0.kept(&key, &**op) {
                mailbox.leave(key, Arc::new(answer));
                continue;
            }
            match allowance.admit(effect, request) {
                Verdict::Now(request) => queue.push(request),
                Verdict::Held => {}
                Verdict::Refused => {
                    exceeded.get_or_insert(effect.0);
                    continue;
                }
            }
            waiting.insert(key, vec![mailbox.clone()]);
            queue.progress.asked();
            fresh += 1;
        }
        drop(state);
        self.0.wake.notify_all();
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
    fn run(self: Arc<Self>, place: Place) {
        while let Some(perform) = self.next_batch(place) {
            if catch_unwind(AssertUnwindSafe(|| perform.run())).is_err() {
                let bug = "an operator panicked while answering a request; this is a bug";
                self.break_off(perform.node(), fatal("panic", bug));
            }
        }
    }

    /// The requests of the first step that has any to be answered at `place`, once there are some; `None` when the engine is
    /// closed.
    fn next_batch(self: &Arc<Self>, place: Place) -> Option<Perform> {
        let mut state = lock(&self.state);
        loop {
            if state.closed {
                return None;
            }
            let idle = self.cancel.load(Relaxed);
            let taken = state.queues.iter_mut().filter(|_| !idle).find_map(|(effect, queue)| {
                let requests = queue.take(place)?;
                if place == Place::Away {
                    queue.progress.handed_over(requests.len());
                }
                let (op, progress) = (queue.op.clone(), queue.progress.clone());
                Some(Perform::new(self.clone(), effect.0, op, requests, progress, place))
            });
            if taken.is_some() {
                return taken;
            }
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The answer that is kept under `key`, if `op` can use it, or the failure that another attempt would meet again.
    fn kept(&self, key: &Id, op: &dyn EffectOp) -> Option<Answer> {
        if let Some(answer) = self.memo.get(key).filter(|answer| op.usable(answer)) {
            return Some(Ok(answer));
        }
        match self.memo.get(&key_of_failure(key))?.as_slice() {
            [Value::Text(reason), Value::Text(detail)] => {
                let reason = op.lasting(reason)?;
                Some(Err(Failure { reason, detail: detail.to_string(), fatal: false }))
            }
            _ => None,
        }
    }

    fn deliver(&self, node: usize, op: &dyn EffectOp, key: Id, answer: Answer) {
        if lock(&self.state).closed {
            // It comes from elsewhere, after the run: the store may be another's by now.
            return;
        }
        match &answer {
            Ok(cells) => self.keep(node, key, cells),
            Err(failure) if failure.fatal => self.break_off(node, failure.clone()),
            Err(Failure { reason, detail, .. }) if op.lasting(reason).is_some() => {
                self.keep(node, key_of_failure(&key), &[(*reason).into(), detail.as_str().into()]);
            }
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

/// The failure of a step that asks for more calls than are allowed.
pub(crate) fn not_allowed() -> Failure {
    fatal("not_allowed", "it asks for more calls than are allowed")
}

/// Where the failure of the request `key` is kept: where no answer is looked for.
fn key_of_failure(key: &Id) -> Id {
    Id::of("failure", [key.0.as_slice()])
}

fn fatal(reason: &'static str, detail: &str) -> Failure {
    Failure { reason, detail: detail.to_owned(), fatal: true }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
