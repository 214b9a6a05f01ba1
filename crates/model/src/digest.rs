//! What a model is known by: digests of what it is, wherever and in whatever files it rests.

use crate::{Config, Error, Tensors, Tokenizer};

/// Numbers that are made bytes of at a time.
const NUMBERS: usize = 1 << 14;

/// Blake3, shortened to 128 bits, of parts that cannot be taken for each other.
#[derive(Default)]
struct Digest(blake3::Hasher);

impl Digest {
    fn part(&mut self, bytes: &[u8]) {
        self.begin(bytes.len());
        self.0.update(bytes);
    }

    fn begin(&mut self, bytes: usize) {
        self.0.update(&(bytes as u64).to_le_bytes());
    }

    fn tokenizer(&mut self, tokenizer: &Tokenizer) {
        self.part(tokenizer.json().as_bytes());
        if let Some(template) = tokenizer.chat_template() {
            self.part(template.config_text().as_bytes());
        }
    }

    /// Adds names and numbers, as f32, in the order of names, to each of `digests`.
    fn tensors(digests: &mut [&mut Self], tensors: &dyn Tensors) -> Result<(), Error> {
        for name in tensors.names() {
            let numbers: usize = tensors.shape(name).unwrap_or_default().iter().product();
            for digest in &mut *digests {
                digest.part(name.as_bytes());
                digest.begin(numbers * size_of::<f32>());
            }
            let mut bytes = Vec::with_capacity(NUMBERS * size_of::<f32>());
            tensors.read(name, &mut |numbers| {
                for numbers in numbers.chunks(NUMBERS) {
                    bytes.clear();
                    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
                    for digest in &mut *digests {
                        digest.0.update(&bytes);
                    }
                }
            })?;
        }
        Ok(())
    }

    fn end(self) -> [u8; 16] {
        let mut digest = [0; 16];
        self.0.finalize_xof().fill(&mut digest);
        digest
    }
}

/// What a model and its parts are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digests {
    /// Of the model, see [`crate::Checkpoint::digest`].
    pub whole: [u8; 16],
    /// Of config, weights, and tokenizer with chat template, each by itself: they tell which of them differs between two models.
    pub parts: [[u8; 16]; 3],
}

/// Of a whole model.
pub(crate) fn whole(
    config: &Config,
    tokenizer: &Tokenizer,
    tensors: &dyn Tensors,
) -> Result<[u8; 16], Error> {
    let mut digest = Digest::default();
    digest.part(config.text().as_bytes());
    digest.tokenizer(tokenizer);
    Digest::tensors(&mut [&mut digest], tensors)?;
    Ok(digest.end())
}

/// Of a whole model and of its parts; the weights are read once.
pub(crate) fn with_parts(
    config: &Config,
    tokenizer: &Tokenizer,
    tensors: &dyn Tensors,
) -> Result<Digests, Error> {
    let [mut whole, mut shape, mut weights, mut words] = [(); 4].map(|()| Digest::default());
    for digest in [&mut whole, &mut shape] {
        digest.part(config.text().as_bytes());
    }
    for digest in [&mut whole, &mut words] {
        digest.tokenizer(tokenizer);
    }
    Digest::tensors(&mut [&mut whole, &mut weights], tensors)?;
    Ok(Digests { whole: whole.end(), parts: [shape, weights, words].map(Digest::end) })
}
