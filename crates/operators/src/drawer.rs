//! Drawing n completions of a prompt made from a row.

use flow_data::{Id, Item, Value};
use flow_dataflow::Out;

use crate::drawing::{Drawing, Refused};
use crate::draws::{Ask, Draw, Draws};

/// What is asked for a row, or why it cannot be drawn for. Pure.
pub(crate) type AskOf = Box<dyn Fn(&Item) -> Result<Ask, Refused> + Send + Sync>;

/// Draws `n` completions of each row's prompt: the row's cells followed by the record `draw`.
pub(crate) struct Drawer {
    pub(crate) draws: Draws,
    pub(crate) n: u32,
    pub(crate) ask: AskOf,
}

impl Drawing for Drawer {
    fn draws(&self) -> &Draws {
        &self.draws
    }

    fn first(&self, _: &Item) -> Result<u32, Refused> {
        Ok(self.n)
    }

    fn ask(&self, item: &Item, _: u32) -> Result<Ask, Refused> {
        (self.ask)(item)
    }

    fn draws_stand_alone(&self) -> bool {
        true
    }

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        let ask = (self.ask)(item).unwrap_or_default();
        for (index, answer) in answers.iter().enumerate() {
            let id = self.draws.request(item, &ask, model, item.row.round, index as u32).key;
            let cells = Draw::new(answer).record(&item.row.id, model, self.draws.seed(), index);
            out.derive(0, item, item.row.round, id, cells);
        }
    }
}
