//! Another program's values of a model, and how far this program's are from them.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use flow_model::Config;
use flow_sampler::{Engine, Params, Prompt, Request};
use serde::{Deserialize, Serialize};

use crate::halt::{Halt, chain};
use crate::{Exit, codes};

/// The values of a reference file; each list has one entry for each prompt.
#[derive(Debug, Deserialize)]
pub(super) struct Reference {
    /// Token ids of the prompts.
    input_ids: Vec<Vec<u32>>,
    /// Scores of all tokens after each prompt.
    #[serde(default)]
    last_logits: Vec<Vec<f64>>,
    /// What follows each prompt when the most probable token is taken every time.
    #[serde(default)]
    greedy_ids: Vec<Vec<u32>>,
    /// Log-probability of each token of prompt and continuation but the first.
    #[serde(default)]
    logprobs_of_input_and_greedy: Vec<Vec<f64>>,
    #[serde(skip)]
    name: String,
}

/// How far apart the two are.
#[derive(Debug, Serialize)]
pub(super) struct Agreement {
    prompts: usize,
    tolerance: f64,
    /// `None` where the reference has no such values.
    largest_logit_difference: Option<f64>,
    largest_logprob_difference: Option<f64>,
    greedy_ids_agree: Option<bool>,
    /// The first token that differs: prompt and place, counted from 0, the reference's id and ours.
    first_other_id: Option<(usize, usize, u32, u32)>,
    /// Whether all that was compared agrees.
    pub(super) holds: bool,
}

/// Reads a reference file.
pub(super) fn read(path: &Path) -> Result<Reference, Halt> {
    let name = path.display().to_string();
    let text = std::fs::read(path).map_err(|error| refused(&name, &format!("cannot be read: {error}")))?;
    let mut reference: Reference = serde_json::from_slice(&text)
        .map_err(|error| refused(&name, &format!("is not a reference: {error}")))?;
    reference.name = name;
    reference.check()?;
    Ok(reference)
}

fn refused(name: &str, what: &str) -> Halt {
    Halt::new(Exit::Failed, &codes::MODEL, format!("the reference {name} {what}"))
}

impl Reference {
    fn check(&self) -> Result<(), Halt> {
        let prompts = self.input_ids.len();
        let rows = [
            ("last_logits", self.last_logits.len()),
            ("greedy_ids", self.greedy_ids.len()),
            ("logprobs_of_input_and_greedy", self.logprobs_of_input_and_greedy.len()),
        ];
        if rows.iter().all(|(_, n)| *n == 0) || prompts == 0 {
            return Err(refused(&self.name, "has nothing to compare: no prompts, or no values for them"));
        }
        match rows.iter().find(|(_, n)| *n != 0 && *n != prompts) {
            Some((key, n)) => Err(refused(
                &self.name,
                &format!("has {prompts} prompts in `input_ids` and {n} rows in `{key}`"),
            )),
            None => Ok(()),
        }
    }

    /// Compares with `engine`, whose completions no token ends; `config` says which tokens would.
    pub(super) fn compare(self, engine: &Engine, config: &Config, tolerance: f64) -> Result<Agreement, Halt> {
        let mut logits = self.last_logits.first().map(|_| 0.0f64);
        let mut logprobs = self.logprobs_of_input_and_greedy.first().map(|_| 0.0f64);
        let mut first_other_id = None;
        for (i, prompt) in self.input_ids.iter().enumerate() {
            let greedy = self.greedy_ids.get(i).map_or(&[][..], |ids| without_padding(ids, config));
            let failed = |error: flow_sampler::Error| {
                refused(&self.name, &format!("cannot be compared at prompt {i}: {}", chain(&error)))
            };
            if let Some((at, expected, found)) = other_id(engine, prompt, greedy).map_err(failed)? {
                first_other_id = first_other_id.or(Some((i, at, expected, found)));
            }
            if let (Some(expected), Some(largest)) = (self.last_logits.get(i), &mut logits) {
                let found = engine.logits(prompt).map_err(failed)?;
                let found = found[found.len() - config.vocab_size..].iter().map(|x| f64::from(*x));
                if expected.len() != config.vocab_size {
                    let lengths =
                        format!("{} scores for a vocabulary of {}", expected.len(), config.vocab_size);
                    return Err(refused(&self.name, &format!("has {lengths}")));
                }
                *largest = furthest(*largest, expected.iter().copied().zip(found));
            }
            if let (Some(expected), Some(largest)) = (self.logprobs_of_input_and_greedy.get(i), &mut logprobs)
            {
                let tokens = [prompt, greedy].concat();
                let found = logprobs_of(engine, config, &tokens).map_err(failed)?;
                *largest = furthest(*largest, expected.iter().copied().zip(found));
            }
        }
        let within = |largest: Option<f64>| largest.is_none_or(|largest| largest <= tolerance);
        Ok(Agreement {
            prompts: self.input_ids.len(),
            tolerance,
            largest_logit_difference: logits,
            largest_logprob_difference: logprobs,
            greedy_ids_agree: self.greedy_ids.first().map(|_| first_other_id.is_none()),
            first_other_id,
            holds: within(logits) && within(logprobs) && first_other_id.is_none(),
        })
    }
}

