//! How the rows of each step differ from the last run's.

use flow_dataflow::{Census, Network, Sample, Session, Turnover};
use flow_plan::Plan;

use crate::kept::is_made_in_rounds;
use crate::record::Record;

/// The differences of every step, over all its ports, rejected rows included.
pub(crate) fn turnovers(plan: &Plan, session: &Session, last: Option<&Record>) -> Vec<Turnover> {
    by_outlet(plan, session, last).iter().map(sum).collect()
}

/// The differences of every step, port by port, those of its rejected rows last.
pub(crate) fn by_outlet(plan: &Plan, session: &Session, last: Option<&Record>) -> Vec<Vec<Turnover>> {
    let censuses = session.censuses();
    let of = |(at, censuses): (usize, &Vec<Census>)| outlets(plan, session.network(), at, censuses, last);
    censuses.iter().enumerate().map(of).collect()
}

/// The differences of several outlets together.
pub(crate) fn sum<'a>(outlets: impl IntoIterator<Item = &'a Turnover>) -> Turnover {
    outlets.into_iter().fold(Turnover::default(), |sum, outlet| Turnover {
        kept: sum.kept + outlet.kept,
        new: sum.new + outlet.new,
        gone: sum.gone + outlet.gone,
        changed: sum.changed + outlet.changed,
        estimated: sum.estimated || outlet.estimated,
    })
}

fn outlets(
    plan: &Plan,
    network: &Network,
    at: usize,
    censuses: &[Census],
    last: Option<&Record>,
) -> Vec<Turnover> {
    let step = &plan.steps[at];
    let names = step.ports.iter().map(|port| port.name.as_str()).chain(["rejected"]);
    let nothing = Sample::default();
    // What finished rounds made stays, though only what somebody reads again is fed.
    let stays = network.rounds.kept > 0 && is_made_in_rounds(network, at);
    let of = |(name, census): (&str, &Census)| {
        let earlier = last.and_then(|last| last.sample(&step.name, name)).unwrap_or(&nothing);
        let turnover = census.sample().since(earlier);
        match stays {
            true => Turnover { kept: turnover.kept + turnover.gone, gone: 0, changed: 0, ..turnover },
            false => turnover,
        }
    };
    names.zip(censuses).map(of).collect()
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
