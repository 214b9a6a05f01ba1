//! A model that stays in its folder: its weights are read when they are asked for.

use std::path::Path;

use crate::{ChatTemplate, Checkpoint, Config, Digests, Error, TensorFiles, Tokenizer, digest};

/// A model at rest in a Hugging Face folder, opened. What is made of it takes no memory for the weights as they are stored.
#[derive(Debug)]
pub struct Folder {
    /// Its shape.
    pub config: Config,
    /// Its weights by Hugging Face name; exactly those of [`crate::names::expected`].
    pub tensors: TensorFiles,
    /// Its tokenizer, as that of a [`Checkpoint`].
    pub tokenizer: Tokenizer,
}

impl Folder {
    /// Opens a Hugging Face folder. Of a model that chats, the token that ends its turns becomes the first of those that end a
    /// text: it is what texts to learn and to score end with, and it ends what is drawn.
    ///
    /// # Errors
    /// A file is missing or damaged, the architecture is not supported, or the parts do not fit together.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let config = Config::of_folder(dir)?;
        let tokenizer =
            Tokenizer::load(&dir.join("tokenizer.json"))?.with_chat_template(ChatTemplate::load(dir)?);
        let config = config.ending_turns(&tokenizer);
        let tensors = TensorFiles::open(dir, &config)?;
        config.fits(&tokenizer)?;
        Ok(Self { config, tensors, tokenizer })
    }

    /// Reads all weights.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn load(self) -> Result<Checkpoint, Error> {
        Ok(Checkpoint { tensors: self.tensors.load()?, config: self.config, tokenizer: self.tokenizer })
    }

    /// [`Checkpoint::digest`] of it; reads all weights.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn digest(&self) -> Result<[u8; 16], Error> {
        digest::whole(&self.config, &self.tokenizer, &self.tensors)
    }

    /// [`Checkpoint::digests`] of it; reads all weights once.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn digests(&self) -> Result<Digests, Error> {
        digest::with_parts(&self.config, &self.tokenizer, &self.tensors)
    }
}
