//! Keyed operators: one differential `reduce` each, behind an operator that finds the keys.

use std::sync::Arc;

use differential_dataflow::{AsCollection, Hashable};
use flow_data::{Id, Item, Round, Row};
use timely::ExchangeData;
use timely::dataflow::operators::vec::Map;

use crate::carry::carry;
use crate::render::{Place, Rows};
use crate::{Emission, KeyedOp, Out};

/// Groups `rows`, counted as the input of the stage, and recomputes the groups that changed.
pub(crate) fn render<'scope>(
    place: Place,
    op: Arc<dyn KeyedOp>,
    rows: Rows<'scope>,
) -> Rows<'scope, ((Round, Id), Emission)> {
    let name = place.name().to_owned();
    let (keying, grouping) = ((place.clone(), op.clone()), (place, op));
    let rows = counted_in(&keying.0.clone(), rows, move |row| (group_key(&keying.0, &*keying.1, row), row));
    carry(grouping.0.team, &grouping.0.heap.clone(), rows, |(_, row)| *row, |(key, _)| key.hashed())
        .reduce_named(&name, move |(_, key), rows: &[(&Row, isize)], output| {
            let input: Vec<(Row, isize)> = rows.iter().map(|(row, count)| (**row, *count)).collect();
            *output = group(&grouping.0, &*grouping.1, *key, &input);
        })
}

/// Rows of several wires, counted as the input of the stage, as a set: what comes more than once is rejected but for the first.
pub(crate) fn union<'scope>(place: Place, rows: Rows<'scope>) -> Rows<'scope, (Row, Emission)> {
    let name = format!("{} union", place.name());
    let rows = counted_in(&place, rows, |row| (row, ()));
    carry(place.team, &place.heap.clone(), rows, |(row, ())| *row, |(row, ())| row.hashed()).reduce_named(
        &name,
        move |row, times: &[(&(), isize)], output| {
            output.push((Emission::Row(0, *row), 1));
            output.push((Emission::Taken(row.body, 1), 1));
            for time in 2..=times[0].1 {
                let mut out = Out::new(&place.heap, place.width);
                out.reject(
                    &Item::load(&place.heap, *row),
                    "duplicate",
                    format!("comes for the {time}. time"),
                );
                output.extend(out.rejected().map(|row| (Emission::Rejected(row), 1)));
            }
        },
    )
}

/// What `of` makes of each row, in the operator that counts them as the input of the stage.
fn counted_in<'scope, D: ExchangeData>(
    place: &Place,
    rows: Rows<'scope>,
    of: impl Fn(Row) -> D + 'static,
) -> Rows<'scope, D> {
    let place = place.clone();
    let counted = move |(row, time, diff)| {
        place.count_input(diff);
        (of(row), time, diff)
    };
    rows.inner.map(counted).as_collection()
}

/// What `row` is grouped by: its round, unless groups span rounds, and the operator's key.
fn group_key(place: &Place, op: &dyn KeyedOp, row: Row) -> (Round, Id) {
    let round = if op.across_rounds() { 0 } else { row.round };
    (round, op.key(&Item::load(&place.heap, row)))
}

fn group(place: &Place, op: &dyn KeyedOp, key: Id, input: &[(Row, isize)]) -> Vec<(Emission, isize)> {
    let items: Vec<Item> = input.iter().map(|(row, _)| Item::load(&place.heap, *row)).collect();
    let mut out = Out::new(&place.heap, place.width);
    op.group(&items, &mut out);
    let settled = out.settle(input);
    place.report(&settled);
    let rows = settled.rows.into_iter().map(|(port, row)| (Emission::Row(port, row), 1));
    let rejected = settled.rejected.into_iter().map(|row| (Emission::Rejected(row), 1));
    let mut emissions: Vec<_> =
        rows.chain(rejected).chain([(Emission::Taken(key, settled.taken), 1)]).collect();
    differential_dataflow::consolidation::consolidate(&mut emissions);
    emissions
}
