//! The three kinds of operator, weakest first, and sources. Write a new operator as the weakest that can do it.

use std::sync::Arc;

use flow_data::{Heap, Id, Item, Value};

use crate::{Memory, Out, Perform, SourceRows};

/// One row in, rows out. Pure: the same item always gives the same output.
pub trait RowOp: Send + Sync {
    /// Emits what `item` becomes, or rejects it.
    fn row(&self, item: &Item, out: &mut Out<'_>);
}

/// All rows of a key in, rows out. Pure. A changed row recomputes its key, nothing else.
///
/// Cost: the rows of all keys are kept arranged (about 60 bytes a row); a change is linear in its key's rows.
pub trait KeyedOp: Send + Sync {
    /// What an item is grouped by, beside its round.
    fn key(&self, item: &Item) -> Id;

    /// Whether a group spans rounds; by default every round has groups of its own.
    fn across_rounds(&self) -> bool {
        false
    }

    /// Emits what the group becomes. `items` is not empty and sorted by (round, id, body). Every item must be
    /// passed, extended, taken or rejected.
    fn group(&self, items: &[Item], out: &mut Out<'_>);
}

/// Asks something expensive or non-deterministic: a model, a trainer, a sandbox. Answers are memoised by key.
pub trait EffectOp: Send + Sync {
    /// What must be asked for `item`; `model` is the digest of the step's model, where it has one.
    ///
    /// A request's key covers everything its answer depends on. Errs with (reason, detail) to reject the item.
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)>;

    /// What is to be asked further for `item` after these `answers`, which are all that was asked for so far, in the order of
    /// the requests: so often until it is nothing, which it is by default. Pure.
    fn further(&self, _item: &Item, _model: Option<Id>, _answers: &[&[Value]]) -> Vec<Request> {
        Vec::new()
    }

    /// Whether [`EffectOp::further`] may ask for more: then a forecast of its requests is of the least that it asks.
    fn asks_further(&self) -> bool {
        false
    }

    /// Answers requests on the engine's thread, each through `perform.answer(index, ..)` as soon as it is known.
    ///
    /// Returns early, leaving requests unanswered, when `perform.cancelled()`. What is [away](EffectOp::is_away) it only hands
    /// over, with a clone of `perform`, and returns.
    fn perform(&self, requests: &[Request], perform: &Perform);

    /// Whether requests with this model are answered elsewhere, such as by a server. They come in batches of their own, beside
    /// those that this machine computes.
    fn is_away(&self, _model: Option<Id>) -> bool {
        false
    }

    /// Whether an answer kept earlier can still be used; one that cannot is asked for again.
    fn usable(&self, _answer: &[Value]) -> bool {
        true
    }

    /// Whether an answer that is kept and cannot be used any more would be given once more, as it was: then a forecast counts the request and goes on
    /// with the answer.
    fn gives_again(&self) -> bool {
        false
    }

    /// The stable word of a failure that the same request would meet again, by its text: such a failure is kept like an
    /// answer. By default none is, and every run asks again.
    fn lasting(&self, _reason: &str) -> Option<&'static str> {
        None
    }

    /// Whether each answer makes rows of its own, in the order of the requests: then a forecast knows the rows of the
    /// answers that are there before the first that is missing.
    fn answers_stand_alone(&self) -> bool {
        false
    }

    /// How many tokens a model wrote for this answer; 0 where no model writes.
    fn tokens(&self, _answer: &[Value]) -> u64 {
        0
    }

    /// What of this machine its answers, or their keys, depend on beside the item: such as an instruction set. Machines that
    /// differ in it cannot share a run.
    fn machine(&self) -> Option<Id> {
        None
    }

    /// Emits the rows made of `item` and the answers to its requests, in the order of the requests. Pure.
    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>);
}

/// One question to the engine.
#[derive(Clone, Debug)]
pub struct Request {
    /// Identity of the answer: equal keys are asked once.
    pub key: Id,
    /// The row it is asked for.
    pub item: Item,
    /// Digest of the step's model.
    pub model: Option<Id>,
    /// Which of the row's requests it is.
    pub index: u32,
}

/// The cells of an answer, or why there is none.
pub type Answer = Result<Vec<Value>, Failure>;

/// Why a request has no answer. The rows that asked are rejected; the failure is memoised where it is
/// [lasting](EffectOp::lasting).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}: {detail}")]
pub struct Failure {
    /// Stable word for the cause.
    pub reason: &'static str,
    /// The particulars.
    pub detail: String,
    /// Whether the run cannot go on: nothing is published and the run ends with this failure.
    pub fatal: bool,
}

/// Rows that come from outside the dataflow.
pub trait Source: Send + Sync {
    /// All rows of the source, through `out`: good rows by `create`, bad ones by `reject_new`.
    fn load(&self, heap: &Heap, out: &mut Out<'_>) -> Result<(), SourceError>;

    /// The same for a source that is read again and again: `before` is what the last reading gave, nothing at first. Rows that
    /// it has already may be passed on by [`Out::again`]. Returns what the next reading is to know; by default nothing.
    fn load_after(
        &self,
        heap: &Heap,
        _before: &SourceRows,
        out: &mut Out<'_>,
    ) -> Result<Memory, SourceError> {
        self.load(heap, out).map(|()| None)
    }
}

/// A source that cannot be read at all. Nothing runs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// Stable diagnostic code.
    pub code: &'static str,
    /// What was attempted and what went wrong, with the path.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// One link of a step's chain: the main port of each feeds the next, the last one's ports are the step's.
#[derive(Clone)]
pub enum Stage {
    /// A row operator.
    Row(Arc<dyn RowOp>),
    /// A keyed operator.
    Keyed(Arc<dyn KeyedOp>),
    /// An effect.
    Effect(Arc<dyn EffectOp>),
}
