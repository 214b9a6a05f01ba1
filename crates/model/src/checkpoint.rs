//! A model as a folder: `config.json`, `model.safetensors`, `tokenizer.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::keys::Keys;
use crate::tensors::missing;
use crate::weights::{check, check_packed, save_weights};
use crate::{Config, Digests, Error, Folder, Tensor, Ternary, Tokenizer, digest, int4, names, ternary};

/// A model at rest. Weights are shared when cloned.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Its shape.
    pub config: Config,
    /// Its weights by Hugging Face name; exactly those of [`crate::names::expected`].
    pub tensors: BTreeMap<String, Tensor>,
    /// Its tokenizer. It fits when every id of its vocabulary is below `config.vocab_size`; it may have fewer tokens, since
    /// embeddings are often padded, and added tokens beyond, with which a prompt cannot be read.
    pub tokenizer: Tokenizer,
}

impl Checkpoint {
    /// Puts the parts together.
    ///
    /// # Errors
    /// When the config contradicts itself or has switches that no family has together, a tensor is missing, superfluous or
    /// has another shape, or the tokenizer has an id beyond the vocabulary.
    pub fn new(
        config: Config,
        tensors: BTreeMap<String, Tensor>,
        tokenizer: Tokenizer,
    ) -> Result<Self, Error> {
        config.fits(&tokenizer)?;
        check(&config, &tensors)?;
        check_packed(&config, &tensors)?;
        Ok(Self { config, tensors, tokenizer })
    }

    /// Reads a Hugging Face folder, as [`Folder::open`] does, with all weights.
    ///
    /// # Errors
    /// A file is missing or damaged, the architecture is not supported, or the parts do not fit together.
    pub fn load(dir: &Path) -> Result<Self, Error> {
        Folder::open(dir)?.load()
    }

    /// Writes a Hugging Face folder, creating it; equal checkpoints give equal bytes.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), Error> {
        let written = |path: &Path, source| Error::Write { path: path.into(), source };
        fs::create_dir_all(dir).map_err(|source| written(dir, source))?;
        for (file, text) in
            [("config.json", self.config.text()), ("tokenizer.json", self.tokenizer.json().to_owned())]
        {
            let path = dir.join(file);
            fs::write(&path, text).map_err(|source| written(&path, source))?;
        }
        if let Some(template) = self.tokenizer.chat_template() {
            template.save(dir)?;
        }
        save_weights(dir, &self.config, &self.tensors)
    }

    /// Blake3, shortened to 128 bits, of config, weights, tokenizer and chat template: equal models have equal digests, wherever and in
    /// whatever files they rest.
    pub fn digest(&self) -> [u8; 16] {
        digest::whole(&self.config, &self.tokenizer, &self.tensors).expect("what is in memory can be read")
    }

    /// The same, with the digests of its parts.
    pub fn digests(&self) -> Digests {
        digest::with_parts(&self.config, &self.tokenizer, &self.tensors)
            .expect("what is in memory can be read")
    }

    /// The same model with ternary experts that rest as two bits a weight; any other model as it is.
    #[must_use]
    pub fn packed(self) -> Self {
        self.with_ternary([Ternary::Latent, Ternary::Packed], ternary::quantised)
    }

    /// The same model with ternary experts as training moves them, see [`ternary::latent`]; any other model as it is.
    #[must_use]
    pub fn latent(self) -> Self {
        self.with_ternary([Ternary::Packed, Ternary::Latent], ternary::latent)
    }

    /// The same model whose shared experts have weights of four bits, see [`int4`]; one without shared experts, and one that has them, as it is.
    #[must_use]
    pub fn with_int4_shared_expert(mut self) -> Self {
        let shared = names::shared(&self.config);
        if !self.config.block.int4_shared_expert && !shared.is_empty() {
            self.replace(&shared, |tensor| int4::quantised(&tensor.data, tensor.shape[1]));
            self.config.block.int4_shared_expert = true;
        }
        self
    }

    fn with_ternary(mut self, [from, to]: [Ternary; 2], change: impl Fn(&[f32]) -> Vec<f32>) -> Self {
        if self.config.block.ternary_experts == Some(from) {
            self.replace(&names::routed(&self.config), |tensor| change(&tensor.data));
            self.config.block.ternary_experts = Some(to);
        }
        self
    }

    /// Gives the tensors `names` the numbers that `change` makes of them.
    fn replace(&mut self, names: &BTreeSet<String>, change: impl Fn(&Tensor) -> Vec<f32>) {
        for name in names {
            let tensor = self.tensors.get_mut(name).expect("a checkpoint has the tensors of its config");
            *tensor = Tensor::new(tensor.shape.clone(), change(tensor));
        }
    }

    /// The tensor of a Hugging Face name.
    ///
    /// # Errors
    /// [`Error::TensorMissing`] when there is none.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, Error> {
        self.tensors.get(name).ok_or_else(|| missing(name))
    }
}

