//! How the rows of each step differ from the last run's.

use flow_dataflow::{Census, Network, Sample, Session, Turnover};
use flow_plan::Plan;

use crate::kept::is_made_in_rounds;
use crate::record::Record;

/// The differences of every step, over all its ports, rejected rows included.
pub(crate) fn turnovers(plan: &Plan, session: &Session, last: Option<&Record>) -> Vec<Turnover> {
    let censuses = session.censuses();
    let of = |(at, censuses): (usize, &Vec<Census>)| turnover(plan, session.network(), at, censuses, last);
    censuses.iter().enumerate().map(of).collect()
}

fn turnover(
    plan: &Plan,
    network: &Network,
    at: usize,
    censuses: &[Census],
    last: Option<&Record>,
) -> Turnover {
    let step = &plan.steps[at];
    let names = step.ports.iter().map(|port| port.name.as_str()).chain(["rejected"]);
    let (nothing, mut sum) = (Sample::default(), Turnover::default());
    for (name, census) in names.zip(censuses) {
        let earlier = last.and_then(|last| last.sample(&step.name, name)).unwrap_or(&nothing);
        let turnover = census.sample().since(earlier);
        sum.kept += turnover.kept;
        sum.new += turnover.new;
        sum.gone += turnover.gone;
        sum.changed += turnover.changed;
        sum.estimated |= turnover.estimated;
    }
    if network.rounds.kept > 0 && is_made_in_rounds(network, at) {
        // What finished rounds made stays, though only what somebody reads again is fed.
        sum.kept += sum.gone;
        (sum.gone, sum.changed) = (0, 0);
    }
    sum
}

/// Whether any row differs.
pub(crate) fn is_any(turnover: &Turnover) -> bool {
    turnover.new + turnover.gone > 0
}

/// The differences in words, such as `1 added, 2 changed`; none where there are none.
pub(crate) fn words(turnover: &Turnover) -> Option<String> {
    let Turnover { new, gone, changed, .. } = *turnover;
    let parts = [(new - changed, "added"), (gone - changed.min(gone), "removed"), (changed, "changed")];
    let parts: Vec<String> =
        parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
