//! What an engine answers: where completions end, what they carry, and which requests fail.

mod common;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{VOCAB, dense, generate, moe, random, softmax};
use flow_model::{Config, Tensor, names};
use flow_sampler::{Engine, Error, FinishReason, Params, Plan, Prompt, Request, Routing};

fn request(prompt: Prompt, params: Params, stream: u8) -> Request {
    Request { prompt, params, stream: [stream; 16] }
}

fn text(prompt: &str) -> Prompt {
    Prompt::Text(prompt.into())
}

#[test]
fn logprobs_are_those_of_the_unfiltered_model_at_temperature_one() {
    let engine = Engine::new(&random(dense(), 3)).unwrap();
    let prompt: Vec<u32> = (5..30).collect();
    let params = Params { temperature: 0.5, top_p: 0.9, max_tokens: 30, ..Params::default() };
    let completion =
        generate(&engine, &[request(Prompt::Tokens(prompt.clone()), params, 1)], 1).remove(0).unwrap();
    assert_eq!((completion.prompt_tokens, completion.completion_tokens), (25, 30));
    assert_eq!(completion.finish_reason, FinishReason::Length);
    let read = [&prompt[..], &completion.tokens].concat();
    let logits = engine.logits(&read).unwrap();
    for (i, (&token, &logprob)) in completion.tokens.iter().zip(&completion.logprobs).enumerate() {
        let row = logits.chunks(VOCAB).nth(prompt.len() - 1 + i).unwrap();
        let expected = softmax(row.iter().map(|&x| f64::from(x)).collect())[token as usize].ln();
        assert!((f64::from(logprob) - expected).abs() < 1e-5, "{i}: {logprob} {expected}");
    }
}

#[test]
fn the_end_of_text_token_ends_a_completion_and_is_not_text() {
    let engine = Engine::new(&random(Config { eos_token_ids: vec![0], ..dense() }, 4)).unwrap();
    let params = Params { temperature: 1.5, max_tokens: 60, ..Params::default() };
    let requests: Vec<Request> = (0..200).map(|i| request(text("the cat"), params.clone(), i)).collect();
    let answers: Vec<_> = generate(&engine, &requests, 2).into_iter().map(Result::unwrap).collect();
    let ended = answers.iter().filter(|c| c.finish_reason == FinishReason::Stop).count();
    assert!((1..200).contains(&ended), "{ended} of 200 ended");
    for completion in answers {
        let place = completion.tokens.iter().position(|&t| t == 0);
        match completion.finish_reason {
            FinishReason::Stop => assert_eq!(place, Some(completion.completion_tokens - 1)),
            FinishReason::Length => assert_eq!((place, completion.completion_tokens), (None, 60)),
        }
        assert_eq!(completion.tokens.len(), completion.logprobs.len());
        assert!(!completion.text.contains("<eos>"));
    }
}

#[test]
fn a_stop_text_ends_a_completion_where_it_would_have_stood() {
    let engine = Engine::new(&random(dense(), 5)).unwrap();
    let params = Params { max_tokens: 40, ..Params::default() };
    let mut stopped = 0;
    for i in 0..20 {
        let free = request(text("the cat"), params.clone(), i);
        let whole = generate(&engine, std::slice::from_ref(&free), 1).remove(0).unwrap();
        let Some((at, _)) = whole.text.char_indices().nth(15) else { continue };
        let stop: String = whole.text[at..].chars().take(3).collect();
        let expected = whole.text.find(&stop).unwrap();
        let params = Params { stop: vec!["not there".into(), stop], ..params.clone() };
        let cut = generate(&engine, &[Request { params, ..free }], 1).remove(0).unwrap();
        assert_eq!(cut.finish_reason, FinishReason::Stop);
        assert_eq!(cut.text, whole.text[..expected]);
        assert_eq!(cut.tokens, whole.tokens[..cut.completion_tokens]);
        stopped += usize::from(cut.completion_tokens < whole.completion_tokens);
    }
    assert!(stopped >= 10, "{stopped}");
}

#[test]
fn a_completion_ends_where_the_context_ends() {
    let engine = Engine::new(&random(dense(), 6)).unwrap();
    let params = Params { max_tokens: 1000, ..Params::default() };
    for tokens in [1, 80, 95] {
        let prompt = Prompt::Tokens(vec![7; tokens]);
        let completion = generate(&engine, &[request(prompt, params.clone(), 0)], 1).remove(0).unwrap();
        assert_eq!(completion.completion_tokens, 96 - tokens);
        assert_eq!(completion.finish_reason, FinishReason::Length);
    }
}

