//! Spec and catalog to plan, stage by stage. Every stage goes on after mistakes and skips only what hangs on them.

use flow_data::Id;
use flow_spec::{Diagnostic, Spec, settle};

use crate::draft::Draft;
use crate::order::{Needs, report_circles, sorted};
use crate::{Edge, Inlet, ModelRef, Plan, Rounds, Signature, Step, Test};
use crate::{advice, digest, models, resolve, shape, tests_section};

/// Plans a pipeline. Returns all mistakes, in the order of the text, and the plan if neither these nor those of the
/// reading prevent a run.
pub fn plan(spec: &Spec, catalog: &[&dyn Signature]) -> (Option<Plan>, Vec<Diagnostic>) {
    let mut draft = Draft::new(spec);
    resolve::operators(&mut draft, catalog);
    resolve::references(&mut draft);
    models::shared_names(&mut draft);
    models::declared(&mut draft);
    let by_rows = needs(&draft);
    let order = sorted(&by_rows);
    report_circles(&mut draft, &by_rows, &order);
    shape::shapes(&mut draft, &order);
    models::uses(&mut draft);
    let rounds = models::rounds(&mut draft);
    let tests = tests_section::tests(&mut draft);
    let by_all = needs(&draft);
    let order = order_with_models(&mut draft, order, &by_all);
    let mut plan = None;
    if spec.is_complete() && draft.found.is_empty() {
        advice::unused_steps(&mut draft, rounds.as_ref());
        advice::idle_feeds(&mut draft, rounds.as_ref());
        plan = assemble(&draft, &order, rounds, tests);
    }
    settle(&mut draft.found);
    (plan, draft.found)
}

/// What each step waits for: the steps whose rows it reads and the steps whose models it uses, as far as known.
fn needs(draft: &Draft<'_>) -> Needs {
    let of = |step: &crate::draft::StepDraft<'_>| {
        let rows = step.sources.iter().map(|source| (source.step, source.span));
        let models = step.models.iter().filter_map(|used| match used.model {
            ModelRef::Step(maker) => Some((maker, step.spec.node.at(&used.key)?.span)),
            ModelRef::Declared(_) => None,
        });
        rows.chain(models).collect()
    };
    draft.steps.iter().map(of).collect()
}

/// The final order. Circles that only models close are reported here; those of rows have been before.
fn order_with_models(draft: &mut Draft<'_>, by_rows: Vec<usize>, needs: &Needs) -> Vec<usize> {
    let order = sorted(needs);
    if by_rows.len() == draft.steps.len() {
        report_circles(draft, needs, &order);
    }
    order
}

/// The plan of a draft without mistakes, its steps renumbered to their `order`.
fn assemble(draft: &Draft<'_>, order: &[usize], rounds: Option<Rounds>, tests: Vec<Test>) -> Option<Plan> {
    let spec = draft.spec;
    let mut position = vec![0; order.len()];
    order.iter().enumerate().for_each(|(to, from)| position[*from] = to);
    let per_round = models::per_round(draft, rounds.as_ref(), order);
    let mut digests = vec![Id::default(); order.len()];
    let mut steps = Vec::with_capacity(order.len());
    for at in order.iter().copied() {
        digests[at] = digest::digest(&draft.steps[at], &digests, |name| spec.models.get(name))?;
        steps.push(step(draft, at, &position, per_round[at], digests[at])?);
    }
    // Where no step differs from round to round there is one round, whose models are measured once.
    let rounds = rounds.filter(|_| per_round.contains(&true)).map(|mut rounds| {
        rounds.feed.iter_mut().for_each(|feed| feed.step = position[feed.step]);
        Rounds { gate: rounds.gate.map(|gate| crate::Gate { step: position[gate.step], ..gate }), ..rounds }
    });
    Some(Plan {
        name: spec.name.clone(),
        seed: spec.seed,
        out: spec.out.clone(),
        steps,
        models: spec.models.clone(),
        rounds,
        tests: tests.into_iter().map(|test| Test { step: position[test.step], ..test }).collect(),
        budget: spec.budget.clone(),
    })
}

fn step(draft: &Draft<'_>, at: usize, position: &[usize], per_round: bool, digest: Id) -> Option<Step> {
    let step = &draft.steps[at];
    let shape = step.shape.clone()?;
    let moved = |edge: &Edge| Edge { step: position[edge.step], ..*edge };
    let inlet = |inlet: &Inlet| Inlet {
        edges: inlet.edges.iter().map(moved).collect(),
        columns: inlet.columns.clone(),
    };
    let mut models = step.models.clone();
    for used in &mut models {
        if let ModelRef::Step(maker) = &mut used.model {
            *maker = position[*maker];
        }
    }
    Some(Step {
        name: step.spec.name.clone(),
        op: step.signature?.name(),
        version: step.signature?.version(),
        written: step.config.as_ref()?.public.clone(),
        config: step.config.as_ref()?.real.clone(),
        inputs: step.inlets.iter().map(inlet).collect(),
        rejected: shape::rejected(&step.inlets),
        ports: shape.ports,
        models,
        makes_model: shape.makes_model,
        is_end: shape.is_end,
        per_round,
        digest,
    })
}
