//! Whether a run may ask for what it would ask for: `--max-calls` and `--on-recompute`.

use std::io::{IsTerminal, stdin};

use clap::ValueEnum;

use super::Args;
use crate::forecast::Forecast;
use crate::halt::Halt;
use crate::record::Record;
use crate::setup::Setup;
use crate::{Catalog, Exit, codes, term};

/// What to do where rows that the last run had would be asked for again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum OnRecompute {
    /// Show what would be asked and wait for a yes; refuse where nobody can answer.
    Ask,
    /// Go on.
    #[default]
    Allow,
    /// Refuse.
    Deny,
}

/// Errs with the numbers where the run is not allowed. Costs a forecast, and only where a limit was given.
pub(crate) fn expect(catalog: Catalog<'_>, setup: &Setup, args: &Args) -> Result<(), Halt> {
    if args.on_recompute == OnRecompute::Allow && args.max_calls.is_none() {
        return Ok(());
    }
    let last = Record::load(&setup.folder, &setup.pipeline.plan)?;
    args.device.foresee(setup)?;
    let forecast = Forecast::new(catalog, setup, last.as_ref())?.drawing_on(args.device, setup)?;
    let (calls, recomputed) = (forecast.calls(), forecast.recomputed());
    if let Some(most) = args.max_calls.filter(|most| calls > *most) {
        return Err(refusal(
            &forecast,
            &format!("the run would make {calls} calls, and `--max-calls` allows {most}"),
        ));
    }
    let words = format!("{recomputed} of {calls} calls would ask again for rows that the last run had");
    match args.on_recompute {
        OnRecompute::Deny if recomputed > 0 => Err(refusal(&forecast, &words)),
        OnRecompute::Ask if recomputed > 0 && !agreed(&forecast, &words) => Err(refusal(&forecast, &words)),
        _ => Ok(()),
    }
}

fn agreed(forecast: &Forecast, words: &str) -> bool {
    if !stdin().is_terminal() {
        return false;
    }
    term::tell(&format!("{}\n{words}. Go on? [y/N] ", forecast.text()));
    let mut answer = String::new();
    stdin().read_line(&mut answer).is_ok() && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn refusal(forecast: &Forecast, words: &str) -> Halt {
    term::tell(&forecast.text());
    let help = "`flow plan` shows the reasons; `--on-recompute allow` without `--max-calls` goes on";
    Halt::with(Exit::Failed, codes::REFUSED.id, words, Some(help))
}