#[test]
fn requests_that_cannot_be_drawn_fail_alone() {
    let engine = Engine::new(&random(dense(), 7)).unwrap();
    let params = Params { max_tokens: 3, ..Params::default() };
    let bad = Params { top_p: 0.0, ..params.clone() };
    let requests = [
        request(text("the cat"), params.clone(), 0),
        request(text("the cat"), bad, 0),
        request(text("the cat"), params.clone(), 0),
        request(Prompt::Tokens(vec![1; 96]), params.clone(), 0),
        request(Prompt::Tokens(vec![1; 96]), params.clone(), 1),
        request(text(""), params.clone(), 0),
        request(Prompt::Tokens(vec![1, VOCAB as u32]), params, 0),
    ];
    let answers = generate(&engine, &requests, 2);
    assert_eq!(answers[0].as_ref().unwrap(), answers[2].as_ref().unwrap());
    assert!(matches!(answers[1], Err(Error::Params { name: "top_p", .. })));
    for i in [3, 4] {
        assert!(matches!(answers[i], Err(Error::PromptTooLong { tokens: 96, context: 96 })));
    }
    assert!(matches!(answers[5], Err(Error::PromptEmpty)));
    assert!(matches!(answers[6], Err(Error::TokenUnknown { token: 300, vocab_size: VOCAB })));
    assert!(generate(&engine, &[], 2).is_empty());
}

#[test]
fn damaged_weights_are_an_error_of_the_draw() {
    let mut model = random(dense(), 8);
    let norm = Tensor::new([40], vec![f32::NAN; 40]);
    model.tensors.insert(names::FINAL_NORM.into(), norm);
    let answers = generate(
        &Engine::new(&model).unwrap(),
        &[request(Prompt::Tokens(vec![1, 2, 3]), Params::default(), 0)],
        1,
    );
    assert!(matches!(answers[0], Err(Error::NotFinite { position: 2 })), "{answers:?}");
}

