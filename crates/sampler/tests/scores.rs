//! Given texts are scored by the model's own distribution, each as if it were alone.

mod common;

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use common::{VOCAB, dense, generate, moe, random, softmax, switched};
use flow_model::Config;
use flow_sampler::{Engine, Error, Given, Params, Prompt, Request, Score};

fn score(engine: &Engine, texts: &[Given], threads: usize) -> Vec<Result<Score, Error>> {
    let answers: Mutex<Vec<_>> = Mutex::new(texts.iter().map(|_| None).collect());
    engine.score(texts, threads, &AtomicBool::new(false), &|at, score| {
        assert!(answers.lock().unwrap()[at].replace(score).is_none(), "answered once");
    });
    answers.into_inner().unwrap().into_iter().map(Option::unwrap).collect()
}

/// Texts of 2 to 94 tokens after prompts of none to 69.
fn texts() -> Vec<Given> {
    let token = |i: usize| (i * 7919 % VOCAB) as u32;
    let text = |i: usize| Given {
        prompt: Prompt::Tokens((0..i * 5 % 70).map(|t| token(t + i)).collect()),
        text: Prompt::Tokens((0..2 + i % 24).map(|t| token(t * i + 3)).collect()),
    };
    (0..60).map(text).collect()
}

#[test]
fn scores_are_those_of_the_models_distribution_on_any_number_of_threads() {
    for config in [dense(), moe(None), moe(Some(36))].into_iter().chain(switched()) {
        let engine = Engine::new(&random(config, 3)).unwrap();
        let texts = texts();
        let alone: Vec<Score> =
            texts.iter().map(|one| score(&engine, std::slice::from_ref(one), 1).remove(0).unwrap()).collect();
        for threads in [1, 2, 3] {
            let together: Vec<Score> =
                score(&engine, &texts, threads).into_iter().map(Result::unwrap).collect();
            assert_eq!(together, alone);
        }
        for (given, score) in texts.iter().zip(&alone).step_by(7) {
            let (Prompt::Tokens(prompt), Prompt::Tokens(text)) = (&given.prompt, &given.text) else {
                unreachable!()
            };
            let (read, unscored) = ([&prompt[..], text].concat(), prompt.len().max(1));
            assert_eq!((score.prompt_tokens, score.logprobs.len()), (unscored, read.len() - unscored));
            let logits = engine.logits(&read).unwrap();
            for (at, logprob) in (unscored..).zip(&score.logprobs) {
                let row = logits.chunks(VOCAB).nth(at - 1).unwrap().iter().map(|x| f64::from(*x));
                let expected = softmax(row.collect())[read[at] as usize].ln();
                assert!((f64::from(*logprob) - expected).abs() < 1e-5, "{at}: {logprob} {expected}");
            }
        }
    }
}

#[test]
fn a_draw_and_its_score_have_the_same_bits() {
    let engine = Engine::new(&random(moe(None), 4)).unwrap();
    let prompt = Prompt::Tokens((5..25).collect());
    let request = |stream: u8| Request {
        prompt: prompt.clone(),
        params: Params { max_tokens: 60, ..Params::default() },
        stream: [stream; 16],
    };
    for drawn in generate(&engine, &[0, 1, 2].map(request), 1).into_iter().map(Result::unwrap) {
        let given = Given { prompt: prompt.clone(), text: Prompt::Tokens(drawn.tokens) };
        assert_eq!(score(&engine, &[given], 1).remove(0).unwrap().logprobs, drawn.logprobs);
    }
}

#[test]
fn the_end_of_a_text_counts_and_what_cannot_be_scored_fails_alone() {
    let text = |prompt: &str, text: &str| Given {
        prompt: Prompt::Text(prompt.into()),
        text: Prompt::Text(text.into()),
    };
    let texts = [
        text("the cat", " sat on the mat"),
        text("", " sat on the mat"),
        text("", ""),
        text("the cat", &"x y ".repeat(90)),
    ];
    let scored = |config: Config| score(&Engine::new(&random(config, 5)).unwrap(), &texts, 2);
    let (endless, ending) = (scored(dense()), scored(Config { eos_token_ids: vec![0], ..dense() }));
    for at in [0, 1] {
        let (without, with) = (endless[at].as_ref().unwrap(), ending[at].as_ref().unwrap());
        assert_eq!(with.logprobs.len(), without.logprobs.len() + 1);
        assert_eq!(with.logprobs[..without.logprobs.len()], without.logprobs);
    }
    assert!(matches!(endless[2], Err(Error::PromptEmpty)), "{:?}", endless[2]);
    assert!(matches!(ending[2], Err(Error::NothingToScore)), "{:?}", ending[2]);
    assert!(matches!(ending[3], Err(Error::PromptTooLong { context: 96, .. })), "{:?}", ending[3]);
}