/// The ids up to the first that ends a text, where only padding follows it.
fn without_padding<'a>(ids: &'a [u32], config: &Config) -> &'a [u32] {
    let Some(end) = ids.iter().position(|id| config.eos_token_ids.contains(id)) else { return ids };
    let rest = &ids[end + 1..];
    if rest.windows(2).all(|pair| pair[0] == pair[1]) { &ids[..=end] } else { ids }
}

/// The first of the `greedy` ids that is drawn otherwise: its place, and both.
fn other_id(
    engine: &Engine,
    prompt: &[u32],
    greedy: &[u32],
) -> Result<Option<(usize, u32, u32)>, flow_sampler::Error> {
    if greedy.is_empty() {
        return Ok(None);
    }
    let params = Params { temperature: 0.0, max_tokens: greedy.len(), ..Params::default() };
    let request = Request { prompt: Prompt::Tokens(prompt.to_vec()), params, stream: [0; 16] };
    let answer = Mutex::new(None);
    engine.generate(&[request], 1, &AtomicBool::new(false), &|_, completion| {
        *answer.lock().expect("nothing panics while it is held") = Some(completion);
    });
    let answer = answer.into_inner().expect("nothing panics while it is held");
    let drawn = answer.expect("a request that is not cancelled is answered")?.tokens;
    let places = greedy.iter().zip(&drawn).enumerate();
    Ok(places.filter(|(_, (a, b))| a != b).map(|(at, (a, b))| (at, *a, *b)).next())
}

/// Log-probability of each token but the first.
fn logprobs_of(engine: &Engine, config: &Config, tokens: &[u32]) -> Result<Vec<f64>, flow_sampler::Error> {
    let logits = engine.logits(tokens)?;
    let rows = logits.chunks_exact(config.vocab_size).zip(&tokens[1..]);
    Ok(rows
        .map(|(row, &token)| {
            let top = row.iter().fold(f64::MIN, |top, x| top.max(f64::from(*x)));
            let total: f64 = row.iter().map(|x| (f64::from(*x) - top).exp()).sum();
            f64::from(row[token as usize]) - top - total.ln()
        })
        .collect())
}

/// The largest difference of pairs; one that is no number counts as infinite.
fn furthest(largest: f64, pairs: impl Iterator<Item = (f64, f64)>) -> f64 {
    pairs.fold(largest, |largest, (a, b)| {
        let apart = (a - b).abs();
        if apart.is_nan() { f64::INFINITY } else { largest.max(apart) }
    })
}

impl Agreement {
    /// What was compared, line by line.
    pub(super) fn text(&self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut largest = |of: &str, largest: Option<f64>| {
            let line = |d: f64| {
                let verdict = if d <= self.tolerance { "within" } else { "BEYOND" };
                format!(
                    "largest difference of {of} {d:.1e}, {verdict} {:.0e}, {} prompts",
                    self.tolerance, self.prompts
                )
            };
            lines.extend(largest.map(line));
        };
        largest("logits", self.largest_logit_difference);
        largest("log-probabilities", self.largest_logprob_difference);
        let other = self.first_other_id.map(|(prompt, at, expected, found)| {
            format!("greedy ids DIFFER first at prompt {prompt}, token {at}: {expected} there, {found} here")
        });
        lines.extend(other.or(self.greedy_ids_agree.map(|_| "greedy ids agree".to_owned())));
        lines
    }
}
