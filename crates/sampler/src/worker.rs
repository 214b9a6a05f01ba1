//! Continuous batching: one thread that keeps a set of draws going and starts the next as one ends.
//!
//! Requests with the same prompt that follow each other form a job. Its prompt is read once; each draw of the job
//! then starts from a fork of it. A step reads one token of every live draw and some prompt tokens of coming jobs.
//!
//! Memory is planned, not hoped for: a job is opened, and a draw started, when the blocks it can still come to need are
//! free beside those that others can still come to need. Which draws are under way together changes none of them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use flow_kernels::BLOCK;
use flow_kernels::gpu::DeviceError;

use crate::Error;
use crate::draw::Draw;
use crate::engine::{Engine, Sink};
use crate::forward::Row;
use crate::pages::Sequence;
use crate::pass::Pass;
use crate::plan::Usage;
use crate::request::Request;

/// What all workers of a run share.
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) requests: &'a [Request],
    pub(crate) jobs: &'a [Range<usize>],
    pub(crate) next_job: &'a AtomicUsize,
    pub(crate) cancel: &'a AtomicBool,
    pub(crate) sink: &'a Sink<'a>,
    /// Most draws that each worker keeps going.
    pub(crate) slots: usize,
    /// Most prompt tokens read in one step, beside one token of each live draw.
    pub(crate) prompt_rows: usize,
    /// Most blocks of the cache that each worker uses, unless a single draw needs more.
    pub(crate) blocks: usize,
}

/// Groups neighbours with equal prompts, read by the same experts, into jobs of at most `most`, leaving out requests that are
/// not `valid`. Those that may take longest come first, so that no thread is left alone with one at the end.
pub(crate) fn jobs(requests: &[Request], most: usize, valid: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut jobs: Vec<Range<usize>> = Vec::new();
    let read = |i: usize| (&requests[i].prompt, requests[i].params.routing);
    for i in (0..requests.len()).filter(|&i| valid(i)) {
        match jobs.last_mut() {
            Some(job) if job.end == i && job.len() < most && read(job.start) == read(i) => {
                job.end += 1;
            }
            _ => jobs.push(i..i + 1),
        }
    }
    let longest = |job: &Range<usize>| requests[job.clone()].iter().map(|r| r.params.max_tokens).max();
    jobs.sort_by_key(|job| std::cmp::Reverse(longest(job)));
    jobs
}

/// A job that has been taken.
struct Job {
    waiting: Range<usize>,
    tokens: Vec<u32>,
    /// Positions of prompt and completion of its longest draw.
    positions: usize,
}

impl Job {
    /// Blocks of one draw beside those it shares with the prompt.
    fn blocks_of_draw(&self) -> usize {
        self.positions.div_ceil(BLOCK) - self.tokens.len() / BLOCK
    }
}

/// A prompt on its way into the cache, and the requests waiting for it.
struct Prompt<'a> {
    job: Job,
    sequence: Sequence,
    /// Tokens in the cache.
    read: usize,
    /// The draws of its requests, with their first tokens, once all is read.
    draws: VecDeque<Draw<'a>>,
}

impl Prompt<'_> {
    fn is_read(&self) -> bool {
        self.read == self.job.tokens.len()
    }

    /// Requests that have not begun.
    fn waiting(&self) -> usize {
        self.job.waiting.len() + self.draws.len()
    }
}

/// One thread's draws.
pub(crate) struct Worker<'a, P> {
    run: &'a Run<'a>,
    pass: P,
    /// A job that waits for memory.
    next: Option<Job>,
    /// In the order of their jobs; the first are read first.
    prompts: Vec<Prompt<'a>>,
    live: Vec<Draw<'a>>,
    rows: Vec<Row>,
    usage: Usage,
}

impl<'a, P: Pass> Worker<'a, P> {
    pub(crate) fn new(run: &'a Run<'a>, pass: P) -> Self {
        let (prompts, live, rows) = (Vec::new(), Vec::new(), Vec::new());
        Self { run, pass, next: None, prompts, live, rows, usage: Usage::default() }
    }

    /// Works until no job is left or the run is cancelled; cancelled draws are not answered. Where the device fails, all that is left
    /// is answered with its error. Returns what it took.
    pub(crate) fn work(&mut self) -> Usage {
        if let Err(error) = self.go() {
            self.fail(&error);
        }
        let block = BLOCK * self.run.engine.bytes_per_position();
        Usage { cache_bytes: self.pass.pages().most() * block, ..self.usage }
    }

