//! `flow watch`: keeps a pipeline up; what is edited is computed again, and published, as soon as it is saved.
//!
//! An edit of data is fed to the dataflow that is up. An edit of the pipeline, or of what steps read when they are set up,
//! starts another one over the kept answers; sources that nobody has touched are not read again. A mistake is told, and what
//! was published stays until it is mended.

mod files;
mod inputs;
mod report;

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Instant;

use flow_data::Id;
use flow_spec::OnChange;

use crate::args::Format;
use crate::exec::{Args, Ending, Host, Live, Read, Spent, expect, narrowed};
use crate::halt::Halt;
use crate::setup::Setup;
use crate::{Catalog, Exit, codes, panic, pipeline, term};
use files::{Files, QUIET};
pub(crate) use inputs::Inputs;
use inputs::Stale;
use report::{Change, Reporter};

/// Keeps the pipeline up until Ctrl-C; `command` is how it was asked to.
pub(crate) fn watch(catalog: Catalog<'_>, args: &Args, command: &str) -> Result<Exit, Halt> {
    // No edit of a file brings a GPU. A file that is not there is told at once, too; one with mistakes may be mended.
    args.device.check()?;
    pipeline::check(catalog, &args.file, &args.overlay)?;
    let host = Host::open(catalog, args, command)?;
    let mut watcher = Watcher::new(&host);
    let mut changed = vec![args.file.clone()];
    while !host.interrupt.raised() {
        let taken = watcher.take(&changed);
        if !host.store.stands() {
            return store_removed(args);
        }
        match taken {
            Err(halt) if panic::happened() => return Err(halt),
            Err(halt) => watcher.trouble(&halt)?,
            Ok(false) => watcher.mended()?,
            Ok(true) => watcher.in_trouble = false,
        }
        match watcher.wait() {
            Some(files) => changed = files,
            None => break,
        }
    }
    if !host.store.stands() {
        return store_removed(args);
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
    /// Whether what was told last is a mistake.
    in_trouble: bool,
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
            in_trouble: false,
            ending: Ending::Done,
        }
    }

    /// Waits until files have changed and rest again, or a published folder is gone, and returns what it was; `None` when it is
    /// time to end.
    fn wait(&mut self) -> Option<Vec<PathBuf>> {
        let Self { host, live, files, .. } = self;
        let removed = || live.as_ref().and_then(|live| live.outputs().removed()).map(Path::to_owned);
        let ends = || host.interrupt.raised() || !host.store.stands();
        files.wait(|| ends() || removed().is_some()).or_else(|| {
            let gone = removed().filter(|_| !ends())?;
            // Whoever removes it has not finished yet.
            sleep(QUIET);
            Some(vec![gone])
        })
    }

    /// Tells a mistake; what is published stays until it is mended.
    fn trouble(&mut self, halt: &Halt) -> Result<(), Halt> {
        self.in_trouble = true;
        tell(self.host.args, halt)
    }

    /// Tells that nothing has changed, where the last word was a mistake.
    fn mended(&mut self) -> Result<(), Halt> {
        if std::mem::take(&mut self.in_trouble) { unchanged(self.host.args) } else { Ok(()) }
    }

    /// Takes the `changed` files in, settles what follows, and reports it. Returns whether anything was settled. What an error
    /// leaves undone is tried again with the next change.
    fn take(&mut self, changed: &[PathBuf]) -> Result<bool, Halt> {
        let started = Instant::now();
        self.inputs.mark(changed, &mut self.stale);
        if self.live.as_ref().is_some_and(|live| live.outputs().removed().is_some()) {
            // What it has published is gone, and with it what it would publish an edit from.
            self.live.take().map(Live::close).transpose()?;
            self.stale.setup = true;
        }
        let rebuilt = self.renew(started)?;
        let feeds = rebuilt || self.feed(started)?;
        self.stale = Stale::default();
        if feeds {
            self.settle(Change { changed, rebuilt, started })?;
        }
        if rebuilt {
            // A load frees about as much as it keeps, and the next edit may be hours away.
            flow_memory::give_back();
        }
        Ok(feeds)
    }

    /// Starts another dataflow where the one that is up will not do. Returns whether it did.
    fn renew(&mut self, started: Instant) -> Result<bool, Halt> {
        let Host { catalog, args, .. } = *self.host;
        if self.live.is_some() && !self.stale.setup && !self.keeps_rounds() {
            return Ok(false);
        }
        let pipeline = narrowed(pipeline::load(catalog, &args.file, &args.overlay)?, &args.extent)?;
        // Until this text is up, what is up may come back.
        let wanted = Inputs::of(catalog, &pipeline.plan);
        self.inputs.join(&wanted);
        self.files.watch(self.inputs.paths().chain([args.file.clone()]));
        let contents = wanted.contents();
        let alike = |live: &&Live<'_>| live.setup().pipeline.plan.models == pipeline.plan.models;
        let setup = match self.live.as_ref().filter(alike) {
            Some(live) if !self.stale.models => live.setup().with(pipeline)?,
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
        self.reporter.before(live);
        let settled = live.settle().and_then(|(ending, spent)| {
            if ending == Ending::Done {
                self.reporter.report(self.host.args, live, &change)?;
                live.write_down()?;
            }
            Ok((ending, spent))
        });
        if !matches!(settled, Ok((Ending::Done, _))) {
            if settled.is_err() {
                // Whoever removes a published folder has not finished yet.
                sleep(QUIET);
            }
            let is_undermined = live.outputs().removed().is_some();
            // A dataflow that was stopped cannot go on; the next change starts another. The first failure is the one to tell.
            let closed = self.live.take().map_or_else(|| Ok(Read::default()), Live::close);
            if is_undermined && settled.is_err() && !panic::happened() {
                return self.take(change.changed).map(drop);
            }
            let (ending, spent) = settled?;
            self.ending = ending;
            closed?;
            return stopped(self.host.args, ending, spent);
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

/// What to say when a mistake was mended and everything is as it was before.
fn unchanged(args: &Args) -> Result<(), Halt> {
    match args.format {
        Format::Json => term::json_line(&serde_json::json!({"outcome": "unchanged"})),
        Format::Text => {
            term::tell("mended; what is published is what the pipeline says\n");
            Ok(())
        }
    }
}

/// Ends the watch: answers that are given from now on would be lost.
fn store_removed(args: &Args) -> Result<Exit, Halt> {
    let message = format!("the store `{}` was removed while it was in use", args.store.display());
    let help = "start again: what was published stays, and answers are asked for anew";
    let halt = Halt::with(Exit::Failed, codes::STORE.id, &message, Some(help));
    match args.format {
        Format::Json => term::json_line(&halt.json())?,
        Format::Text => term::tell(&halt.text()),
    }
    Ok(Exit::Failed)
}

fn stopped(args: &Args, ending: Ending, spent: Option<Spent>) -> Result<(), Halt> {
    match args.format {
        Format::Json => term::json_line(&serde_json::json!({"outcome": ending})),
        Format::Text => {
            term::tell(&ending.text(args, spent));
            Ok(())
        }
    }
}
