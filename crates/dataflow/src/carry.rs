//! Rows on their way to another process, with what they say.
//!
//! A row is three hashes; its record rests in the heap of its process. Wherever rows change workers, they are first sent
//! where they would go, with their records, so that the exchange that follows moves nothing.

use std::rc::Rc;

use differential_dataflow::AsCollection;
use flow_data::{Heap, Row};
use timely::ExchangeData;
use timely::dataflow::operators::Exchange;
use timely::dataflow::operators::vec::Map;

use crate::render::Rows;

/// Which of all workers are in this process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Team {
    /// This process.
    pub(crate) process: usize,
    /// All processes.
    pub(crate) processes: usize,
    /// Workers of each process.
    pub(crate) workers: usize,
}

impl Team {
    /// Whether what is routed by `route` stays in this process.
    fn keeps(&self, route: u64) -> bool {
        let worker = (route % (self.processes * self.workers) as u64) as usize;
        worker / self.workers == self.process
    }
}

/// Sends `rows` to the workers that `route` names, as timely routes by such a number, with the records of the `row` in
/// each. With one process nothing moves: the heap is everybody's.
pub(crate) fn carry<'scope, D: ExchangeData + Clone>(
    team: Option<Team>,
    heap: &Heap,
    rows: Rows<'scope, D>,
    row: impl Fn(&D) -> Row + 'static,
    route: impl Fn(&D) -> u64 + 'static,
) -> Rows<'scope, D> {
    let Some(team) = team else { return rows };
    let (sender, receiver) = (heap.apart(), heap.apart());
    let route = Rc::new(route);
    let routed = route.clone();
    rows.inner
        .map(move |update| {
            let records =
                if team.keeps(routed(&update.0)) { Vec::new() } else { sender.pack(&row(&update.0).body) };
            (update, records)
        })
        .exchange(move |((data, _, _), _)| route(data))
        .map(move |(update, records)| {
            receiver.unpack(&records);
            update
        })
        .as_collection()
}
