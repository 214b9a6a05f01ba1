//! Continuous batching: one thread that keeps a set of draws going and starts the next as one ends.
//!
//! Requests with the same prompt that follow each other form a job. Its prompt is read once; each draw of the job
//! then starts from a fork of it. A step reads one token of every live draw and some prompt tokens of coming jobs.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::cache::Sequence;
use crate::draw::Draw;
use crate::engine::{Engine, Sink};
use crate::forward::{Forward, Row};
use crate::request::Request;
use crate::select::Selector;

/// Most prompt tokens read in one step, beside one token of each live draw.
const PROMPT_ROWS: usize = 64;

/// What all workers of a run share.
pub(crate) struct Run<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) requests: &'a [Request],
    pub(crate) jobs: &'a [Range<usize>],
    pub(crate) next_job: &'a AtomicUsize,
    pub(crate) cancel: &'a AtomicBool,
    pub(crate) sink: &'a Sink<'a>,
    /// Draws each worker keeps going.
    pub(crate) slots: usize,
}

/// Groups neighbours with equal prompts into jobs of at most `most`, leaving out requests that are not `valid`.
pub(crate) fn jobs(requests: &[Request], most: usize, valid: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut jobs: Vec<Range<usize>> = Vec::new();
    for i in (0..requests.len()).filter(|&i| valid(i)) {
        match jobs.last_mut() {
            Some(job)
                if job.end == i && job.len() < most && requests[job.start].prompt == requests[i].prompt =>
            {
                job.end += 1;
            }
            _ => jobs.push(i..i + 1),
        }
    }
    jobs
}

/// A prompt on its way into the cache, and the requests waiting for it.
struct Prompt {
    waiting: Range<usize>,
    tokens: Vec<u32>,
    sequence: Sequence,
    /// Tokens in the cache.
    read: usize,
    /// Scores of the first token to draw, once all is read.
    scores: Option<Vec<f32>>,
}

/// One thread's draws.
pub(crate) struct Worker<'a> {
    run: &'a Run<'a>,
    forward: Forward<'a>,
    selector: Selector,
    /// In the order of their jobs; the first are read first.
    prompts: Vec<Prompt>,
    live: Vec<Draw<'a>>,
    rows: Vec<Row>,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(run: &'a Run<'a>) -> Self {
        let forward = Forward::new(&run.engine.weights);
        let selector = Selector::default();
        Self { run, forward, selector, prompts: Vec::new(), live: Vec::new(), rows: Vec::new() }
    }

    /// Works until no job is left or the run is cancelled; cancelled draws are not answered.
    pub(crate) fn work(mut self) {
        while !self.run.cancel.load(Ordering::Relaxed) {
            self.take_jobs();
            if self.prompts.is_empty() && self.live.is_empty() {
                return;
            }
            self.start_draws();
            self.plan();
            // There is nothing to read when every draw just started has ended with its first token.
            if !self.rows.is_empty() {
                self.step();
            }
            self.answer();
        }
    }

    /// Takes jobs until enough requests wait for the free slots, and a few more whose prompts are read ahead.
    fn take_jobs(&mut self) {
        let waiting = |prompts: &[Prompt]| prompts.iter().map(|p| p.waiting.len()).sum::<usize>();
        let enough = self.run.slots + self.run.slots / 8;
        while self.live.len() + waiting(&self.prompts) < enough {
            let job = self.run.next_job.fetch_add(1, Ordering::Relaxed);
            let Some(job) = self.run.jobs.get(job) else { return };
            self.open(job.clone());
        }
    }

    /// Begins a job. Its prompt is the same for all its requests, so an unusable one is unusable for each.
    fn open(&mut self, job: Range<usize>) {
        for i in job.clone() {
            match self.run.engine.tokens(&self.run.requests[i].prompt) {
                Err(error) => (self.run.sink)(i, Err(error)),
                Ok(tokens) => {
                    let sequence = self.forward.cache.open();
                    self.prompts.push(Prompt { waiting: job, tokens, sequence, read: 0, scores: None });
                    return;
                }
            }
        }
    }

    /// Starts draws from prompts that are read, as long as there are free slots.
    fn start_draws(&mut self) {
        let Self { run, forward, selector, prompts, live, .. } = self;
        prompts.retain_mut(|prompt| {
            let Some(scores) = &prompt.scores else { return true };
            let free = run.slots - live.len();
            for index in prompt.waiting.by_ref().take(free) {
                let sequence = forward.cache.fork(prompt.sequence, prompt.read);
                let mut draw = Draw::new(index, &run.requests[index], &prompt.tokens, sequence);
                draw.advance(run.engine, selector, scores);
                live.push(draw);
            }
            if prompt.waiting.is_empty() {
                forward.cache.close(prompt.sequence);
            }
            !prompt.waiting.is_empty()
        });
        self.answer();
    }

    /// Lists the rows of the next step: the last token of each live draw, then prompt tokens.
    fn plan(&mut self) {
        let Self { prompts, live, rows, .. } = self;
        rows.clear();
        rows.extend(live.iter().filter_map(|draw| {
            let (token, position) = draw.next()?;
            Some(Row { sequence: draw.sequence, position, token, span: position + 1, wanted: true })
        }));
        let most = rows.len() + PROMPT_ROWS;
        for Prompt { tokens, sequence, read, .. } in prompts.iter_mut() {
            let next = tokens.len().min(*read + most - rows.len());
            let last = tokens.len() - 1;
            let row = |position| Row {
                sequence: *sequence,
                position,
                token: tokens[position],
                span: tokens.len(),
                wanted: position == last,
            };
            rows.extend((*read..next).map(row));
            *read = next;
        }
    }

    /// Reads the rows, draws a token for each live draw and keeps the scores of prompts read to their end.
    fn step(&mut self) {
        let Self { run, forward, selector, prompts, live, rows, .. } = self;
        let weights = &run.engine.weights;
        let mut scores =
            forward.step(rows).chunks_exact(weights.head.outputs()).map(|row| &row[..weights.vocab]);
        for (draw, scores) in live.iter_mut().zip(&mut scores) {
            draw.advance(run.engine, selector, scores);
        }
        let complete = prompts.iter_mut().filter(|p| p.scores.is_none() && p.read == p.tokens.len());
        for (prompt, scores) in complete.zip(scores) {
            prompt.scores = Some(scores.to_vec());
        }
    }

    /// Hands over what has ended, which frees its slot.
    fn answer(&mut self) {
        let Self { run, forward, live, .. } = self;
        live.retain_mut(|draw| {
            let Some(answer) = draw.answer.take() else { return true };
            forward.cache.close(draw.sequence);
            (run.sink)(draw.index, answer);
            false
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{Params, Prompt};

    #[test]
    fn neighbours_with_equal_prompts_share_a_job() {
        let request = |text: &str| Request {
            prompt: Prompt::Text(text.into()),
            params: Params::default(),
            stream: Default::default(),
        };
        let requests: Vec<Request> = ["a", "a", "a", "b", "a", "a", "c"].map(request).into();
        assert_eq!(jobs(&requests, 2, |_| true), [0..2, 2..3, 3..4, 4..6, 6..7]);
        assert_eq!(jobs(&requests, 9, |i| i != 1), [0..1, 2..3, 3..4, 4..6, 6..7]);
        assert!(jobs(&[], 9, |_| true).is_empty());
    }
}
