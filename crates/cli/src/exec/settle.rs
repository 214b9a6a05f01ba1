//! The run itself: settle round after round, publish what has settled, stop when asked to.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::Instant;

use flow_data::Round;
use flow_dataflow::{Driver, EffectProgress, Session, SessionError};
use flow_spec::Budget;
use serde::Serialize;

use super::captures::Captures;
use super::interrupt::Interrupt;
use super::outputs::Outputs;
use super::progress::Progress;
use super::{Args, session_halt, tables};
use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::record::Ledger;
use crate::setup::Setup;
use crate::{Exit, codes, panic};

/// How a run ended, other than by a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// Every round that can run has run.
    Done,
    /// Ctrl-C.
    Interrupted,
    /// The pipeline's own limit.
    Budget,
}

impl Ending {
    /// The word of the run table.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Ending::Done => "done",
            Ending::Interrupted | Ending::Budget => "interrupted",
        }
    }

    /// The exit code.
    pub(crate) fn exit(self) -> Exit {
        match self {
            Ending::Done => Exit::Done,
            Ending::Interrupted => Exit::Interrupted,
            Ending::Budget => Exit::Budget,
        }
    }
}

/// What a run works with.
pub(crate) struct Run<'a> {
    /// The pipeline and its models.
    pub(crate) setup: &'a Setup,
    /// What it is different in from the last run, and where that is written down.
    pub(crate) ledger: &'a Ledger,
    /// Where it publishes.
    pub(crate) outputs: &'a Outputs,
    /// What the host reads.
    pub(crate) captures: &'a Captures,
    /// The command line.
    pub(crate) args: &'a Args,
    /// When it began.
    pub(crate) started: Instant,
}

impl Run<'_> {
    /// Settles everything that was fed; publishes after each settled tick and at the end.
    pub(crate) fn settle(&self, driver: &mut Driver) -> Result<Ending, Halt> {
        let interrupt = Interrupt::listen()?;
        let names = self.pipeline().plan.steps.iter().map(|step| step.name.clone()).collect();
        let mut progress = Progress::new(names, self.args.quiet);
        let failed = RefCell::new(None);
        let mut watch = |state: &[EffectProgress]| {
            progress.show(state);
            let stop = panic::happened()
                || interrupt.raised()
                || self.over_budget(state)
                || failed.borrow().is_some();
            if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let settled = driver.settle(&mut watch, &mut |session, round| {
            *failed.borrow_mut() = self.publish(session, round, Ending::Interrupted).err();
        });
        progress.clear();
        if let Some(halt) = failed.into_inner() {
            return Err(halt);
        }
        match settled {
            Err(_) if panic::happened() => Err(Halt::of_panic()),
            Ok(()) => {
                self.publish(driver.session(), driver.last_round(), Ending::Done).map(|()| Ending::Done)
            }
            Err(SessionError::Interrupted) if interrupt.raised() => Ok(Ending::Interrupted),
            Err(SessionError::Interrupted) => Ok(Ending::Budget),
            Err(error) => Err(session_halt(&error)),
        }
    }

    /// The pipeline.
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.setup.pipeline
    }

    /// Publishes what has settled, `rounds` of the loop; `ending` is what the run's own table says until the next time.
    fn publish(&self, session: &Session, rounds: Round, ending: Ending) -> Result<(), Halt> {
        self.expect_conservation(session)?;
        self.outputs.publish(
            self.pipeline(),
            self.captures,
            session,
            ending == Ending::Done && !self.args.is_partial(),
        )?;
        tables::write(self, session, ending)?;
        self.ledger.write(&self.setup.pipeline.plan, self.captures, session, rounds)
    }

    /// Errs where rows that came into a step neither left it nor were rejected.
    fn expect_conservation(&self, session: &Session) -> Result<(), Halt> {
        let mut steps = self.pipeline().plan.steps.iter().zip(session.counts());
        let Some((step, counts)) = steps.find(|(_, counts)| counts.unaccounted != 0) else { return Ok(()) };
        let message = format!(
            "step `{}` (operator `{}`) left {} of {} rows unaccounted for",
            step.name, step.op, counts.unaccounted, counts.input
        );
        Err(self.pipeline().halt_at_step(Exit::Failed, &codes::ROWS_LOST, &step.name, message))
    }

    fn over_budget(&self, state: &[EffectProgress]) -> bool {
        let Budget { tokens, calls, wall } = &self.pipeline().plan.budget;
        let spent = |what: fn(&EffectProgress) -> u64| state.iter().map(what).sum::<u64>();
        let reached = |limit: &Option<u64>, spent: u64| limit.is_some_and(|limit| spent >= limit);
        reached(tokens, spent(|step| step.tokens))
            || reached(calls, spent(|step| step.answered))
            || reached(wall, self.started.elapsed().as_secs())
    }

    /// Dataflow workers.
    pub(crate) fn workers(&self) -> u16 {
        self.args.workers
    }
}
