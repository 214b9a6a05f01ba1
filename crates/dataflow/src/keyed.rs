//! Keyed operators: one differential `reduce` each.

use std::sync::Arc;

use flow_data::{Id, Item, Row};

use crate::render::{Place, Rows};
use crate::{Emission, KeyedOp, Out};

/// Groups `rows` and recomputes the groups that changed.
pub(crate) fn render<'scope>(
    place: Place,
    op: Arc<dyn KeyedOp>,
    rows: Rows<'scope>,
) -> Rows<'scope, Emission> {
    let name = place.name().to_owned();
    let (keying, grouping) = ((place.clone(), op.clone()), (place, op));
    rows.map(move |row| (group_key(&keying.0, &*keying.1, row), row))
        .reduce_named(&name, move |key, rows: &[(&Row, isize)], output| {
            let input: Vec<(Row, isize)> = rows.iter().map(|(row, count)| (**row, *count)).collect();
            *output = group(&grouping.0, &*grouping.1, *key, &input);
        })
        .map(|(_, emission)| emission)
}

fn group_key(place: &Place, op: &dyn KeyedOp, row: Row) -> Id {
    let key = op.key(&Item::load(&place.heap, row));
    if op.across_rounds() {
        return key;
    }
    Id::of("group", [row.round.to_le_bytes().as_slice(), &key.0])
}

fn group(place: &Place, op: &dyn KeyedOp, key: Id, input: &[(Row, isize)]) -> Vec<(Emission, isize)> {
    let items: Vec<Item> = input.iter().map(|(row, _)| Item::load(&place.heap, *row)).collect();
    let mut out = Out::new(&place.heap, place.width);
    op.group(&items, &mut out);
    let settled = out.settle(input);
    place.report(&settled);
    let taken = u64::try_from(settled.taken).expect("differential shows a group's rows with positive counts");
    let rows = settled.rows.into_iter().map(|(port, row)| (Emission::Row(port, row), 1));
    let rejected = settled.rejected.into_iter().map(|(row, count)| (Emission::Rejected(row), count));
    let mut emissions: Vec<_> = rows.chain(rejected).chain([(Emission::Taken(key, taken), 1)]).collect();
    differential_dataflow::consolidation::consolidate(&mut emissions);
    emissions
}
