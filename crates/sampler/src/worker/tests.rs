//! Workers by themselves: their bounds, and batches of any size.

use std::sync::Mutex;

use flow_kernels::Precision;

use super::*;
use crate::Completion;
use crate::engine::tests::{tiny, tiny_with};
use crate::forward::Forward;
use crate::request::{Params, Prompt};

/// Most blocks held at a time, and all answers, when one worker keeps `slots` draws going in `blocks` blocks.
fn work(engine: &Engine, requests: &[Request], slots: usize, blocks: usize) -> (usize, Vec<Completion>) {
    let jobs = jobs(requests, 8, |_| true);
    let answers = Mutex::new(vec![None; requests.len()]);
    let sink = |i: usize, answer: Result<Completion, crate::Error>| {
        let before = answers.lock().unwrap()[i].replace(answer.unwrap());
        assert!(before.is_none(), "answered once");
    };
    let (next_job, cancel) = (&AtomicUsize::new(0), &AtomicBool::new(false));
    let jobs = &jobs;
    let run = Run { engine, requests, jobs, next_job, cancel, sink: &sink, slots, prompt_rows: 64, blocks };
    let mut worker = Worker::new(&run, Forward::new(&engine.weights));
    worker.work();
    assert_eq!(worker.pass.pages().used(), 0, "all is given back");
    let most = worker.pass.pages().most();
    (most, answers.into_inner().unwrap().into_iter().map(|answer| answer.expect("is answered")).collect())
}

#[test]
fn workers_stay_within_their_blocks_and_answer_the_same() {
    let engine = tiny();
    let request = |i: usize| Request {
        prompt: Prompt::Tokens((0..1 + i as u32 / 4 * 7 % 90).collect()),
        params: Params { max_tokens: 1 + i * 5 % 60, ..Params::default() },
        stream: [i as u8; 16],
    };
    let requests: Vec<Request> = (0..60).map(request).collect();
    let run = |blocks| work(&engine, &requests, 24, blocks);
    let (free, expected) = run(usize::MAX);
    // The largest request alone takes 10 blocks: 89 + 60 positions, and its prompt's part-filled block twice.
    for blocks in [40, 20, 12] {
        let (most, answers) = run(blocks);
        assert!(most <= blocks && most < free, "{most} of {blocks} blocks, {free} without a bound");
        assert_eq!(answers, expected);
    }
    assert_eq!(run(1).1, expected, "one at a time");
}

/// Tokens and the bits of their log-probabilities.
fn bits(completion: &Completion) -> (&[u32], Vec<u32>) {
    (&completion.tokens, completion.logprobs.iter().map(|logprob| logprob.to_bits()).collect())
}

#[test]
fn a_draw_has_the_same_bits_in_batches_of_each_size_from_1_to_300() {
    let request = |i: u32| Request {
        prompt: Prompt::Tokens((0..1 + i % 5).map(|t| (i / 3 * 17 + t * 7) % 270).collect()),
        params: Params {
            max_tokens: 1 + i as usize % 3,
            temperature: f64::from(i % 4) * 0.5,
            ..Params::default()
        },
        stream: u128::from(i).to_le_bytes(),
    };
    let requests: Vec<Request> = (0..300).map(request).collect();
    let engines = [Precision::F32, Precision::Bf16, Precision::Int8].map(tiny_with);
    let alone = engines.each_ref().map(|engine| {
        let alone = requests
            .iter()
            .map(|request| work(engine, std::slice::from_ref(request), 1, usize::MAX).1.remove(0));
        alone.collect::<Vec<_>>()
    });
    for size in 1..=300 {
        let (engine, alone) = (&engines[size % 3], &alone[size % 3]);
        // Other sizes begin at other requests, which thereby meet other neighbours at other places.
        let first = (size * 37) % (301 - size);
        let together = work(engine, &requests[first..first + size], size, usize::MAX).1;
        for (i, completion) in together.iter().enumerate() {
            assert_eq!(bits(completion), bits(&alone[first + i]), "draw {i} of {size}");
        }
    }
}

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
