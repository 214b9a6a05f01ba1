//! Finished rounds that stay as they were: what they made is fed instead of computed (`rounds: {on_change: keep}`).

use flow_data::{Heap, Id, Item, Round, Row, Value, decode, encode};
use flow_dataflow::{Driver, Network, Port, Session};
use flow_plan::Plan;
use flow_spec::OnChange;

use crate::exec::Captures;
use crate::halt::Halt;
use crate::record::Record;
use crate::setup::Setup;
use crate::{Exit, codes};

/// A row that a finished round made, with its step and port.
#[derive(Clone, Debug)]
pub(crate) struct KeptRow {
    step: String,
    port: Port,
    round: Round,
    id: Id,
    cells: Vec<Value>,
}

/// The rounds of `plan` that stay as the last run left them.
pub(crate) fn rounds(plan: &Plan, last: Option<&Record>) -> Round {
    let keeps = plan.rounds.as_ref().filter(|rounds| rounds.on_change == OnChange::Keep);
    keeps.zip(last).map_or(0, |(rounds, last)| last.rounds.min(rounds.count))
}

/// Errs where rounds of the pipeline should stay, and what they made is gone or would be forgotten.
pub(crate) fn expect(setup: &Setup, last: Option<&Record>) -> Result<(), Halt> {
    let plan = &setup.pipeline.plan;
    let Some(rounds) = plan.rounds.as_ref().filter(|rounds| rounds.on_change == OnChange::Keep) else {
        return Ok(());
    };
    let Some(last) = last else {
        let is_damaged = Record::is_there(&setup.folder, plan);
        return if is_damaged { Err(lost("the record of the last run is damaged")) } else { Ok(()) };
    };
    if last.rounds > rounds.count {
        let (finished, count) = (last.rounds, rounds.count);
        return Err(lost(&format!(
            "{finished} rounds have finished, and a run of {count} would forget some"
        )));
    }
    let makers: Vec<&str> = rounds.feed.iter().map(|feed| plan.steps[feed.step].name.as_str()).collect();
    let models = last.kept.iter().filter(|row| row.port == 0 && makers.contains(&row.step.as_str()));
    match models.filter(|row| !setup.models.has(&row.id)).map(|row| row.round).min() {
        Some(round) => Err(lost(&format!("the model that round {round} made is not in the store any more"))),
        None => Ok(()),
    }
}

fn lost(what: &str) -> Halt {
    let help =
        "`--set rounds.on_change=recompute` computes all rounds again, from kept answers where there are";
    Halt::with(Exit::Failed, codes::KEPT.id, what, Some(help))
}

/// Feeds the rows of the rounds that stay, which the driver's network leaves out.
pub(crate) fn feed(driver: &mut Driver, plan: &Plan, last: Option<&Record>) {
    let kept = driver.session().network().rounds.kept;
    if kept == 0 {
        return;
    }
    let heap = driver.session().heap().clone();
    for row in last.iter().flat_map(|last| &last.kept).filter(|row| row.round <= kept) {
        if let Some(step) = plan.step(&row.step) {
            driver.keep(step, row.port, row.row(&heap));
        }
    }
}

/// The rows that a later run could keep: those that somebody reads again, of steps that a round makes by itself.
pub(crate) fn rows(plan: &Plan, captures: &Captures, session: &Session) -> Vec<KeptRow> {
    let mut rows = Vec::new();
    for (step, port) in captures.kept(session.network()) {
        let name = &plan.steps[step].name;
        let width = plan.steps[step].ports[usize::from(port)].columns.len();
        for row in session.rows(step, Some(port)).into_keys() {
            let item = Item::load(session.heap(), row);
            let cells = (0..width).map(|at| item.get(at).clone()).collect();
            rows.push(KeptRow { step: name.clone(), port, round: row.round, id: row.id, cells });
        }
    }
    rows
}

/// The steps that a round makes by itself: neither outside of rounds nor over several of them.
pub(crate) fn is_made_in_rounds(network: &Network, step: usize) -> bool {
    network.nodes[step].per_round && !network.nodes[step].spans_rounds()
}

impl KeptRow {
    fn row(&self, heap: &Heap) -> Row {
        Item::new(heap, self.round, self.id, self.cells.clone()).row
    }

    /// The rows as bytes: the length of each as u32 LE, then its encoding.
    pub(crate) fn to_bytes(rows: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in rows {
            let head = [
                row.step.as_str().into(),
                Value::Int(row.port.into()),
                Value::Int(row.round.into()),
                row.id.to_string().into(),
            ];
            let mut encoded = Vec::new();
            encode(&[&head[..], &row.cells].concat(), &mut encoded);
            let len = u32::try_from(encoded.len()).expect("readers bound their rows");
            bytes.extend(len.to_le_bytes());
            bytes.extend(encoded);
        }
        bytes
    }

    /// The rows that [`KeptRow::to_bytes`] wrote; `None` when the bytes are something else.
    pub(crate) fn from_bytes(mut bytes: &[u8]) -> Option<Vec<Self>> {
        let mut rows = Vec::new();
        while !bytes.is_empty() {
            let (len, rest) = bytes.split_first_chunk::<4>()?;
            let (encoded, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rows.push(Self::decoded(encoded)?);
            bytes = rest;
        }
        Some(rows)
    }

    fn decoded(bytes: &[u8]) -> Option<Self> {
        let mut values = decode(bytes).ok()?;
        let cells = values.split_off(4.min(values.len()));
        let [Value::Text(step), Value::Int(port), Value::Int(round), Value::Text(id)] = values.as_slice()
        else {
            return None;
        };
        let (port, round) = (Port::try_from(*port).ok()?, Round::try_from(*round).ok()?);
        Some(Self { step: step.to_string(), port, round, id: id.parse().ok()?, cells })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_rows_survive_their_bytes() {
        let row = |round: Round, cells: Vec<Value>| KeptRow {
            step: "shards".to_owned(),
            port: 1,
            round,
            id: Id::of("row", [round.to_le_bytes().as_slice()]),
            cells,
        };
        let rows = [row(1, vec!["text".into(), Value::Null]), row(2, Vec::new())];
        let bytes = KeptRow::to_bytes(&rows);
        let back = KeptRow::from_bytes(&bytes).unwrap();
        assert_eq!(format!("{back:?}"), format!("{rows:?}"));
        assert!(KeptRow::from_bytes(&bytes[..bytes.len() - 1]).is_none());
    }
}
