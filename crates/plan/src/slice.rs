//! Parts of a plan: what a step rests on, and what rests on it.

use std::collections::BTreeSet;

use crate::{Edge, ModelRef, Plan, Rounds};

impl Plan {
    /// The plan of `step` and all it rests on, other steps left out. With more than one round it rests on what trains its
    /// models too.
    #[must_use]
    pub fn until(&self, step: usize) -> Plan {
        let mut kept = BTreeSet::new();
        self.collect(step, &mut kept);
        let gate = self.rounds.as_ref().and_then(|rounds| rounds.gate);
        if let Some(gate) = gate.filter(|_| self.feeds().any(|(_, maker)| kept.contains(&maker))) {
            self.collect(gate.step, &mut kept);
        }
        self.with_only(&kept)
    }

    /// `step` and all steps that rest on it.
    pub fn behind(&self, step: usize) -> BTreeSet<usize> {
        let mut behind = BTreeSet::from([step]);
        loop {
            let rests = |at: &usize| self.rests_on(*at).iter().any(|other| behind.contains(other));
            let more: Vec<usize> =
                (0..self.steps.len()).filter(|at| !behind.contains(at)).filter(rests).collect();
            if more.is_empty() {
                return behind;
            }
            behind.extend(more);
        }
    }

    fn collect(&self, step: usize, kept: &mut BTreeSet<usize>) {
        if kept.insert(step) {
            self.rests_on(step).into_iter().for_each(|other| self.collect(other, kept));
        }
    }

    /// The steps whose rows or models `step` uses, in this round or from the round before.
    fn rests_on(&self, step: usize) -> Vec<usize> {
        let step = &self.steps[step];
        let rows = step.inputs.iter().flat_map(|inlet| inlet.edges.iter().map(|edge| edge.step));
        let models = step.models.iter().filter_map(|used| match &used.model {
            ModelRef::Step(maker) => Some(*maker),
            ModelRef::Declared(name) => self.feeds().find(|(model, _)| model == name).map(|(_, maker)| maker),
        });
        rows.chain(models).collect()
    }

    /// The models that the loop replaces, and by which step; none where there is one round.
    fn feeds(&self) -> impl Iterator<Item = (&str, usize)> {
        let rounds = self.rounds.iter().filter(|rounds| rounds.count > 1);
        rounds.flat_map(|rounds| rounds.feed.iter().map(|feed| (feed.model.as_str(), feed.step)))
    }

    /// The plan of the steps in `kept`, which rest on no others, and of the models that they use. Tests are left out.
    fn with_only(&self, kept: &BTreeSet<usize>) -> Plan {
        let position = |step: usize| kept.range(..step).count();
        let moved = |edge: &mut Edge| edge.step = position(edge.step);
        let mut plan = self.clone();
        plan.steps = kept.iter().map(|at| self.steps[*at].clone()).collect();
        for step in &mut plan.steps {
            step.inputs.iter_mut().flat_map(|inlet| &mut inlet.edges).for_each(moved);
            for used in &mut step.models {
                if let ModelRef::Step(maker) = &mut used.model {
                    *maker = position(*maker);
                }
            }
        }
        plan.rounds = self.rounds.clone().map(|mut rounds| {
            rounds.feed.retain(|feed| kept.contains(&feed.step));
            rounds.feed.iter_mut().for_each(|feed| feed.step = position(feed.step));
            let gate = rounds.gate.filter(|gate| kept.contains(&gate.step));
            Rounds { gate: gate.map(|gate| crate::Gate { step: position(gate.step), ..gate }), ..rounds }
        });
        let of_steps = plan.steps.iter().flat_map(|step| &step.models);
        let declared = of_steps.filter_map(|used| match &used.model {
            ModelRef::Declared(name) => Some(name.clone()),
            ModelRef::Step(_) => None,
        });
        let fed = plan.rounds.iter().flat_map(|rounds| &rounds.feed).map(|feed| feed.model.clone());
        let needed: BTreeSet<String> = declared.chain(fed).collect();
        plan.models.retain(|name, _| needed.contains(name));
        plan.tests = Vec::new();
        plan
    }
}
