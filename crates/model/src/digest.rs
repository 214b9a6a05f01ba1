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

    /// Names and numbers, as f32, in the order of names.
    fn tensors(&mut self, tensors: &dyn Tensors) -> Result<(), Error> {
        for name in tensors.names() {
            self.part(name.as_bytes());
            self.begin(tensors.shape(name).unwrap_or_default().iter().product::<usize>() * size_of::<f32>());
            let mut bytes = Vec::with_capacity(NUMBERS * size_of::<f32>());
            tensors.read(name, &mut |numbers| {
                for numbers in numbers.chunks(NUMBERS) {
                    bytes.clear();
                    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
                    self.0.update(&bytes);
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

/// Of a whole model.
pub(crate) fn whole(
    config: &Config,
    tokenizer: &Tokenizer,
    tensors: &dyn Tensors,
) -> Result<[u8; 16], Error> {
    let mut digest = Digest::default();
    digest.part(config.text().as_bytes());
    digest.tokenizer(tokenizer);
    digest.tensors(tensors)?;
    Ok(digest.end())
}

/// Of config, weights, and tokenizer with chat template, each by itself.
pub(crate) fn parts(
    config: &Config,
    tokenizer: &Tokenizer,
    tensors: &dyn Tensors,
) -> Result<[[u8; 16]; 3], Error> {
    let mut digests = [(); 3].map(|()| Digest::default());
    digests[0].part(config.text().as_bytes());
    digests[1].tensors(tensors)?;
    digests[2].tokenizer(tokenizer);
    Ok(digests.map(Digest::end))
}
