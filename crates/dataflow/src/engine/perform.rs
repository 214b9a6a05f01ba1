//! Requests that an operator answers, and how far it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};

use serde::{Deserialize, Serialize};

use super::{HANDED, Place, Shared, fatal};
use crate::{Answer, EffectOp, Request};

/// What an operator sees while it answers requests. Clones are the same: who answers later keeps one. When the last is gone,
/// every request must have its answer, unless the run is being stopped.
#[derive(Clone)]
pub struct Perform(Arc<Performance>);

struct Performance {
    shared: Arc<Shared>,
    op: Arc<dyn EffectOp>,
    node: usize,
    requests: Vec<Request>,
    progress: Arc<Progress>,
    place: Place,
    answered: Vec<AtomicBool>,
}

impl Perform {
    pub(super) fn new(
        shared: Arc<Shared>,
        node: usize,
        op: Arc<dyn EffectOp>,
        requests: Vec<Request>,
        progress: Arc<Progress>,
        place: Place,
    ) -> Self {
        let answered = requests.iter().map(|_| AtomicBool::new(false)).collect();
        Self(Arc::new(Performance { shared, op, node, requests, progress, place, answered }))
    }

    /// Lets the operator answer, or hand over.
    pub(super) fn run(&self) {
        self.0.op.perform(&self.0.requests, self);
    }

    pub(super) fn node(&self) -> usize {
        self.0.node
    }

    /// Gives the answer to the request at `index` of the batch; callable from any thread. Later ones are ignored.
    pub fn answer(&self, index: usize, answer: Answer) {
        self.0.answer(index, answer);
    }

    /// Tells those who watch that a long request is `done` of `parts` done.
    pub fn within(&self, done: u64, parts: u64) {
        self.0.progress.set_within(done, parts);
    }

    /// Whether the run is being stopped: return soon, leaving the rest unanswered.
    pub fn cancelled(&self) -> bool {
        self.0.shared.cancel.load(Relaxed)
    }

    /// The flag behind [`Perform::cancelled`].
    pub fn cancel_flag(&self) -> &AtomicBool {
        &self.0.shared.cancel
    }
}

impl Performance {
    fn answer(&self, index: usize, answer: Answer) {
        if self.answered[index].swap(true, Relaxed) {
            return;
        }
        let tokens = answer.as_ref().map_or(0, |cells| self.op.tokens(cells));
        self.progress.answered(tokens);
        let makes_room = self.place == Place::Away && self.progress.came_back();
        self.shared.deliver(self.node, &*self.op, self.requests[index].key, answer);
        if makes_room {
            self.shared.wake.notify_all();
        }
    }
}

impl Drop for Performance {
    fn drop(&mut self) {
        if self.shared.cancel.load(Relaxed) {
            return;
        }
        for index in 0..self.requests.len() {
            let bug = "an operator left a request unanswered; this is a bug";
            self.answer(index, Err(fatal("unanswered", bug)));
        }
    }
}

#[derive(Default)]
pub(super) struct Progress {
    asked: AtomicU64,
    answered: AtomicU64,
    tokens: AtomicU64,
    /// Requests that wait elsewhere.
    away: AtomicUsize,
    /// Parts done of the request under way, and all its parts; 0 of 0 when it has none.
    done: AtomicU64,
    parts: AtomicU64,
}

impl Progress {
    pub(super) fn asked(&self) {
        self.asked.fetch_add(1, Relaxed);
    }

    fn answered(&self, tokens: u64) {
        self.set_within(0, 0);
        self.answered.fetch_add(1, Relaxed);
        self.tokens.fetch_add(tokens, Relaxed);
    }

    /// Requests that were handed over and have not come back.
    pub(super) fn away(&self) -> usize {
        self.away.load(Relaxed)
    }

    pub(super) fn handed_over(&self, n: usize) {
        self.away.fetch_add(n, Relaxed);
    }

    /// One has come back; whether more can be handed over by it.
    fn came_back(&self) -> bool {
        self.away.fetch_sub(1, Relaxed) == HANDED / 2 + 1
    }

    fn set_within(&self, done: u64, parts: u64) {
        self.done.store(done, Relaxed);
        self.parts.store(parts, Relaxed);
    }

    /// How far the step `node` is.
    pub(super) fn of(&self, node: usize) -> EffectProgress {
        EffectProgress {
            node,
            asked: self.asked.load(Relaxed),
            answered: self.answered.load(Relaxed),
            tokens: self.tokens.load(Relaxed),
            within: self.within(),
        }
    }

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