impl Config {
    /// Reads a folder's `config.json`, and the tokens that end a text of its `generation_config.json`, where there is one:
    /// models that chat often name the end of a turn only there.
    ///
    /// # Errors
    /// As [`Config::load`], for either file.
    pub fn of_folder(dir: &Path) -> Result<Self, Error> {
        let mut config = Self::load(&dir.join("config.json"))?;
        let generation = dir.join("generation_config.json");
        if generation.exists() {
            for id in Keys::new(&json(&generation)?).tokens("eos_token_id")? {
                if (id as usize) < config.vocab_size && !config.eos_token_ids.contains(&id) {
                    config.eos_token_ids.push(id);
                }
            }
        }
        Ok(config)
    }

    /// The same with the token that ends turns, where `tokenizer` has a chat template that writes one, as the first of those that
    /// end a text.
    #[must_use]
    pub fn ending_turns(mut self, tokenizer: &Tokenizer) -> Self {
        let chat = tokenizer.chat_template().and_then(|template| template.compile().ok());
        let end = chat.and_then(|chat| chat.end_of_turn(tokenizer));
        if let Some(end) = end.filter(|end| (*end as usize) < self.vocab_size) {
            self.eos_token_ids.retain(|id| *id != end);
            self.eos_token_ids.insert(0, end);
        }
        self
    }

    /// Errs where it cannot be a model's with this tokenizer.
    ///
    /// # Errors
    /// It contradicts itself or has switches that no family has together, or the tokenizer has an id beyond the vocabulary.
    pub fn fits(&self, tokenizer: &Tokenizer) -> Result<(), Error> {
        self.validate()?;
        if Self::from_json(&self.to_json())? != *self {
            let (found, expected) = (self.family().model_type(), "switches that one family has together");
            let key = "model_type".into();
            return Err(Error::ConfigValue { key, found: found.into(), expected: expected.into() });
        }
        // What the tokenizer puts around a text need not be in its own vocabulary.
        let around = tokenizer.encode("")?.into_iter().map(|id| (format!("#{id}"), id));
        match tokenizer.last().into_iter().chain(around).find(|(_, id)| *id as usize >= self.vocab_size) {
            Some((token, id)) => Err(Error::TokenizerTooLarge { token, id, vocab_size: self.vocab_size }),
            None => Ok(()),
        }
    }

    /// The text of its `config.json`.
    pub(crate) fn text(&self) -> String {
        format!("{:#}\n", self.to_json())
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// The file is missing or not JSON, or as [`Config::from_json`].
    pub fn load(path: &Path) -> Result<Self, Error> {
        Self::from_json(&json(path)?)
    }
}

/// The value of a JSON file.
pub(crate) fn json(path: &Path) -> Result<serde_json::Value, Error> {
    let text = fs::read(path).map_err(|source| Error::Read { path: path.into(), source })?;
    serde_json::from_slice(&text).map_err(|source| Error::Json { path: path.into(), source })
}
