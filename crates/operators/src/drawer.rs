//! The effect of every step that draws n completions of a prompt made from its row.

use flow_data::{Id, Item, Value};
use flow_dataflow::{EffectOp, Out, Perform, Request};

use crate::draws::{Ask, Draw, Draws};

/// What is asked for a row, or the reason and detail of its rejection. Pure.
pub(crate) type AskOf = Box<dyn Fn(&Item) -> Result<Ask, (&'static str, String)> + Send + Sync>;

/// Draws `n` completions of each row's prompt: the row's cells followed by the record `draw`.
pub(crate) struct Drawer {
    pub(crate) draws: Draws,
    pub(crate) n: u32,
    pub(crate) ask: AskOf,
}

impl EffectOp for Drawer {
    fn answers_stand_alone(&self) -> bool {
        true
    }

    fn tokens(&self, answer: &[Value]) -> u64 {
        Draw::new(answer).tokens()
    }

    fn lasting(&self, reason: &str) -> Option<&'static str> {
        crate::draws::lasting(reason)
    }

    fn is_away(&self, model: Option<Id>) -> bool {
        self.draws.is_away(model)
    }

    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let ask = (self.ask)(item)?;
        Ok((0..self.n).map(|index| self.draws.request(item, &ask, model, item.row.round, index)).collect())
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        let ask = |request: &Request| (self.ask)(&request.item).unwrap_or_default();
        self.draws.perform(requests, &ask, &|item| item.row.round, perform);
    }

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        let requests = self.requests(item, model).unwrap_or_default();
        for ((index, answer), request) in answers.iter().enumerate().zip(requests) {
            let cells = Draw::new(answer).record(&item.row.id, model, self.draws.seed(), index);
            out.derive(0, item, item.row.round, request.key, cells);
        }
    }
}
