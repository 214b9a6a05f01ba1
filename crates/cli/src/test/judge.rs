//! What was expected against what left the step.

use flow_data::{Columns, Item, Value};
use flow_operators::cells::to_json;
use flow_plan::{Outlet, Step};
use flow_spec::{Diagnostic, Expect};
use serde_json::{Map, Value as Json};

use super::cells;
use super::step::Leaving;
use crate::codes;
use crate::pipeline::Pipeline;

/// Rows that are shown where others were expected.
const SHOWN: usize = 3;
/// Characters shown of one row.
const WIDTH: usize = 160;

/// The mistakes of one outlet of the test at `place`.
pub(super) fn judge(
    pipeline: &Pipeline,
    place: &str,
    step: &Step,
    outlet: Outlet,
    expect: &Expect,
    leaving: &Leaving,
) -> Vec<Diagnostic> {
    let (name, columns) = match outlet {
        Outlet::Port(port) => (step.ports[port].name.as_str(), &step.ports[port].columns),
        Outlet::Rejected => ("rejected", &step.rejected),
    };
    let place = format!("{place}.expect.{name}");
    let found = leaving.rows(outlet);
    let fail = |words: String| {
        vec![pipeline.mistake(&codes::TEST_FAILED, &place, words).help(listing(columns, found))]
    };
    match expect {
        Expect::Count(count) if *count == found.len() as u64 => Vec::new(),
        Expect::Count(count) => fail(format!("expected {count} rows on `{name}`, found {}", found.len())),
        Expect::Rows(rows) => {
            let rows: Vec<Json> = rows.iter().cloned().map(Json::Object).collect();
            let wanted = match wanted(pipeline, &place, &rows, columns) {
                Ok(wanted) => wanted,
                Err(mistakes) => return mistakes,
            };
            let agrees = |want: usize, have: usize| {
                wanted[want].iter().all(|(position, value)| found[have].get(*position) == value)
            };
            if wanted.len() == found.len() && pairs_up(wanted.len(), &agrees) {
                return Vec::new();
            }
            fail(format!(
                "expected other rows on `{name}`: {} as listed, found {}",
                wanted.len(),
                found.len()
            ))
        }
    }
}

/// The cells that each expected row names.
fn wanted(
    pipeline: &Pipeline,
    place: &str,
    rows: &[Json],
    columns: &Columns,
) -> Result<Vec<Vec<(usize, Value)>>, Vec<Diagnostic>> {
    let cells = cells::read_all(pipeline, place, rows, columns)?;
    let named = |(row, cells): (&Json, Vec<Value>)| {
        let named = columns.visible().filter(|(_, column)| row.get(&*column.name).is_some());
        named.map(|(position, _)| (position, cells[position].clone())).collect()
    };
    Ok(rows.iter().zip(cells).map(named).collect())
}

/// Whether each of `n` expected rows can have a found row of its own that `agrees` with it: Kuhn's algorithm.
fn pairs_up(n: usize, agrees: &dyn Fn(usize, usize) -> bool) -> bool {
    let mut taken_by = vec![None; n];
    (0..n).all(|want| take(want, &mut vec![false; n], &mut taken_by, agrees))
}

/// Finds a row for `want`; those that stand in the way are given other rows where they can.
fn take(
    want: usize,
    tried: &mut [bool],
    taken_by: &mut [Option<usize>],
    agrees: &dyn Fn(usize, usize) -> bool,
) -> bool {
    for have in 0..taken_by.len() {
        if tried[have] || !agrees(want, have) {
            continue;
        }
        tried[have] = true;
        if taken_by[have].is_none_or(|other| take(other, tried, taken_by, agrees)) {
            taken_by[have] = Some(want);
            return true;
        }
    }
    false
}

/// The first of the found rows, for the help.
fn listing(columns: &Columns, found: &[Item]) -> String {
    if found.is_empty() {
        return "no row left by it".to_owned();
    }
    let row = |item: &Item| {
        let cells = columns.visible().map(|(at, column)| (column.name.to_string(), to_json(item.get(at))));
        let text = Json::Object(cells.filter(|(_, cell)| !cell.is_null()).collect::<Map<_, _>>()).to_string();
        let cut: String = text.chars().take(WIDTH).collect();
        if cut.len() < text.len() { cut + "…" } else { cut }
    };
    let more = if found.len() > SHOWN { ", …" } else { "" };
    format!("found {}{more}", found.iter().take(SHOWN).map(row).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_pair_up_whatever_their_order() {
        // Expected row 0 agrees with both found rows, 1 with the first only.
        assert!(pairs_up(2, &|want, have| want == 0 || have == 0));
        assert!(!pairs_up(2, &|_, have| have == 0));
        assert!(pairs_up(0, &|_, _| false));
    }
}
