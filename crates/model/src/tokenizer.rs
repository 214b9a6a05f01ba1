//! Text to token ids and back, with Hugging Face's `tokenizers`.

use std::path::Path;
use std::sync::Arc;

use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::models::TrainerWrapper;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::{AddedToken, Tokenizer as HfTokenizer};

use crate::{ChatTemplate, Error};

/// A tokenizer; cloning shares it.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: Arc<HfTokenizer>,
    json: Arc<str>,
    template: Option<Arc<ChatTemplate>>,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`.
    ///
    /// # Errors
    /// When the file cannot be read or is not a tokenizer.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
        let inner = HfTokenizer::from_bytes(bytes)
            .map_err(|source| failed(format!("read the tokenizer {}", path.display()), source))?;
        Self::wrap(inner)
    }

    /// Learns a byte-level BPE of `vocab_size` tokens: `specials` first, then the 256 bytes, then merges.
    ///
    /// Every digit is a token of its own, so numbers are written digit by digit. Fewer tokens result when the texts
    /// have no more pairs to merge. The same texts give the same tokenizer.
    ///
    /// # Errors
    /// When `vocab_size` does not hold the specials and the bytes.
    pub fn train_byte_bpe(texts: &[&str], vocab_size: usize, specials: &[&str]) -> Result<Self, Error> {
        let least = 256 + specials.len();
        if vocab_size < least {
            let expected = format!("at least {least}: 256 bytes and the special tokens");
            return Err(Error::ConfigValue {
                key: "vocab_size".into(),
                found: vocab_size.to_string(),
                expected,
            });
        }
        let train = || -> tokenizers::Result<HfTokenizer> {
            let mut inner = HfTokenizer::new(BPE::default());
            let split = vec![Digits::new(true).into(), ByteLevel::new(false, true, true).into()];
            inner.with_pre_tokenizer(Some(Sequence::new(split)));
            inner.with_decoder(Some(ByteLevelDecoder::default()));
            let trainer = BpeTrainer::builder()
                .vocab_size(vocab_size)
                .show_progress(false)
                .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
                .special_tokens(specials.iter().map(|&token| AddedToken::from(token, true)).collect())
                .build();
            inner.train(&mut TrainerWrapper::BpeTrainer(trainer), texts.iter())?;
            Ok(inner)
        };
        Self::wrap(train().map_err(|source| failed("train a byte-level BPE", source))?)
    }

    fn wrap(inner: HfTokenizer) -> Result<Self, Error> {
        expect_own_ids(&inner)?;
        let json = inner.to_string(false).map_err(|source| failed("write the tokenizer as JSON", source))?;
        Ok(Self { inner: Arc::new(inner), json: json.into(), template: None })
    }

    /// The ids of `text` as the beginning of a sequence: with the tokens the tokenizer itself puts around a text, such
    /// as a first `<s>`.
    ///
    /// # Errors
    /// When the tokenizer has no token for a part of the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.ids(text, true)
    }

    /// The ids of `text` alone, to be put after others.
    ///
    /// # Errors
    /// When the tokenizer has no token for a part of the text.
    pub fn encode_continuation(&self, text: &str) -> Result<Vec<u32>, Error> {
        self.ids(text, false)
    }

    fn ids(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, Error> {
        let encoding = self.inner.encode_fast(text, add_special_tokens);
        Ok(encoding.map_err(|source| failed("encode a text", source))?.get_ids().to_vec())
    }

    /// The text of `ids`, without special tokens. For a byte-level BPE it is the exact inverse of encoding; bytes that
    /// are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// When the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.inner.decode(ids, true).map_err(|source| failed("decode token ids", source))
    }

    /// The id of a token given as it stands in the vocabulary, such as `</s>`.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Whether a token is one that texts do not show, such as `</s>`.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner
            .get_added_vocabulary()
            .get_added_tokens_decoder()
            .get(&id)
            .is_some_and(|token| token.special)
    }

    /// The same with a chat template, or without.
    #[must_use]
    pub fn with_chat_template(self, template: Option<ChatTemplate>) -> Self {
        Self { template: template.map(Arc::new), ..self }
    }

    /// How conversations become texts, where the checkpoint says so.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_deref()
    }

    /// The number of tokens, special ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The token with the highest id, and that id, without those that were added to the vocabulary: tokens of families that
    /// also see images are often added to models that do not.
    pub fn last(&self) -> Option<(String, u32)> {
        self.inner.get_vocab(false).into_iter().max_by_key(|(_, id)| *id)
    }

    /// The canonical `tokenizer.json`.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// Blake3 of the canonical JSON, shortened to 128 bits.
    pub fn digest(&self) -> [u8; 16] {
        let mut digest = [0; 16];
        blake3::Hasher::new().update(self.json.as_bytes()).finalize_xof().fill(&mut digest);
        digest
    }
}

/// No two tokens of the vocabulary have one id: which of them it stands for would be left to chance.
fn expect_own_ids(inner: &HfTokenizer) -> Result<(), Error> {
    let mut tokens: Vec<(u32, String)> =
        inner.get_vocab(false).into_iter().map(|(token, id)| (id, token)).collect();
    tokens.sort_unstable();
    match tokens.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => {
            Err(Error::TokenizerIdTwice { id: pair[0].0, tokens: [pair[0].1.clone(), pair[1].1.clone()] })
        }
        None => Ok(()),
    }
}

fn failed(attempt: impl Into<String>, source: tokenizers::Error) -> Error {
    Error::Tokenizer { attempt: attempt.into(), source }
}
