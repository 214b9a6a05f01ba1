//! How much of a pipeline is run: `--until`, `--from`, `--rounds`.

use std::collections::BTreeSet;

use flow_dataflow::Calls;
use flow_plan::Plan;
use flow_spec::help_with_names;

use crate::forecast::Forecast;
use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

/// How much of a pipeline is meant, the same for every verb that runs one or foretells a run.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Extent {
    /// Run STEP and what it rests on, nothing else.
    #[arg(long, value_name = "STEP")]
    until: Option<String>,
    /// Run STEP and what rests on it. Steps before it may use kept answers only: the run ends where one is missing. In a
    /// loop what is before it must not rest on it by way of the round before: name the first step of a round, or one round.
    #[arg(long, value_name = "STEP")]
    pub(super) from: Option<String>,
    /// Run so many rounds, whatever the pipeline says.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,
}

impl Extent {
    /// Whether a part of the pipeline is run, so that what earlier runs published of the rest stays.
    pub(super) fn is_partial(&self) -> bool {
        self.until.is_some() || self.rounds.is_some()
    }

    /// Whether less is run than the pipeline says.
    pub(super) fn is_narrowed(&self) -> bool {
        self.is_partial() || self.from.is_some()
    }

    /// Errs where `--from` holds nothing back: what is before the step rests on it by way of the rounds.
    pub(crate) fn expect_sense(&self, plan: &Plan) -> Result<(), Halt> {
        let Some(name) = &self.from else { return Ok(()) };
        let at = named(plan, name)?;
        let behind = plan.behind(at);
        let inputs =
            |step: usize| plan.steps[step].inputs.iter().flat_map(|inlet| &inlet.edges).map(|edge| edge.step);
        let (mut open, mut seen): (Vec<usize>, BTreeSet<usize>) = (inputs(at).collect(), BTreeSet::new());
        while let Some(before) = open.pop() {
            if behind.contains(&before) {
                let before = &plan.steps[before].name;
                let message = format!(
                    "`--from {name}` holds nothing back: `{before}` rests on it by way of the round before"
                );
                let help = "add `--rounds 1`, or name the step that begins a round";
                return Err(Halt::with(Exit::Usage, codes::BEFORE.id, &message, Some(help)));
            }
            if seen.insert(before) {
                open.extend(inputs(before));
            }
        }
        Ok(())
    }

    /// Errs where a run of this extent would end for want of an answer before `--from`.
    pub(crate) fn expect_known(&self, plan: &Plan, forecast: &Forecast) -> Result<(), Halt> {
        self.expect_sense(plan)?;
        let Calls::MakeFor(asked) = calls(plan, self)? else { return Ok(()) };
        match forecast.asked().find(|(step, _)| !asked.contains(step)) {
            Some((step, calls)) => {
                let name = &plan.steps[step].name;
                let message =
                    format!("step `{name}` is before `--from`, and {calls} of its answers are not kept");
                Err(Halt::new(Exit::Failed, &codes::BEFORE, message))
            }
            None => Ok(()),
        }
    }
}

/// The pipeline as far as it is to be run.
pub(crate) fn narrowed(mut pipeline: Pipeline, extent: &Extent) -> Result<Pipeline, Halt> {
    if let Some(count) = extent.rounds {
        let Some(rounds) = &mut pipeline.plan.rounds else {
            let help = Some("leave `--rounds` out");
            return Err(Halt::with(Exit::Usage, codes::NO_STEP.id, "the pipeline has no `rounds`", help));
        };
        rounds.count = count;
    }
    if let Some(name) = &extent.until {
        pipeline.plan = pipeline.plan.until(named(&pipeline.plan, name)?);
    }
    Ok(pipeline)
}

/// The steps whose missing answers may be asked for.
pub(super) fn calls(plan: &Plan, extent: &Extent) -> Result<Calls, Halt> {
    let Some(name) = &extent.from else { return Ok(Calls::Make) };
    Ok(Calls::MakeFor(plan.behind(named(plan, name)?)))
}

/// The step `name`.
pub(crate) fn named(plan: &Plan, name: &str) -> Result<usize, Halt> {
    plan.step(name).ok_or_else(|| {
        let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
        let help = help_with_names(name, "its steps", &names);
        Halt::with(Exit::Usage, codes::NO_STEP.id, &format!("the pipeline has no step `{name}`"), Some(&help))
    })
}
