//! Small operators of every kind whose output depends on all they are given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use flow_data::{Heap, Id, Item, Value};
use flow_dataflow::{Answer, EffectOp, Failure, KeyedOp, Out, Perform, Request, RowOp, Source, SourceError};

/// How often each request was performed.
#[derive(Clone, Default)]
pub(crate) struct Asked(Arc<Mutex<BTreeMap<Id, usize>>>);

impl Asked {
    pub(crate) fn counts(&self) -> BTreeMap<Id, usize> {
        self.0.lock().unwrap().clone()
    }
}

/// The host feeds the rows.
pub(crate) struct Fed;

impl Source for Fed {
    fn load(&self, _: &Heap, _: &mut Out<'_>) -> Result<(), SourceError> {
        Ok(())
    }
}

/// Routes by a hash of the row: port 0, port 1, both, or rejected.
pub(crate) struct Route;

impl RowOp for Route {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        match item.row.body.0[0] % 4 {
            0 => out.pass(0, item),
            1 => out.extend(1, item, vec![Value::Bool(true)]),
            2 => {
                out.pass(0, item);
                out.extend(1, item, vec![Value::Bool(false)]);
            }
            _ => out.reject(item, "unlucky", "the hash said so"),
        }
    }
}

/// A gate: lets the first round pass and closes every later one.
pub(crate) struct Close;

impl RowOp for Close {
    fn row(&self, item: &Item, out: &mut Out<'_>) {
        out.pass(0, item);
        if item.row.round > 1 {
            out.pass(1, item);
        }
    }
}

fn key_of(item: &Item) -> Id {
    Id::of("key", [item.int(0).unwrap_or(-1).to_le_bytes().as_slice()])
}

/// Keeps at most two rows of a key.
pub(crate) struct Cap;

impl KeyedOp for Cap {
    fn key(&self, item: &Item) -> Id {
        key_of(item)
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        let mut ranked: Vec<&Item> = items.iter().collect();
        ranked.sort_by_key(|item| (item.row.id.ranked("cap"), item.row));
        for (rank, item) in ranked.into_iter().enumerate() {
            if rank < 2 { out.pass(0, item) } else { out.reject(item, "over_cap", "two are enough") }
        }
    }
}

/// One row per key, over all rounds or per round, that says which rows it stands for.
pub(crate) struct Gather {
    pub(crate) across: bool,
}

impl KeyedOp for Gather {
    fn key(&self, item: &Item) -> Id {
        if self.across { key_of(item) } else { Id::default() }
    }

    fn across_rounds(&self) -> bool {
        self.across
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        items.iter().for_each(|item| out.take(item));
        let rows = items.iter().flat_map(|item| [item.row.id.0, item.row.body.0]);
        let digest = Id::of("gather", rows.collect::<Vec<_>>().iter().map(|id| id.as_slice()));
        let round = items.iter().map(|item| item.row.round).max().unwrap_or(0);
        out.create(0, round, digest, vec![7i64.into(), digest.to_string().into()]);
    }
}

/// What effects answer: the key as text, except to one in 64.
pub(crate) fn answer(key: &Id) -> Answer {
    if key.0[0] < 4 {
        return Err(Failure { reason: "unlucky", detail: "the engine said so".into(), fatal: false });
    }
    Ok(vec![key.to_string().into()])
}

/// Draws `n` texts that depend on the row, the model and the index, and then up to `most` while the last one ends in one of the
/// first ten digits; some rows are refused, some draws fail.
pub(crate) struct Draw {
    pub(crate) n: u32,
    pub(crate) most: u32,
    pub(crate) asked: Asked,
}

impl Draw {
    fn request(item: &Item, model: Option<Id>, index: u32) -> Request {
        let model_bytes = model.unwrap_or_default().0;
        let key = Id::of("draw", [item.row.body.0.as_slice(), &model_bytes, &index.to_le_bytes()]);
        Request { key, item: item.clone(), model, index }
    }
}

impl EffectOp for Draw {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        if item.row.body.0[1].is_multiple_of(8) {
            return Err(("refused", "no such question".into()));
        }
        Ok((0..self.n).map(|index| Self::request(item, model, index)).collect())
    }

    fn further(&self, item: &Item, model: Option<Id>, answers: &[&[Value]]) -> Vec<Request> {
        let last = answers.last().and_then(|answer| answer.first());
        let goes_on = matches!(last, Some(Value::Text(text)) if text.ends_with(|c: char| c.is_ascii_digit()));
        let drawn = answers.len() as u32;
        (drawn..self.most).take(usize::from(goes_on)).map(|index| Self::request(item, model, index)).collect()
    }

    fn asks_further(&self) -> bool {
        self.most > self.n
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        for request in requests {
            *self.asked.0.lock().unwrap().entry(request.key).or_default() += 1;
        }
        let (perform, keys) = (perform.clone(), requests.iter().map(|request| request.key));
        let answers: Vec<_> = keys.enumerate().map(|(at, key)| (at, answer(&key))).collect();
        let tell = move || answers.into_iter().rev().for_each(|(at, answer)| perform.answer(at, answer));
        match requests.first().is_some_and(|request| self.is_away(request.model)) {
            true => drop(std::thread::spawn(tell)),
            false => tell(),
        }
    }

    fn is_away(&self, model: Option<Id>) -> bool {
        model.unwrap_or_default().0[0].is_multiple_of(2)
    }

    fn rows(&self, item: &Item, model: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        for (index, answer) in answers.iter().enumerate() {
            let id =
                Id::of("drawn", [item.row.id.0.as_slice(), &model.unwrap_or_default().0, &[index as u8]]);
            out.derive(0, item, item.row.round, id, answer.to_vec());
        }
    }
}

/// Makes one model of each row, from the step's model.
pub(crate) struct Train {
    pub(crate) asked: Asked,
}

impl EffectOp for Train {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        let key = Id::of("train", [item.row.body.0.as_slice(), &model.unwrap_or_default().0]);
        Ok(vec![Request { key, item: item.clone(), model, index: 0 }])
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        for (at, request) in requests.iter().enumerate() {
            *self.asked.0.lock().unwrap().entry(request.key).or_default() += 1;
            perform.answer(at, answer(&request.key));
        }
    }

    fn rows(&self, item: &Item, _: Option<Id>, answers: &[&[Value]], out: &mut Out<'_>) {
        let Value::Text(digest) = &answers[0][0] else { panic!("a digest is text") };
        out.derive(0, item, item.row.round, digest.parse().unwrap(), answers[0].to_vec());
    }
}
