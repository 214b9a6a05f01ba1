//! What leaves a stage, by port: one operator, which also does the work of a stage that looks at rows one by one.
//!
//! A filter, a look and a probe for each port would be three operators each, all of which timely would wake for every edit.

use std::sync::atomic::Ordering::Relaxed;

use differential_dataflow::AsCollection;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::progress::operate::FrontierInterest;

use crate::render::{Place, Rows, Tick};
use crate::{Emission, Port};
use flow_data::Row;

/// Rows of a port and their changes.
type Updates = Vec<(Row, Tick, isize)>;

/// Updates that are handed on at a time, as timely itself does.
const BATCH: usize = 1 << 10;

/// The rows of a stage by port, and those that it rejected.
pub(crate) struct Leaving<'scope> {
    pub(crate) ports: Vec<Rows<'scope>>,
    pub(crate) rejected: Rows<'scope>,
}

/// Hands the emissions that the stage at `place` makes `of` each update on by its first `ports` ports, and counts what it rejected and used.
/// `tell` sees all that is handed on, before it is; `None` stands for what was rejected.
pub(crate) fn split<'scope, D: Clone + 'static, E: IntoIterator<Item = (Emission, Tick, isize)>>(
    place: Place,
    rows: Rows<'scope, D>,
    mut of: impl FnMut((D, Tick, isize)) -> E + 'static,
    ports: usize,
    mut tell: impl FnMut(Option<Port>, &[(Row, Tick, isize)]) + 'static,
) -> Leaving<'scope> {
    let mut builder = OperatorBuilder::new(format!("{} leaves", place.name()), rows.inner.scope());
    let mut input = builder.new_input(rows.inner, Pipeline);
    builder.set_notify_for(0, FrontierInterest::Never);
    let (mut outputs, streams): (Vec<_>, Vec<_>) =
        (0..=ports).map(|_| builder.new_output::<Updates>()).unzip();
    builder.build(move |_| {
        let mut leaving: Vec<Updates> = vec![Vec::new(); ports + 1];
        move |_| {
            let mut handles: Vec<_> = outputs.iter_mut().map(|output| output.activate()).collect();
            input.for_each_stamp(|stamp, batches| {
                let mut hand_on = |at: usize, updates: &mut Updates| {
                    tell((at < ports).then_some(at as Port), updates);
                    handles[at].give(&stamp, updates);
                    updates.clear();
                };
                let updates = batches.flat_map(|batch| batch.drain(..));
                for (emission, time, diff) in updates.flat_map(&mut of) {
                    let Some((at, row)) = outlet(&place, ports, emission, diff) else { continue };
                    leaving[at].push((row, time, diff));
                    if leaving[at].len() == BATCH {
                        hand_on(at, &mut leaving[at]);
                    }
                }
                for (at, updates) in leaving.iter_mut().enumerate().filter(|(_, updates)| !updates.is_empty())
                {
                    hand_on(at, updates);
                }
            });
        }
    });
    let mut collections = streams.into_iter().map(|stream| stream.as_collection());
    let ports = collections.by_ref().take(ports).collect();
    Leaving { ports, rejected: collections.next().expect("rejected rows have the last output") }
}

/// Which output a change of an emission goes to, the rejected rows being last; none where it only counts. Groups' counts of used rows end here.
fn outlet(place: &Place, ports: usize, emission: Emission, diff: isize) -> Option<(usize, Row)> {
    match emission {
        Emission::Row(port, row) => Some((usize::from(port), row)).filter(|(at, _)| *at < ports),
        Emission::Rejected(row) => {
            place.stage_counts().rejected.fetch_add(diff as i64, Relaxed);
            Some((ports, row))
        }
        Emission::Taken(_, rows) => {
            place.stage_counts().taken.fetch_add(i64::from(rows) * diff as i64, Relaxed);
            None
        }
    }
}
