//! `flow watch`: keeps a pipeline up; what is edited is computed again, and published, as soon as it is saved.
//!
//! An edit of data is fed to the dataflow that is up. An edit of the pipeline, or of what steps read when they are set up,
//! starts another one over the kept answers; sources that nobody has touched are not read again. A mistake is told, and what
//! was published stays until it is mended.

mod files;
mod inputs;
mod report;

use std::path::PathBuf;
use std::time::Instant;

use flow_data::Id;
use flow_spec::OnChange;

use crate::args::Format;
use crate::exec::{Args, Ending, Host, Live, Read, expect, narrowed};
use crate::halt::Halt;
use crate::setup::Setup;
use crate::{Catalog, Exit, panic, pipeline, term};
use files::Files;
pub(crate) use inputs::Inputs;
use inputs::Stale;
use report::{Change, Reporter};

/// Keeps the pipeline up until Ctrl-C; `command` is how it was asked to.
pub(crate) fn watch(catalog: Catalog<'_>, args: &Args, command: &str) -> Result<Exit, Halt> {
    // A file that is not there is told at once; one with mistakes may be mended.
    pipeline::check(catalog, &args.file, &args.overlay)?;
    let host = Host::open(catalog, args, command)?;
    let mut watcher = Watcher::new(&host);
    let mut changed = vec![args.file.clone()];
    while !host.interrupt.raised() {
        if let Err(halt) = watcher.take(&changed) {
            if panic::happened() {
                return Err(halt);
            }
            tell(args, &halt)?;
        }
        match watcher.files.wait(|| host.interrupt.raised()) {
            Some(files) => changed = files,
            None => break,
        }
    }
    watcher.close()
}

/// What is up, and what it rests on.
struct Watcher<'a> {
    host: &'a Host<'a>,
    live: Option<Live<'a>>,
    files: Files,
    inputs: Inputs,
    /// Identity of the files that the steps read when they were set up.
    contents: Id,
    /// What has changed and could not be taken in yet.
    stale: Stale,
    reporter: Reporter,
    /// How it settled last.
    ending: Ending,
}

impl<'a> Watcher<'a> {
    fn new(host: &'a Host<'a>) -> Self {
        let mut files = Files::default();
        files.watch([host.args.file.clone()]);
        Self {
            host,
            live: None,
            files,
            inputs: Inputs::default(),
            contents: Id::default(),
            stale: Stale::default(),
            reporter: Reporter::default(),
            ending: Ending::Done,
        }
    }

    /// Takes the `changed` files in, settles what follows, and reports it. What an error leaves undone is tried again with the
    /// next change.
    fn take(&mut self, changed: &[PathBuf]) -> Result<(), Halt> {
        let started = Instant::now();
        self.inputs.mark(changed, &mut self.stale);
        let rebuilt = self.renew(started)?;
        let feeds = rebuilt || self.feed(started)?;
        self.stale = Stale::default();
        if feeds { self.settle(Change { changed, rebuilt, started }) } else { Ok(()) }
    }

    /// Starts another dataflow where the one that is up will not do. Returns whether it did.
    fn renew(&mut self, started: Instant) -> Result<bool, Halt> {
        let Host { catalog, args, .. } = *self.host;
        if self.live.is_some() && !self.stale.setup && !self.keeps_rounds() {
            return Ok(false);
        }
        let pipeline = narrowed(pipeline::load(catalog, &args.file, &args.overlay)?, args)?;
        // Until this text is up, what is up may come back.
        let wanted = Inputs::of(catalog, &pipeline.plan);
        self.inputs.join(&wanted);
        self.files.watch(self.inputs.paths().chain([args.file.clone()]));
        let contents = wanted.contents();
        let alike = |live: &&Live<'_>| live.setup().pipeline.plan.models == pipeline.plan.models;
        let setup = match self.live.as_ref().filter(alike) {
            Some(live) if !self.stale.models => live.setup().with(pipeline),
            _ => Setup::of(pipeline, &args.store)?,
        };
        if let Some(live) = self.live.as_mut().filter(|live| contents == self.contents && runs(live, &setup))
            && setup.pipeline.plan.rounds.as_ref().is_none_or(|rounds| rounds.on_change != OnChange::Keep)
        {
            live.reword(setup.pipeline);
            self.rest_on(wanted);
            return Ok(false);
        }
        expect(catalog, &setup, args)?;
        let read = self.live.take().map_or_else(|| Ok(Read::default()), Live::close)?;
        self.live =
            Some(Live::start(self.host, setup, started, Some(read.without(&self.stale.sources)), None)?);
        self.contents = contents;
        self.rest_on(wanted);
        Ok(true)
    }

    /// What is up rests on `inputs` and nothing else.
    fn rest_on(&mut self, inputs: Inputs) {
        self.inputs = inputs;
        self.files.watch(self.inputs.paths().chain([self.host.args.file.clone()]));
    }

    /// Feeds what differs in the sources that have changed. Returns whether anything does.
    fn feed(&mut self, started: Instant) -> Result<bool, Halt> {
        let Some(live) = self.live.as_mut().filter(|_| !self.stale.sources.is_empty()) else {
            return Ok(false);
        };
        expect(self.host.catalog, live.setup(), self.host.args)?;
        live.reload(&self.stale.sources, started)
    }

    fn settle(&mut self, change: Change<'_>) -> Result<(), Halt> {
        let Some(live) = &mut self.live else { return Ok(()) };
        self.reporter.before(live, change.rebuilt);
        let settled = live.settle().and_then(|ending| {
            if ending == Ending::Done {
                self.reporter.report(self.host.args, live, &change)?;
                live.write_down()?;
            }
            Ok(ending)
        });
        if !matches!(settled, Ok(Ending::Done)) {
            // A dataflow that was stopped cannot go on; the next change starts another. The first failure is the one to tell.
            let closed = self.live.take().map_or_else(|| Ok(Read::default()), Live::close);
            self.ending = settled?;
            closed?;
            return stopped(self.host.args, self.ending);
        }
        self.ending = Ending::Done;
        Ok(())
    }

    /// Whether rounds that have finished stay as they are: which these are is known to a dataflow from its start.
    fn keeps_rounds(&self) -> bool {
        let rounds = self.live.as_ref().and_then(|live| live.setup().pipeline.plan.rounds.as_ref());
        rounds.is_some_and(|rounds| rounds.on_change == OnChange::Keep)
    }

    fn close(self) -> Result<Exit, Halt> {
        self.live.map(Live::close).transpose()?;
        Ok(self.ending.exit())
    }
}

/// Whether what is up would do the same as `setup`.
fn runs(live: &Live<'_>, setup: &Setup) -> bool {
    live.setup().digests == setup.digests && live.setup().pipeline.plan.runs_as(&setup.pipeline.plan)
}

fn tell(args: &Args, halt: &Halt) -> Result<(), Halt> {
    match args.format {
        Format::Json => term::json_line(&halt.json()),
        Format::Text => {
            term::tell(&format!("{}what was published stays; watching\n", halt.text()));
            Ok(())
        }
    }
}

fn stopped(args: &Args, ending: Ending) -> Result<(), Halt> {
    match args.format {
        Format::Json => term::json_line(&serde_json::json!({"outcome": ending})),
        Format::Text => {
            term::tell(&ending.text(args));
            Ok(())
        }
    }
}
