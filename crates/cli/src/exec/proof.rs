//! `--verify-incremental`: what the run left equals a computation from scratch over the same answers.

use std::time::Instant;

use flow_dataflow::{Driver, Session};
use flow_store::{Parts, Snapshot};

use super::outputs::Outputs;
use crate::columns::grouped;
use crate::forecast::replayed;
use crate::halt::{Halt, chain};
use crate::record::Record;
use crate::setup::Setup;
use crate::{Catalog, Exit, codes, term};

/// Computes everything again in a fresh dataflow that may not ask for any answer, and compares every port of every step, and
/// the published files, with what `session` holds. Tells the result in one line.
pub(super) fn prove(
    catalog: Catalog<'_>,
    setup: &Setup,
    session: &Session,
    outputs: &Outputs,
    last: Option<&Record>,
) -> Result<(), Halt> {
    let started = Instant::now();
    let fresh = replayed(catalog, setup, last)?;
    let rows = same_rows(setup, session, &fresh)?;
    let files = same_files(setup, &fresh, outputs)?;
    term::tell(&format!(
        "verified: {} steps with {} rows and {} published files equal a computation from scratch (0 calls, {:.1} s)\n",
        setup.pipeline.plan.steps.len(),
        grouped(rows),
        grouped(files),
        started.elapsed().as_secs_f64(),
    ));
    Ok(())
}

/// Number of rows of all ports, which are the same in both.
fn same_rows(setup: &Setup, session: &Session, fresh: &Driver) -> Result<i64, Halt> {
    let mut rows = 0;
    let both = session.censuses().into_iter().zip(fresh.session().censuses());
    for (step, (kept, computed)) in setup.pipeline.plan.steps.iter().zip(both) {
        let names = step.ports.iter().map(|port| port.name.as_str()).chain(["rejected"]);
        for (name, (kept, computed)) in names.zip(kept.iter().zip(&computed)) {
            if (kept.rows(), kept.digest()) != (computed.rows(), computed.digest()) {
                let message = format!(
                    "`{}.{name}` holds {} rows, a computation from scratch gives {} rows, and they are not the same",
                    step.name,
                    kept.rows(),
                    computed.rows()
                );
                return Err(setup.pipeline.halt_at_step(
                    Exit::Failed,
                    &codes::NOT_EQUAL,
                    &step.name,
                    message,
                ));
            }
            rows += kept.rows();
        }
    }
    Ok(rows)
}

/// Number of published files, all with the bytes that a computation from scratch gives.
fn same_files(setup: &Setup, fresh: &Driver, outputs: &Outputs) -> Result<i64, Halt> {
    let mut files = 0;
    for output in outputs.iter() {
        let step = &setup.pipeline.plan.steps[output.step];
        let differs =
            |what: String| setup.pipeline.halt_at_step(Exit::Failed, &codes::NOT_EQUAL, &step.name, what);
        let mut expected: Vec<String> =
            output.computed(fresh.session()).into_iter().map(|part| part.path).collect();
        expected.sort();
        let folder = &output.publication.folder;
        let snapshot = Snapshot::current(folder).map_err(|error| differs(chain(&error)))?;
        let parts = snapshot.map(|snapshot| snapshot.manifest.parts).unwrap_or_default();
        let mut published: Vec<String> = parts.iter().map(|part| part.path.clone()).collect();
        published.sort();
        if published != expected {
            return Err(differs(format!(
                "`{}` shows other files than a computation from scratch",
                folder.display()
            )));
        }
        for part in parts {
            let path = folder.join("current").join(&part.path);
            let bytes = std::fs::read(&path)
                .map_err(|error| differs(format!("cannot read `{}`: {error}", path.display())))?;
            if Parts::digest(&bytes) != part.digest {
                return Err(differs(format!(
                    "`{}` has other bytes than a computation from scratch",
                    path.display()
                )));
            }
            files += 1;
        }
    }
    Ok(files)
}
