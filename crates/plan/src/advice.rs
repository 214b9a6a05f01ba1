//! Warnings: what runs, though probably not as meant. Given only when everything else is right.

use flow_spec::Diagnostic;

use crate::draft::Draft;
use crate::{ModelRef, Rounds, codes};

/// Warns of steps of which nothing comes.
pub(crate) fn unused_steps(draft: &mut Draft<'_>, rounds: Option<&Rounds>) {
    let mut used = vec![false; draft.steps.len()];
    for step in &draft.steps {
        let makers = step.models.iter().filter_map(|used| match used.model {
            ModelRef::Step(maker) => Some(maker),
            ModelRef::Declared(_) => None,
        });
        let rows = step.inlets.iter().flat_map(|inlet| &inlet.edges).map(|edge| edge.step);
        rows.chain(makers).for_each(|at| used[at] = true);
    }
    if let Some(rounds) = rounds {
        rounds
            .feed
            .iter()
            .map(|feed| feed.step)
            .chain(rounds.gate.map(|gate| gate.step))
            .for_each(|at| used[at] = true);
    }
    for (at, used) in used.into_iter().enumerate() {
        let step = &draft.steps[at];
        let is_end = step.shape.as_ref().is_some_and(|shape| shape.is_end);
        if !used && !is_end {
            let name = &step.spec.name;
            let words = format!("nothing comes of step `{name}`: no step uses it, and it writes nothing");
            let help = format!("remove it, or name it in the `from` of another step: `from: {name}`");
            draft.report(Diagnostic::new(&codes::UNUSED_STEP, step.spec.name_span, words).help(help));
        }
    }
}

/// Warns of fed models that no step uses.
pub(crate) fn idle_feeds(draft: &mut Draft<'_>, rounds: Option<&Rounds>) {
    for feed in rounds.iter().flat_map(|rounds| &rounds.feed) {
        let mut uses = draft.steps.iter().flat_map(|step| &step.models);
        if !uses.any(|used| used.model == ModelRef::Declared(feed.model.clone())) {
            let span = draft.spec.key_span(&format!("rounds.feed.{}", feed.model));
            let words = format!("rounds feed model `{}`, which no step uses", feed.model);
            draft.report(Diagnostic::new(&codes::IDLE_FEED, span, words));
        }
    }
}