#[test]
fn a_cancelled_run_stops_answering() {
    let engine = Engine::new(&random(dense(), 9)).unwrap();
    let params = Params { max_tokens: 50, ..Params::default() };
    let requests: Vec<Request> = (0..200).map(|i| request(text("the cat"), params.clone(), i)).collect();
    let (cancel, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    engine.generate(&requests, 2, &cancel, &|_, _| {
        answered.fetch_add(1, Ordering::Relaxed);
        cancel.store(true, Ordering::Relaxed);
    });
    assert!((1..200).contains(&answered.into_inner()));
}

#[test]
fn a_completion_begun_with_its_own_tokens_goes_on_as_it_did() {
    let engine = Engine::new(&random(dense(), 11)).unwrap();
    let params = Params { max_tokens: 24, repetition_penalty: 1.3, ..Params::default() };
    let free = request(text("the cat"), params.clone(), 3);
    let whole = generate(&engine, std::slice::from_ref(&free), 1).remove(0).unwrap();
    for begun in [1, 7, 23, 24] {
        let prefix = Some(Prompt::Tokens(whole.tokens[..begun].to_vec()));
        let again = Request { params: Params { prefix, ..params.clone() }, ..free.clone() };
        assert_eq!(generate(&engine, &[again], 1).remove(0).unwrap(), whole, "{begun}");
    }
}

#[test]
fn a_completion_begins_with_the_text_it_is_given() {
    let engine = Engine::new(&random(dense(), 11)).unwrap();
    let params = |prefix: Prompt| Params { max_tokens: 24, prefix: Some(prefix), ..Params::default() };
    let requests: Vec<Request> =
        (0..9).map(|i| request(text("the"), params(text(" mat the cat")), i)).collect();
    let answers: Vec<_> = generate(&engine, &requests, 2).into_iter().map(Result::unwrap).collect();
    assert!(
        answers
            .iter()
            .all(|answer| answer.text.starts_with(" mat the cat") && answer.completion_tokens == 24)
    );
    assert!(answers.iter().any(|answer| answer.tokens != answers[0].tokens));
    let unknown = request(text("the"), params(Prompt::Tokens(vec![5000])), 0);
    assert!(matches!(generate(&engine, &[unknown], 1)[0], Err(Error::TokenUnknown { token: 5000, .. })));
}

#[test]
fn a_large_repetition_penalty_repeats_nothing() {
    let engine = Engine::new(&random(dense(), 12)).unwrap();
    let draw = |repetition_penalty| {
        let params = Params { temperature: 0.0, max_tokens: 40, repetition_penalty, ..Params::default() };
        generate(&engine, &[request(text("the cat sat"), params, 0)], 1).remove(0).unwrap()
    };
    let distinct = |tokens: &[u32]| tokens.iter().collect::<std::collections::BTreeSet<_>>().len();
    let (plain, penalised) = (draw(1.0), draw(1e6));
    assert!(distinct(&plain.tokens) < 40, "{:?}", plain.tokens);
    assert_eq!(distinct(&penalised.tokens), 40, "{:?}", penalised.tokens);
    assert_eq!(
        plain.logprobs[0].to_bits() == penalised.logprobs[0].to_bits(),
        plain.tokens[0] == penalised.tokens[0]
    );
}

#[test]
fn each_request_is_read_by_the_experts_it_chooses() {
    let engine = Engine::new(&random(moe(None), 13)).unwrap();
    let routings = [
        None,
        Some(Routing::TopK(2)),
        Some(Routing::TopK(1)),
        Some(Routing::Rank(2)),
        Some(Routing::TopP(1.0)),
        Some(Routing::TopK(5)),
    ];
    let draw = |routing| request(text("the cat"), Params { max_tokens: 12, routing, ..Params::default() }, 1);
    let requests: Vec<Request> = routings.into_iter().map(draw).collect();
    let together: Vec<_> = generate(&engine, &requests, 1).into_iter().map(Result::unwrap).collect();
    for (request, together) in requests.iter().zip(&together) {
        let alone = generate(&engine, std::slice::from_ref(request), 1).remove(0).unwrap();
        assert_eq!(alone, *together, "{:?}", request.params.routing);
    }
    let logprobs: Vec<_> = together.iter().map(|completion| &completion.logprobs).collect();
    assert_eq!(logprobs[0], logprobs[1], "the model's own number of experts");
    assert_eq!(logprobs[4], logprobs[5], "all experts");
    for (a, b) in [(0, 2), (0, 3), (0, 4), (2, 3), (2, 4), (3, 4)] {
        assert_ne!(logprobs[a], logprobs[b], "{a} {b}");
    }
}

#[test]
fn little_memory_changes_no_completion() {
    let model = random(dense(), 14);
    let requests: Vec<Request> = (0..40)
        .map(|i| {
            let params = Params { max_tokens: 3 + usize::from(i) * 2 % 50, ..Params::default() };
            request(Prompt::Tokens((0..1 + u32::from(i / 5) * 4).collect()), params, i)
        })
        .collect();
    let draw = |bytes| -> Vec<_> {
        let engine = Engine::new(&model).unwrap().with_cache_bytes(bytes);
        generate(&engine, &requests, 2).into_iter().map(Result::unwrap).collect()
    };
    let position = Engine::new(&model).unwrap().bytes_per_position();
    assert_eq!(draw(1 << 30), draw(400 * position));
    assert_eq!(draw(1 << 30), draw(1));
}

#[test]
fn mixed_lengths_leave_few_places_empty_and_stay_within_the_plan() {
    let model = random(dense(), 15);
    let engine = Engine::new(&model).unwrap();
    let requests: Vec<Request> = (0..600u32)
        .map(|i| {
            let params = Params { max_tokens: 2 + i as usize * 37 % 79, ..Params::default() };
            let prompt = Prompt::Tokens((0..1 + i % 15).collect());
            Request { prompt, params, stream: u128::from(i).to_le_bytes() }
        })
        .collect();
    for threads in [1, 2] {
        let usage = engine.generate(&requests, threads, &AtomicBool::new(false), &|_, answer| {
            answer.unwrap();
        });
        let plan = Plan::new(&model.config, flow_sampler::Precision::F32, threads);
        assert!(usage.cache_bytes > 0 && usage.cache_bytes <= plan.cache_bytes, "{usage:?} {plan:?}");
        // How two threads share the work is a matter of luck.
        assert!(threads > 1 || usage.occupancy() > 0.9, "{usage:?}");
    }
}