    fn go(&mut self) -> Result<(), DeviceError> {
        while !self.run.cancel.load(Ordering::Relaxed) {
            self.take_jobs();
            if self.prompts.is_empty() && self.live.is_empty() {
                break;
            }
            self.start_draws()?;
            self.plan();
            // There is nothing to read when every draw just started has ended with its first token.
            if !self.rows.is_empty() {
                self.step()?;
            }
            self.answer();
        }
        Ok(())
    }

    /// Answers all requests that are not answered: those whose draws have ended with what they have drawn.
    fn fail(&mut self, error: &DeviceError) {
        self.answer();
        let answer = |i| (self.run.sink)(i, Err(Error::Device(error.clone())));
        self.live.drain(..).for_each(|draw| answer(draw.index));
        for Prompt { job, draws, .. } in self.prompts.drain(..) {
            for draw in draws {
                match draw.answer {
                    Some(ended) => (self.run.sink)(draw.index, ended),
                    None => answer(draw.index),
                }
            }
            job.waiting.for_each(answer);
        }
        self.next.take().into_iter().for_each(|job| job.waiting.for_each(answer));
        while let Some(job) = self.run.jobs.get(self.run.next_job.fetch_add(1, Ordering::Relaxed)) {
            job.clone().for_each(answer);
        }
    }

