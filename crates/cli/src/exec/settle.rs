//! The run itself: settle round after round, publish what has settled, stop when asked to.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::Instant;

use flow_data::Round;
use flow_dataflow::{Driver, EffectProgress, Session, SessionError, StepCounts};
use serde::Serialize;

use super::captures::Captures;
use super::host::Host;
use super::outputs::{Outputs, Reach};
use super::progress::Progress;
use super::summary::DeadEnd;
use super::{Args, emptied, session_halt, tables};
use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::record::{Ledger, Record};
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

    /// What to say of an early end, one line; `spent` is what had been when a budget ended it.
    pub(crate) fn text(self, args: &Args, spent: Option<Spent>) -> String {
        let what = match spent {
            Some(Spent { key, most, spent }) => {
                format!("stopped by the budget `{key}: {most}` with {spent} spent")
            }
            None => "interrupted".to_owned(),
        };
        let store = args.store.display();
        format!("{what}; finished answers are kept in `{store}` and what was published stays\n")
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

/// A limit of a pipeline's budget that a run came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    key: &'static str,
    most: u64,
    spent: u64,
}

impl Spent {
    /// The limit `most` of `key`, if there is one and so much is `spent`.
    fn up(key: &'static str, most: Option<u64>, spent: u64) -> Option<Self> {
        Some(Self { key, most: most.filter(|most| spent >= *most)?, spent })
    }
}

/// What a run works with.
pub(crate) struct Run<'a> {
    /// The pipeline and its models.
    pub(crate) setup: Setup,
    /// What it is different in from the last run, and where that is written down.
    pub(crate) ledger: Ledger,
    /// Where it publishes.
    pub(crate) outputs: Outputs,
    /// What the host reads.
    pub(crate) captures: Captures,
    /// What it runs in.
    pub(crate) host: &'a Host<'a>,
    /// When it began, or began to settle what was edited.
    pub(crate) started: Instant,
    /// What had been counted then; nothing at first.
    pub(crate) before: Vec<StepCounts>,
}

impl Run<'_> {
    /// Settles everything that was fed and publishes after each settled tick. All but the last tick are written down too;
    /// what the last one leaves is for [`Run::write_down`]. The budget of tokens counts from `before` on; where one ends the run, it is
    /// told too.
    pub(crate) fn settle(&self, driver: &mut Driver, before: u64) -> Result<(Ending, Option<Spent>), Halt> {
        let interrupt = &self.host.interrupt;
        let names = self.pipeline().plan.steps.iter().map(|step| step.name.clone()).collect();
        let mut progress = Progress::new(names, self.host.args.quiet);
        let failed = RefCell::new(None);
        let mut spent = None;
        let mut watch = |state: &[EffectProgress]| {
            progress.tell(&self.setup.remarks.take());
            progress.show(state);
            spent = spent.or_else(|| self.over_budget(state, before));
            let stop =
                panic::happened() || interrupt.raised() || spent.is_some() || failed.borrow().is_some();
            if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let settled = driver.settle(&mut watch, &mut |session, round| {
            let written = self
                .publish(session, false)
                .and_then(|()| self.write_down(session, round, Ending::Interrupted).map(drop));
            *failed.borrow_mut() = written.err();
        });
        progress.clear();
        progress.tell(&self.setup.remarks.take());
        if let Some(halt) = failed.into_inner() {
            return Err(halt);
        }
        match settled {
            Err(_) if panic::happened() => Err(Halt::of_panic()),
            Ok(()) => self.publish(driver.session(), true).map(|()| (Ending::Done, None)),
            Err(SessionError::Interrupted) if interrupt.raised() => Ok((Ending::Interrupted, None)),
            Err(SessionError::Interrupted) => Ok((Ending::Budget, spent)),
            Err(SessionError::Failed { failure, .. })
                if failure.reason == "not_allowed" && self.host.args.is_bound_by(&self.pipeline().plan) =>
            {
                let calls = self.counts(driver.session()).iter().map(|counts| counts.calls).sum();
                let most = self.pipeline().plan.budget.calls.unwrap_or_default();
                Ok((Ending::Budget, Some(Spent { key: "calls", most, spent: calls })))
            }
            Err(error) => Err(session_halt(self.pipeline(), &error)),
        }
    }

    /// The pipeline.
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.setup.pipeline
    }

    /// Publishes what has settled; `done` when nothing is left to do.
    fn publish(&self, session: &Session, done: bool) -> Result<(), Halt> {
        self.expect_conservation(session)?;
        let reach = match done {
            false => Reach::Round,
            true if self.host.args.extent.is_partial() => Reach::Part,
            true => Reach::Whole,
        };
        if done {
            self.expect_rows(session)?;
        }
        self.outputs.publish(self.pipeline(), session, reach)
    }

    /// Errs where nothing would take the place of published rows.
    fn expect_rows(&self, session: &Session) -> Result<(), Halt> {
        let mut lost = self.outputs.iter().filter_map(|output| Some((output, output.lost(session)?)));
        let Some((output, rows)) = lost.next() else { return Ok(()) };
        let dead_ends = DeadEnd::all(&self.pipeline().plan, &self.captures, session);
        Err(emptied::halt(self.pipeline(), output, rows, &session.counts(), &dead_ends))
    }

    /// Writes the tables of the run, which say `ending` until the next time, and the record that the next run is compared with:
    /// what has settled, `rounds` of the loop.
    pub(crate) fn write_down(
        &self,
        session: &Session,
        rounds: Round,
        ending: Ending,
    ) -> Result<Record, Halt> {
        tables::write(self, session, ending)?;
        self.ledger.write(&self.pipeline().plan, &self.captures, session, &self.counts(session), rounds)
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

    /// The counters of every step, with the calls of this settling alone.
    pub(crate) fn counts(&self, session: &Session) -> Vec<StepCounts> {
        let mut counts = session.counts();
        for (now, before) in counts.iter_mut().zip(&self.before) {
            now.calls -= before.calls;
            now.reused -= before.reused;
        }
        counts
    }

    /// The limit that is reached, in tokens since `before` or in time; the engine itself holds to the calls.
    fn over_budget(&self, state: &[EffectProgress], before: u64) -> Option<Spent> {
        let budget = &self.pipeline().plan.budget;
        let tokens = Spent::up("tokens", budget.tokens, tokens(state) - before);
        tokens.or_else(|| Spent::up("wall", budget.wall, self.started.elapsed().as_secs()))
    }

    /// Dataflow workers.
    pub(crate) fn workers(&self) -> u16 {
        self.host.args.workers
    }
}

/// The tokens of models in a session.
pub(crate) fn tokens(state: &[EffectProgress]) -> u64 {
    state.iter().map(|step| step.tokens).sum()
}
