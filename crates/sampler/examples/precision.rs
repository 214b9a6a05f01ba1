//! What weights of fewer bits cost and bring: `precision DIR TEXTS` reads the checkpoint in DIR as f32, bf16 and int8.
//!
//! TEXTS has a text on each line, as it is or as a JSON string. For each token of each text it compares the distribution of the next
//! token with that of f32: mean Kullback-Leibler divergence in nats, the part whose likeliest token is the same, and the perplexity of the
//! texts. Then it draws 64 tokens for 1, 8 and 64 sequences at a time on one thread, three times each in turn, and prints the
//! median of the rates as ratios to f32.
#![allow(clippy::print_stdout, reason = "an example reports to people")]

use std::error::Error;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use flow_model::Checkpoint;
use flow_sampler::{Engine, Params, Precision, Prompt, Request};

const PRECISIONS: [Precision; 3] = [Precision::F32, Precision::Bf16, Precision::Int8];

/// Tokens drawn for each sequence.
const DRAWN: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [dir, texts] = &words[..] else { return Err("expected `DIR TEXTS`".into()) };
    let checkpoint = Checkpoint::load(Path::new(dir))?;
    let texts = std::fs::read_to_string(texts)?;
    let texts = texts.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.to_owned()));
    let texts: Vec<Vec<u32>> =
        texts.map(|text| checkpoint.tokenizer.encode(&text)).collect::<Result<_, _>>()?;
    let engines = PRECISIONS.map(|precision| Engine::with_precision(&checkpoint, precision));
    let engines: Vec<Engine> = engines.into_iter().collect::<Result<_, _>>()?;
    shift(&engines, &texts)?;
    speed(&engines);
    Ok(())
}

/// How the distributions of the next token differ from those of the first engine.
fn shift(engines: &[Engine], texts: &[Vec<u32>]) -> Result<(), Box<dyn Error>> {
    let mut sums = vec![Shift::default(); engines.len()];
    for text in texts {
        let text = &text[..text.len().min(engines[0].context())];
        let exact = engines[0].logits(text)?;
        let vocab = exact.len() / text.len().max(1);
        for (engine, sum) in engines.iter().zip(&mut sums) {
            let found = engine.logits(text)?;
            let rows = exact.chunks(vocab).zip(found.chunks(vocab)).zip(&text[1..]);
            rows.for_each(|((exact, found), next)| sum.add(exact, found, *next as usize));
        }
    }
    for ((engine, sum), precision) in engines.iter().zip(sums).zip(PRECISIONS) {
        let Shift { n, divergence, same, nats } = sum;
        println!(
            "{precision:?}: {:.2} MB; over {n} tokens KL {:.2e} nats, top-1 the same {:.2} %, perplexity {:.4}",
            engine.weight_bytes() as f64 / 1e6,
            divergence / n as f64,
            100.0 * same as f64 / n as f64,
            (nats / n as f64).exp()
        );
    }
    Ok(())
}

#[derive(Clone, Default)]
struct Shift {
    n: usize,
    divergence: f64,
    same: usize,
    nats: f64,
}

impl Shift {
    fn add(&mut self, exact: &[f32], found: &[f32], next: usize) {
        let (p, q) = (log_softmax(exact), log_softmax(found));
        self.n += 1;
        self.divergence += p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        self.same += usize::from(likeliest(exact) == likeliest(found));
        self.nats -= q[next];
    }
}

fn log_softmax(scores: &[f32]) -> Vec<f64> {
    let top = scores.iter().copied().fold(f32::MIN, f32::max);
    let sum: f64 = scores.iter().map(|score| f64::from(score - top).exp()).sum();
    scores.iter().map(|score| f64::from(score - top) - sum.ln()).collect()
}

fn likeliest(scores: &[f32]) -> Option<usize> {
    (0..scores.len()).reduce(|a, b| if scores[b] > scores[a] { b } else { a })
}

/// Tokens per second as ratios to those of the first engine.
fn speed(engines: &[Engine]) {
    for sequences in [1, 8, 64u32] {
        let mut rates = vec![Vec::new(); engines.len()];
        for _ in 0..3 {
            engines.iter().zip(&mut rates).for_each(|(engine, rates)| rates.push(rate(engine, sequences)));
        }
        rates.iter_mut().for_each(|rates| rates.sort_by(f64::total_cmp));
        let of = |at: usize| format!("{:?} {:.2}", PRECISIONS[at], rates[at][1] / rates[0][1]);
        let told: Vec<String> = (1..engines.len()).map(of).collect();
        println!("{sequences} at a time: F32 {:.0} tokens/s, times {}", rates[0][1], told.join(", "));
    }
}

fn rate(engine: &Engine, sequences: u32) -> f64 {
    let request = |i: u32| Request {
        prompt: Prompt::Tokens((0..8).map(|t| (i * 31 + t * 7) % 97).collect()),
        params: Params { max_tokens: DRAWN, ..Params::default() },
        stream: u128::from(i).to_le_bytes(),
    };
    let requests: Vec<Request> = (0..sequences).map(request).collect();
    let drawn = std::sync::atomic::AtomicUsize::new(0);
    let start = Instant::now();
    engine.generate(&requests, 1, &AtomicBool::new(false), &|_, answer| {
        let tokens = answer.map_or(0, |completion| completion.completion_tokens);
        drawn.fetch_add(tokens, std::sync::atomic::Ordering::Relaxed);
    });
    drawn.into_inner() as f64 / start.elapsed().as_secs_f64()
}
