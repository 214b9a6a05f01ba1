//! The pipeline's own tests: the steps, ports and columns that they name.

use std::collections::BTreeSet;

use flow_data::Columns;
use flow_spec::{Diagnostic, Expect, help_with_names};
use serde_json::{Map, Value as Json};

use crate::draft::Draft;
use crate::resolve::unknown_step;
use crate::shape::{outlet, rejected, unknown_port};
use crate::{Outlet, Test, codes};

/// Resolves the tests; steps keep their positions in the text.
pub(crate) fn tests(draft: &mut Draft<'_>) -> Vec<Test> {
    let spec = draft.spec;
    spec.tests
        .iter()
        .filter_map(|(position, test)| resolve(draft, &format!("tests.{position}"), test))
        .collect()
}

fn resolve(draft: &mut Draft<'_>, path: &str, test: &flow_spec::Test) -> Option<Test> {
    let Some(step) = draft.by_name.get(test.step.as_str()).copied() else {
        unknown_step(draft, &test.step, draft.spec.span(&format!("{path}.step")));
        return None;
    };
    let shape = draft.steps[step].shape.clone()?;
    let arriving: Vec<Columns> = draft.steps[step].inlets.iter().map(|inlet| inlet.columns.clone()).collect();
    if draft.steps[step].has_columns {
        check_rows(draft, &format!("{path}.given"), &test.given, &arriving, "arrive at");
    }
    let mut expect = Vec::new();
    for (name, rows) in &test.expect {
        let path = format!("{path}.expect.{name}");
        let Some(outlet) = outlet(&shape, name) else {
            unknown_port(draft, step, name, draft.spec.key_span(&path));
            continue;
        };
        let columns = match outlet {
            Outlet::Port(port) => shape.ports[port].columns.clone(),
            Outlet::Rejected => rejected(&draft.steps[step].inlets),
        };
        if let Expect::Rows(rows) = rows
            && draft.steps[step].has_columns
        {
            check_rows(draft, &path, rows, &[columns], "leave");
        }
        expect.push((outlet, rows.clone()));
    }
    let given = test.given.iter().cloned().map(Json::Object).collect();
    Some(Test { name: test.name.clone(), step, given, expect })
}

/// Reports cells of columns that no row at this place has.
fn check_rows(
    draft: &mut Draft<'_>,
    path: &str,
    rows: &[Map<String, Json>],
    columns: &[Columns],
    verb: &str,
) {
    let names: BTreeSet<&str> = columns.iter().flat_map(Columns::names).collect();
    for (position, row) in rows.iter().enumerate() {
        for name in row.keys().filter(|name| !names.contains(name.as_str())) {
            let span = draft.spec.key_span(&format!("{path}.{position}.{name}"));
            let words = format!("the rows that {verb} the step have no column `{name}`");
            let help = help_with_names(name, "columns", &names.iter().copied().collect::<Vec<_>>());
            draft.report(Diagnostic::new(&codes::MISSING_COLUMN, span, words).help(help));
        }
    }
}
