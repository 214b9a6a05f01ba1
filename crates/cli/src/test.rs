//! `flow test`: the pipeline's own tests. Given rows go through one step, without any model; nothing is written.

mod cells;
mod judge;
mod step;

use std::path::PathBuf;

use flow_spec::{Diagnostic, render, to_json};
use serde_json::json;

use crate::args::{Format, Overlay};
use crate::halt::Halt;
use crate::pipeline::{self, Pipeline};
use crate::{Catalog, Exit, codes, term};

/// Arguments of `test`.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Pipeline files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// For people (stderr) or for programs (stdout).
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
    #[command(flatten)]
    overlay: Overlay,
}

/// Runs every test of the files; [`Exit::Failed`] if one fails.
pub(crate) fn test(catalog: Catalog<'_>, args: &Args) -> Result<Exit, Halt> {
    let (mut texts, mut objects) = (Vec::new(), Vec::new());
    let (mut n_tests, mut n_failed) = (0, 0);
    for file in &args.files {
        let pipeline = pipeline::load(catalog, file, &args.overlay)?;
        for at in 0..pipeline.plan.tests.len() {
            let mistakes = run(catalog, &pipeline, at);
            n_tests += 1;
            n_failed += usize::from(!mistakes.is_empty());
            texts.extend(mistakes.iter().map(|mistake| render(mistake, &pipeline.sources)));
            objects.extend(mistakes.iter().map(|mistake| to_json(mistake, &pipeline.sources)));
        }
    }
    match args.format {
        Format::Text => {
            texts.push(format!("{} of {n_tests} tests passed\n", n_tests - n_failed));
            term::tell(&texts.join("\n"));
        }
        Format::Json => term::json(&json!({"tests": n_tests, "failed": n_failed, "diagnostics": objects}))?,
    }
    Ok(if n_failed > 0 { Exit::Failed } else { Exit::Done })
}

/// What is wrong with the test at this position of the list; nothing if it passes.
fn run(catalog: Catalog<'_>, pipeline: &Pipeline, at: usize) -> Vec<Diagnostic> {
    let plan = &pipeline.plan;
    let test = &plan.tests[at];
    let step = &plan.steps[test.step];
    let place = format!("tests.{at}");
    let refuse = |why: String| vec![pipeline.mistake(&codes::TEST_REFUSED, &format!("{place}.step"), why)];
    if let Some(why) = step::refusal(step) {
        return refuse(why);
    }
    let given = cells::read_all(pipeline, &format!("{place}.given"), &test.given, &step.inputs[0].columns);
    let leaving = match given.map(|given| step::run(catalog, plan, step, given)) {
        Ok(Ok(leaving)) => leaving,
        Ok(Err(why)) => return refuse(why),
        Err(mistakes) => return mistakes,
    };
    let judged = test
        .expect
        .iter()
        .map(|(outlet, expect)| judge::judge(pipeline, &place, step, *outlet, expect, &leaving));
    judged.flatten().collect()
}
