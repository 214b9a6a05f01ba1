//! Nothing does not take the place of data: a run that made no rows where others are published ends with a mistake.

use flow_dataflow::StepCounts;
use flow_plan::{Outlet, Plan};
use flow_spec::Diagnostic;

use super::outputs::Output;
use super::summary::DeadEnd;
use crate::columns::counted;
use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

/// What to tell where `output` has no rows to show in the place of `published` ones: where they end, and what to do.
/// `dead_ends` are the steps that rejected every row, and the sources that have none.
pub(super) fn halt(
    pipeline: &Pipeline,
    output: &Output,
    published: u64,
    counts: &[StepCounts],
    dead_ends: &[DeadEnd],
) -> Halt {
    let plan = &pipeline.plan;
    let step = &plan.steps[output.step].name;
    let folder = output.publication.folder.display();
    let (at, cause) = cause(plan, output.step, counts, dead_ends);
    let culprit = &plan.steps[at];
    let rows = counted(i64::try_from(published).unwrap_or(i64::MAX), "row");
    let message = format!("step `{step}` has no rows to publish in the place of {rows}: {cause}");
    let help = format!("what is published stays; if nothing is to be there, remove `{folder}` and run again");
    let mistake = pipeline.mistake_in_step(&codes::EMPTIED, &culprit.name, &[], message);
    Halt::located(Exit::Failed, &[Diagnostic { help: Some(help), ..mistake }], &pipeline.sources)
}

/// Where the rows end that `step` lacks, and in what way.
pub(super) fn cause(
    plan: &Plan,
    step: usize,
    counts: &[StepCounts],
    dead_ends: &[DeadEnd],
) -> (usize, String) {
    let (at, outlet) = last_rows(plan, step, counts);
    let culprit = &plan.steps[at];
    let words = dead_ends.iter().find(|end| end.step() == culprit.name).map_or_else(
        || match outlet {
            Outlet::Port(port) => {
                let from = counted(counts[at].input, "row");
                format!(
                    "none of the {from} of step `{}` leaves it by `{}`",
                    culprit.name, culprit.ports[port].name
                )
            }
            Outlet::Rejected => format!("step `{}` rejects none", culprit.name),
        },
        DeadEnd::text,
    );
    (at, words)
}

/// The step before `step` that rows reach and do not leave, or a source without rows, and the outlet that they should take.
fn last_rows(plan: &Plan, step: usize, counts: &[StepCounts]) -> (usize, Outlet) {
    let mut at = (step, Outlet::Port(0));
    while let Some(edge) = plan.steps[at.0].inputs.iter().flat_map(|inlet| &inlet.edges).next()
        && counts[at.0].input == 0
    {
        at = (edge.step, edge.outlet);
    }
    at
}
