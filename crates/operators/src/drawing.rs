//! The effect of every step that draws from a model: a step says what its rows ask, and what becomes of the draws.

use flow_data::{Id, Item, Round, Value};
use flow_dataflow::{EffectOp, Out, Perform, Request};

use crate::draws::{Ask, Draw, Draws, lasting};

/// Why nothing can be drawn for a row: a stable word, and its detail.
pub(crate) type Refused = (&'static str, String);

/// What a step draws for its rows. All of it is pure.
pub(crate) trait Drawing: Send + Sync {
    /// How it draws.
    fn draws(&self) -> &Draws;

    /// How many draws `item` asks for at first, or why it cannot be drawn for.
    fn first(&self, _item: &Item) -> Result<u32, Refused> {
        Ok(1)
    }

    /// What the `index`-th draw for `item` is asked.
    fn ask(&self, item: &Item, index: u32) -> Result<Ask, Refused>;

    /// The round that tells random streams of `item` apart: its own, or 0 where all rounds share them.
    fn round(&self, item: &Item) -> Round {
        item.row.round
    }

    /// How many more draws `item` needs after these answers, which are all that it has.
    fn lacks(&self, _item: &Item, _answers: &[&[Value]]) -> u32 {
        0
    }

    /// Whether a row may lack more than its first draws.
    fn may_lack(&self) -> bool {
        false
    }

    /// Whether each draw makes rows of its own.
    fn draws_stand_alone(&self) -> bool {
        false
    }

    /// Emits the rows made of `item` and its draws.
    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>);
}

/// A drawing as the dataflow takes it.
pub(crate) struct Drawn<D>(pub(crate) D);

impl<D: Drawing> Drawn<D> {
    fn request(&self, item: &Item, model: Option<Id>, index: u32) -> Result<Request, Refused> {
        let ask = self.0.ask(item, index)?;
        Ok(self.0.draws().request(item, &ask, model, self.0.round(item), index))
    }
}

impl<D: Drawing> EffectOp for Drawn<D> {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, Refused> {
        (0..self.0.first(item)?).map(|index| self.request(item, model, index)).collect()
    }

    fn further(&self, item: &Item, model: Option<Id>, answers: &[&[Value]]) -> Vec<Request> {
        let drawn = answers.len() as u32;
        let lacks = self.0.lacks(item, answers);
        (drawn..drawn + lacks).filter_map(|index| self.request(item, model, index).ok()).collect()
    }

    fn asks_further(&self) -> bool {
        self.0.may_lack()
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        let ask = |request: &Request| self.0.ask(&request.item, request.index).unwrap_or_default();
        self.0.draws().perform(requests, &ask, &|item| self.0.round(item), perform);
    }

    fn is_away(&self, model: Option<Id>) -> bool {
        self.0.draws().is_away(model)
    }

    fn lasting(&self, reason: &str) -> Option<&'static str> {
        lasting(reason)
    }

    fn answers_stand_alone(&self) -> bool {
        self.0.draws_stand_alone()
    }

    fn tokens(&self, answer: &[Value]) -> u64 {
        Draw::new(answer).tokens()
    }

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        self.0.rows(item, model, answers, out);
    }
}
