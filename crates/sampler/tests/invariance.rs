//! A completion is a function of its own request: the batch, its order, the threads and shared prompts leave no trace.

mod common;

use common::{dense, generate, moe, random, switched};
use flow_sampler::{Completion, Engine, Params, Precision, Prompt, Request, Routing, uniform};
use proptest::prelude::*;

/// Tokens, the bits of their log-probabilities, and the text.
fn bits(completion: &Completion) -> (Vec<u32>, Vec<u32>, &str) {
    (completion.tokens.clone(), completion.logprobs.iter().map(|l| l.to_bits()).collect(), &completion.text)
}

/// About 300 requests in runs of 1 to 11 equal prompts of 1 to 70 tokens, all else different.
fn requests(seed: u64) -> Vec<Request> {
    let mut stream = [0; 16];
    stream[..8].copy_from_slice(&seed.to_le_bytes());
    let mut position = 0;
    let mut random = move || {
        position += 1;
        uniform(&stream, position)
    };
    let mut requests = Vec::new();
    for run in 0..50u64 {
        let prompt: Vec<u32> =
            (0..1 + (random() * 69.0) as usize).map(|_| (random() * 270.0) as u32).collect();
        for draw in 0..1 + (random() * 11.0) as u64 {
            let params = Params {
                temperature: [0.0, 1.0, 0.3 + random()][(random() * 3.0) as usize],
                top_p: [1.0, 0.3 + 0.7 * random()][(random() * 2.0) as usize],
                top_k: (random() * 20.0) as usize,
                min_p: [0.0, 0.2 * random()][(random() * 2.0) as usize],
                max_tokens: 1 + (random() * 30.0) as usize,
                stop: vec!["zz".into(), "e".into()],
                repetition_penalty: [1.0, 1.0 + random()][(random() * 2.0) as usize],
                routing: [None, None, Some(Routing::TopK(1)), Some(Routing::TopP(0.7))]
                    [(random() * 4.0) as usize],
                prefix: None,
            };
            let stream = (u128::from(seed) << 64 | u128::from(run << 8 | draw)).to_le_bytes();
            requests.push(Request { prompt: Prompt::Tokens(prompt.clone()), params, stream });
        }
    }
    requests
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_draw_is_the_same_alone_and_among_hundreds(seed in any::<u64>(), kind in 0..14usize, kept in 0..3usize) {
        let plain = [dense(), moe(None), moe(Some(36))];
        let config = plain.into_iter().chain(switched()).nth(kind).unwrap();
        let precision = [Precision::F32, Precision::Bf16, Precision::Int8][kept];
        let engine = Engine::with_precision(&random(config, seed), precision).unwrap();
        let requests = requests(seed);
        let together: Vec<_> = generate(&engine, &requests, 1).into_iter().map(Result::unwrap).collect();
        prop_assert!(together.iter().map(|c| c.completion_tokens).sum::<usize>() > 2 * requests.len());

        for (i, request) in requests.iter().enumerate().step_by(13) {
            let alone = generate(&engine, std::slice::from_ref(request), 1).remove(0).unwrap();
            prop_assert_eq!(bits(&alone), bits(&together[i]), "request {}", i);
        }
        for threads in [2, 3] {
            let mut order: Vec<usize> = (0..requests.len()).collect();
            order.sort_by_key(|&i| (i as u64 + 1).wrapping_mul(seed | 1).rotate_left(threads as u32 * 13));
            let shuffled: Vec<Request> = order.iter().map(|&i| requests[i].clone()).collect();
            for (i, completion) in order.iter().zip(generate(&engine, &shuffled, threads)) {
                let completion = completion.unwrap();
                prop_assert_eq!(bits(&completion), bits(&together[*i]), "request {}", i);
            }
        }
    }
}

#[test]
fn streams_differ_and_repeat() {
    let engine = Engine::new(&random(dense(), 2)).unwrap();
    let draw = |stream: u8| {
        let params = Params { max_tokens: 20, ..Params::default() };
        Request { prompt: Prompt::Text("the cat".into()), params, stream: [stream; 16] }
    };
    let drawn: Vec<_> =
        generate(&engine, &[1, 2, 1].map(draw), 2).into_iter().map(|c| c.unwrap().tokens).collect();
    assert_eq!(drawn[0], drawn[2]);
    assert_ne!(drawn[0], drawn[1]);
}
