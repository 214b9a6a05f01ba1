//! The choice of tokens on a device.

use super::{Buffer, DeviceError, Gpu, Indices, word};
use crate::select::{Choice, Pick};

/// Threads of a block.
const THREADS: u32 = 256;

/// Tokens whose weights are summed together.
const SPAN: usize = 64;

/// No token.
const NONE: u32 = u32::MAX;

/// Scratch for choices.
pub struct Picks {
    row_of: Indices,
    picks: Buffer<u8>,
    seen: Buffer<u32>,
    work: Buffer<f32>,
    sums: Buffer<f64>,
    tokens: Buffer<u32>,
    logprobs: Buffer<f32>,
}

/// Scores of tokens on a device.
pub struct Scores<'a> {
    /// Rows, each `stride` long.
    pub x: &'a Buffer<f32>,
    /// How many rows it holds.
    pub rows: usize,
    /// Length of a row.
    pub stride: usize,
    /// Numbers of a row that are tokens'.
    pub vocab: usize,
}

/// Picks as the kernel takes them, and all tokens that were seen.
fn encoded<'a>(picks: impl Iterator<Item = &'a Pick<'a>>) -> (Vec<u8>, Vec<u32>) {
    let (mut bytes, mut all) = (Vec::new(), Vec::new());
    for Pick { rules, seen, forced, stream, place } in picks {
        let from = all.len() as u32;
        if rules.repetition_penalty != 1.0 {
            all.extend_from_slice(seen);
        }
        let factor = match rules.temperature {
            0.0 => -1.0,
            temperature => (1.0 / temperature).min(f64::from(f32::MAX)) as f32,
        };
        bytes.extend(rules.top_p.to_le_bytes());
        bytes.extend(
            [factor, rules.min_p as f32, rules.repetition_penalty as f32]
                .map(f32::to_le_bytes)
                .as_flattened(),
        );
        let top_k = u32::try_from(rules.top_k).unwrap_or(0);
        bytes.extend([top_k, forced.unwrap_or(NONE)].map(u32::to_le_bytes).as_flattened());
        bytes.extend(stream);
        bytes.extend([*place, from, all.len() as u32].map(u32::to_le_bytes).as_flattened());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
    }
    (bytes, all)
}

impl Gpu {
    /// Scratch for choices.
    ///
    /// # Errors
    /// There is no memory.
    pub fn picks(&mut self) -> Result<Picks, DeviceError> {
        Ok(Picks {
            row_of: self.indices()?,
            picks: self.allocate(0)?,
            seen: self.allocate(0)?,
            work: self.allocate(0)?,
            sums: self.allocate(0)?,
            tokens: self.allocate(0)?,
            logprobs: self.allocate(0)?,
        })
    }

    /// Chooses a token for each of `picks`, each from a row of `scores`, by its number; `None` where the scores are not all finite. What
    /// [`crate::Selector`] chooses with the random number of the pick's place.
    ///
    /// # Errors
    /// The device fails, or failed in what came before.
    pub fn choose(
        &mut self,
        scores: &Scores<'_>,
        picks: &[(usize, Pick<'_>)],
        scratch: &mut Picks,
    ) -> Result<Vec<Option<Choice>>, DeviceError> {
        let &Scores { x, rows: held, stride, vocab } = scores;
        let (rows, padded) = (picks.len(), vocab.next_multiple_of(SPAN));
        if rows == 0 {
            return Ok(Vec::new());
        }
        let (bytes, seen) = encoded(picks.iter().map(|(_, pick)| pick));
        let known = picks.iter().flat_map(|(_, pick)| pick.forced.iter().chain(pick.seen));
        assert!(
            (1..=stride).contains(&vocab) && known.into_iter().all(|token| (*token as usize) < vocab),
            "tokens are known"
        );
        self.index(&mut scratch.row_of, &picks.iter().map(|(row, _)| *row as u32).collect::<Vec<_>>())?;
        self.put(&mut scratch.picks, &bytes)?;
        self.put(&mut scratch.seen, &seen)?;
        self.grow(&mut scratch.work, rows * padded)?;
        self.grow(&mut scratch.sums, rows * padded / SPAN)?;
        self.grow(&mut scratch.tokens, rows)?;
        self.grow(&mut scratch.logprobs, rows)?;
        let arguments = [
            self.given(x, held * stride),
            self.below(&scratch.row_of, rows, held),
            word(stride),
            word(vocab),
            self.given(&scratch.picks, bytes.len()),
            self.given(&scratch.seen, seen.len()),
            self.given(&scratch.work, rows * padded),
            self.given(&scratch.sums, rows * padded / SPAN),
            self.given(&scratch.tokens, rows),
            self.given(&scratch.logprobs, rows),
        ];
        self.launch("select_tokens", [rows, 1, 1], THREADS, &arguments)?;
        let tokens = self.read(&scratch.tokens, 0, rows)?;
        let logprobs = self.read(&scratch.logprobs, 0, rows)?;
        let choice = |(token, logprob)| (token != NONE).then_some(Choice { token, logprob });
        Ok(tokens.into_iter().zip(logprobs).map(choice).collect())
    }
}
