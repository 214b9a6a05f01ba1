//! How much of a pipeline is run: `--until`, `--from`, `--rounds`.

use flow_dataflow::Calls;
use flow_plan::Plan;
use flow_spec::help_with_names;

use super::Args;
use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::{Exit, codes};

impl Args {
    /// Whether a part of the pipeline is run, so that what earlier runs published of the rest stays.
    pub(super) fn is_partial(&self) -> bool {
        self.until.is_some() || self.rounds.is_some()
    }
}

/// The pipeline as far as it is to be run.
pub(crate) fn narrowed(mut pipeline: Pipeline, args: &Args) -> Result<Pipeline, Halt> {
    if let Some(count) = args.rounds {
        let Some(rounds) = &mut pipeline.plan.rounds else {
            let help = Some("leave `--rounds` out");
            return Err(Halt::with(Exit::Usage, codes::NO_STEP.id, "the pipeline has no `rounds`", help));
        };
        rounds.count = count;
    }
    if let Some(name) = &args.until {
        pipeline.plan = pipeline.plan.until(named(&pipeline.plan, name)?);
    }
    Ok(pipeline)
}

/// The steps whose missing answers may be asked for.
pub(super) fn calls(plan: &Plan, args: &Args) -> Result<Calls, Halt> {
    let Some(name) = &args.from else { return Ok(Calls::Make) };
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