    /// Takes jobs until enough requests wait for the free slots, and a few more whose prompts are read ahead, as long as
    /// memory for them is free.
    fn take_jobs(&mut self) {
        let waiting = |prompts: &[Prompt<'_>]| prompts.iter().map(Prompt::waiting).sum::<usize>();
        let enough = self.run.slots + self.run.slots / 8;
        while self.live.len() + waiting(&self.prompts) < enough {
            let Some(job) = self.next.take().or_else(|| self.take_job()) else { return };
            if !self.fits(&job) {
                self.next = Some(job);
                return;
            }
            let sequence = self.pass.pages_mut().open();
            self.prompts.push(Prompt { job, sequence, read: 0, draws: VecDeque::new() });
        }
    }

    /// The next job with a usable prompt. It is the same for all requests of a job, so an unusable one is unusable for each.
    fn take_job(&self) -> Option<Job> {
        let Run { engine, requests, .. } = self.run;
        loop {
            let job = self.run.next_job.fetch_add(1, Ordering::Relaxed);
            let waiting = self.run.jobs.get(job)?.clone();
            for i in waiting.clone() {
                match engine.tokens(&requests[i].prompt) {
                    Err(error) => (self.run.sink)(i, Err(error)),
                    Ok(tokens) => {
                        let longest = requests[waiting.clone()].iter().map(|r| r.params.max_tokens).max();
                        let positions =
                            tokens.len().saturating_add(longest.unwrap_or(0)).min(engine.context());
                        return Some(Job { waiting, tokens, positions });
                    }
                }
            }
        }
    }

    /// Whether the job can be opened beside what is under way, so that any open job can go on when nothing else does.
    fn fits(&self, job: &Job) -> bool {
        let draws = self.prompts.iter().map(|prompt| &prompt.job).chain([job]).map(Job::blocks_of_draw);
        let idle = self.prompts.is_empty() && self.live.is_empty();
        let most = job.tokens.len().div_ceil(BLOCK) + draws.max().unwrap_or(0);
        idle || self.promised() + most <= self.run.blocks
    }

    /// Blocks in use, and those that open prompts and live draws can still come to need.
    fn promised(&self) -> usize {
        let pages = self.pass.pages();
        let prompts = self.prompts.iter().map(|p| pages.missing(p.sequence, p.job.tokens.len()));
        let live = self.live.iter().map(|draw| pages.missing(draw.sequence, draw.positions));
        pages.used() + prompts.sum::<usize>() + live.sum::<usize>()
    }

    /// Starts draws from prompts that are read, as long as there are free slots and memory.
    fn start_draws(&mut self) -> Result<(), DeviceError> {
        for at in 0..self.prompts.len() {
            while !self.prompts[at].draws.is_empty()
                && self.live.len() < self.run.slots
                && (self.live.is_empty()
                    || self.promised() + self.prompts[at].job.blocks_of_draw() <= self.run.blocks)
            {
                self.start_draw(at)?;
            }
        }
        let Self { pass, prompts, .. } = self;
        prompts.retain(|prompt| {
            if prompt.waiting() == 0 {
                pass.pages_mut().close(prompt.sequence);
            }
            prompt.waiting() > 0
        });
        Ok(())
    }

    /// Starts the next draw of a prompt that is read, unless it has ended with its first token.
    fn start_draw(&mut self, at: usize) -> Result<(), DeviceError> {
        let Self { run, pass, prompts, live, .. } = self;
        let prompt = &mut prompts[at];
        let Some(mut draw) = prompt.draws.pop_front() else { return Ok(()) };
        if let Some(answer) = draw.answer.take() {
            (run.sink)(draw.index, answer);
            return Ok(());
        }
        match pass.fork(prompt.sequence, prompt.read) {
            Ok(sequence) => draw.sequence = sequence,
            Err(error) => {
                (run.sink)(draw.index, Err(Error::Device(error.clone())));
                return Err(error);
            }
        }
        live.push(draw);
        Ok(())
    }

    /// Lists the rows of the next step: the last token of each live draw, then prompt tokens.
    fn plan(&mut self) {
        let Self { run, prompts, live, rows, .. } = self;
        rows.clear();
        rows.extend(live.iter().filter_map(|draw| {
            let (token, position) = draw.next()?;
            let routing = draw.request.params.routing;
            Some(Row { sequence: draw.sequence, position, token, span: position + 1, routing, wanted: true })
        }));
        let most = rows.len() + run.prompt_rows;
        for Prompt { job: Job { waiting, tokens, .. }, sequence, read, .. } in prompts.iter_mut() {
            let routing = run.requests.get(waiting.start).and_then(|request| request.params.routing);
            let next = tokens.len().min(*read + most - rows.len());
            let last = tokens.len() - 1;
            let row = |position| Row {
                sequence: *sequence,
                position,
                token: tokens[position],
                span: tokens.len(),
                routing,
                wanted: position == last,
            };
            rows.extend((*read..next).map(row));
            *read = next;
        }
    }

    /// Reads the rows, draws a token for each live draw and the first ones of all draws of prompts that are read to their end.
    fn step(&mut self) -> Result<(), DeviceError> {
        let Self { run, pass, prompts, live, rows, usage, .. } = self;
        if !live.is_empty() {
            usage.steps += 1;
            usage.advanced += live.len() as u64;
            usage.places += run.slots as u64;
        }
        let mut complete: Vec<&mut Prompt<'a>> =
            prompts.iter_mut().filter(|prompt| prompt.is_read() && prompt.draws.is_empty()).collect();
        complete.iter_mut().for_each(|prompt| prompt.draws = draws(run, &mut prompt.job, prompt.sequence));
        // Wanted are the rows of live draws, then the last ones of these prompts.
        let first = (live.len()..)
            .zip(&complete)
            .flat_map(|(row, prompt)| prompt.draws.iter().map(move |draw| (row, draw.pick())));
        let picks: Vec<_> = live.iter().map(Draw::pick).enumerate().chain(first).collect();
        let choices = pass.step(rows, &picks)?;
        let drawn = live.iter_mut().chain(complete.into_iter().flat_map(|prompt| &mut prompt.draws));
        drawn.zip(choices).for_each(|(draw, choice)| draw.advance(run.engine, choice));
        Ok(())
    }

    /// Hands over what has ended, which frees its slot.
    fn answer(&mut self) {
        let Self { run, pass, live, .. } = self;
        live.retain_mut(|draw| {
            let Some(answer) = draw.answer.take() else { return true };
            pass.pages_mut().close(draw.sequence);
            (run.sink)(draw.index, answer);
            false
        });
    }
}

/// The draws of the requests that wait for the prompt of `job`; those whose prefix cannot be read are answered.
fn draws<'a>(run: &Run<'a>, job: &mut Job, prompt: Sequence) -> VecDeque<Draw<'a>> {
    let draw = |index: usize| match run.engine.forced(&run.requests[index]) {
        Err(error) => {
            (run.sink)(index, Err(error));
            None
        }
        Ok(forced) => {
            let mut draw = Draw::new(index, &run.requests[index], &job.tokens, forced, prompt);
            draw.positions = job.positions;
            Some(draw)
        }
    };
    let waiting = std::mem::take(&mut job.waiting);
    waiting.filter_map(draw).collect()
}

#[cfg(test)]
mod tests;
