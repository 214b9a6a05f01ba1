//! The engine: a checkpoint made ready to draw from.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread::ScopedJoinHandle;

use flow_kernels::gpu::Gpu;
use flow_kernels::{BLOCK, Precision};
use flow_model::{Checkpoint, Config, Folder, Tensors, Tokenizer};

use crate::Error;
use crate::forward::{Forward, Row};
use crate::gpu;
use crate::plan::{CACHE_BYTES, Usage, slots};
use crate::request::{Completion, Prompt, Request};
use crate::score::SCORE_ROWS;
use crate::text::Decoder;
use crate::weights::Weights;
use crate::worker::{Run, Worker, jobs};

/// Most prompt tokens read in one step.
const PROMPT_ROWS: usize = 64;

/// Most draws that share one reading of their prompt.
const JOB: usize = 32;

/// Takes the answer to the request of an index; called by worker threads in the order draws end.
pub type Sink<'a> = dyn Fn(usize, Result<Completion, Error>) + Sync + 'a;

/// A model ready to draw from, on the CPU or, by [`Engine::on`], on a GPU; its arithmetic is f32. Shared by reference between threads.
pub struct Engine {
    pub(crate) weights: Weights,
    pub(crate) decoder: Decoder,
    /// Tokens that end a completion.
    pub(crate) ends: Vec<u32>,
    /// What keys and values may take, where it was said.
    cache_bytes: Option<usize>,
    /// Where it draws, if that is not the CPU.
    gpu: Option<gpu::Model>,
}

impl Engine {
    /// Packs the weights of `checkpoint`: they are copied.
    ///
    /// # Errors
    /// A tensor is missing or has another shape than the config says.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, Error> {
        Self::with_precision(checkpoint, Precision::F32)
    }

    /// The same with weights of another precision: less memory, and other draws where that rounds them.
    ///
    /// # Errors
    /// A tensor is missing or has another shape than the config says.
    pub fn with_precision(checkpoint: &Checkpoint, precision: Precision) -> Result<Self, Error> {
        let Checkpoint { config, tensors, tokenizer } = checkpoint;
        Self::of_weights(config, tensors, Some(tokenizer.clone()), precision)
    }

    /// The same from a folder, whose weights are packed as they are read: beside those, some megabytes are needed.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn of_folder(folder: &Folder, precision: Precision) -> Result<Self, Error> {
        let Folder { config, tensors, tokenizer } = folder;
        Self::of_weights(config, tensors, Some(tokenizer.clone()), precision)
    }

    /// The same from the parts of a checkpoint that may have no tokenizer: then prompts are token ids, and completions have
    /// no text.
    ///
    /// # Errors
    /// A tensor is missing or has another shape than the config says.
    pub fn of_weights(
        config: &Config,
        tensors: &dyn Tensors,
        tokenizer: Option<Tokenizer>,
        precision: Precision,
    ) -> Result<Self, Error> {
        let weights = Weights::new(config, tensors, precision)?;
        let decoder = Decoder::new(tokenizer, weights.vocab);
        Ok(Self { weights, decoder, ends: config.eos_token_ids.clone(), cache_bytes: None, gpu: None })
    }

    /// The same with another bound on the bytes of keys and values, on the CPU 4 GiB by default ([`crate::Plan`]), shared by the threads of a call. A draw
    /// begins when all it may still need is free; where not even one draw fits, one is under way at a time.
    pub fn with_cache_bytes(self, cache_bytes: usize) -> Self {
        Self { cache_bytes: Some(cache_bytes), ..self }
    }

    /// The same, drawing on a device, to which the weights are copied: the same draws. Scores of given texts and [`Engine::logits`] stay
    /// with the CPU. Keys and values may take most of the memory that is free on the device, or what [`Engine::with_cache_bytes`] says
    /// where that is less.
    ///
    /// # Errors
    /// The weights do not fit, or the device fails.
    pub fn on(self, device: Gpu) -> Result<Self, Error> {
        let gpu = Some(gpu::Model::new(device, &self.weights)?);
        Ok(Self { gpu, ..self })
    }

    /// What a person calls the device that it draws on.
    pub fn device(&self) -> String {
        self.gpu.as_ref().map_or_else(|| "the CPU".into(), gpu::Model::device)
    }

    /// Bytes of the weights as they are kept, packed.
    pub fn weight_bytes(&self) -> usize {
        self.weights.bytes()
    }

    /// Bytes of keys and values of one position, in all layers.
    pub fn bytes_per_position(&self) -> usize {
        self.weights.shape.heads.block_len() * self.weights.layers.len() * size_of::<f32>() / BLOCK
    }

    /// Positions the model has: a prompt and its completion fit in together.
    pub fn context(&self) -> usize {
        self.weights.context
    }

    /// The tokenizer that prompts are read with.
    ///
    /// # Errors
    /// [`Error::NoTokenizer`] where they can only be token ids.
    pub fn tokenizer(&self) -> Result<&Tokenizer, Error> {
        self.decoder.tokenizer()
    }

    /// Draws a completion for each of `requests` on `threads` threads (at least one), and hands each to `sink` with
    /// the request's index as it ends. Blocks until all have ended, or soon after `cancel` becomes true; draws
    /// cancelled are not answered. Returns what it took.
    ///
    /// A completion is a function of the model and its own request: not of the other requests, their order, the
    /// number of threads or earlier calls. Requests with equal prompts are faster as neighbours: their prompt is
    /// read once for up to 32 of them. Memory is bounded by [`Engine::with_cache_bytes`], not by the number of requests.
    pub fn generate(
        &self,
        requests: &[Request],
        threads: usize,
        cancel: &AtomicBool,
        sink: &Sink<'_>,
    ) -> Usage {
        if let Some(gpu) = &self.gpu {
            return self.generate_on(gpu, requests, cancel, sink);
        }
        let threads = threads.max(1);
        let share = requests.len().div_ceil(threads).max(1);
        let jobs = &self.valid_jobs(requests, share.min(JOB), sink);
        let (slots, blocks) = (
            turns(share, slots(self.weight_bytes())),
            self.blocks(self.cache_bytes.unwrap_or(CACHE_BYTES)) / threads,
        );
        let (next_job, prompt_rows) = (&AtomicUsize::new(0), PROMPT_ROWS);
        let run = Run { engine: self, requests, jobs, next_job, cancel, sink, slots, prompt_rows, blocks };
        let work = || Worker::new(&run, Forward::new(&self.weights)).work();
        std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let own = work();
            let join = |other: ScopedJoinHandle<'_, Usage>| {
                other.join().unwrap_or_else(|panic| resume_unwind(panic))
            };
            others.into_iter().map(join).fold(own, Usage::add)
        })
    }

    /// [`Engine::generate`] on a device: one worker, with more draws under way.
    fn generate_on(
        &self,
        gpu: &gpu::Model,
        requests: &[Request],
        cancel: &AtomicBool,
        sink: &Sink<'_>,
    ) -> Usage {
        let share = requests.len().max(1);
        let jobs = &self.valid_jobs(requests, share.min(JOB), sink);
        let slots = turns(share, gpu::SLOTS);
        let bytes = self.cache_bytes.into_iter().chain(gpu.cache_bytes()).min();
        let bound = self.blocks(bytes.unwrap_or(CACHE_BYTES));
        let longest = jobs.iter().flat_map(Clone::clone).map(|i| self.most_positions(&requests[i])).max();
        let most = gpu::most_blocks(slots, longest.unwrap_or(0), bound, self.context());
        let blocks = bound.min(most);
        let (next_job, prompt_rows) = (&AtomicUsize::new(0), gpu::PROMPT_ROWS);
        let run = Run { engine: self, requests, jobs, next_job, cancel, sink, slots, prompt_rows, blocks };
        match gpu.pass(&self.weights, most) {
            Ok(pass) => Worker::new(&run, pass).work(),
            Err(error) => {
                let answer = |i| sink(i, Err(Error::Device(error.clone())));
                jobs.iter().flat_map(Clone::clone).for_each(answer);
                Usage::default()
            }
        }
    }

    /// Scores (logits) of the token after each of `tokens`: (T, V), row-major.
    ///
    /// # Errors
    /// There are no tokens, more than the context holds, or unknown ones.
    pub fn logits(&self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        self.check(tokens, self.context())?;
        let mut forward = Forward::new(&self.weights);
        let sequence = forward.cache.pages.open();
        let span = tokens.len();
        let row = |(position, &token)| Row { sequence, position, token, span, routing: None, wanted: true };
        let rows: Vec<Row> = tokens.iter().enumerate().map(row).collect();
        let mut logits = Vec::with_capacity(tokens.len() * self.weights.vocab);
        for rows in rows.chunks(SCORE_ROWS) {
            for scores in forward.scores(rows).chunks_exact(self.weights.head.outputs()) {
                logits.extend_from_slice(&scores[..self.weights.vocab]);
            }
        }
        Ok(logits)
    }

    /// The tokens of a prompt that leaves room for at least one more.
    pub(crate) fn tokens(&self, prompt: &Prompt) -> Result<Vec<u32>, Error> {
        let tokens = self.decoder.encode(prompt)?;
        self.check(&tokens, self.context() - 1)?;
        Ok(tokens)
    }

    /// The tokens a completion of `request` is to begin with.
    pub(crate) fn forced(&self, request: &Request) -> Result<Vec<u32>, Error> {
        let prefix = request.params.prefix.as_ref().map(|prefix| self.decoder.encode_continuation(prefix));
        let tokens = prefix.transpose()?.unwrap_or_default();
        let vocab_size = self.weights.vocab;
        match tokens.iter().find(|&&token| token as usize >= vocab_size) {
            Some(&token) => Err(Error::TokenUnknown { token, vocab_size }),
            None => Ok(tokens),
        }
    }

    /// Errs where there are no tokens, more than `most`, or unknown ones.
    pub(crate) fn check(&self, tokens: &[u32], most: usize) -> Result<(), Error> {
        let vocab_size = self.weights.vocab;
        if tokens.is_empty() {
            return Err(Error::PromptEmpty);
        }
        if tokens.len() > most {
            return Err(Error::PromptTooLong { tokens: tokens.len(), context: self.context() });
        }
        match tokens.iter().find(|&&token| token as usize >= vocab_size) {
            Some(&token) => Err(Error::TokenUnknown { token, vocab_size }),
            None => Ok(()),
        }
    }

    /// Jobs of the requests whose parameters are valid; the others are answered.
    fn valid_jobs(&self, requests: &[Request], most: usize, sink: &Sink<'_>) -> Vec<Range<usize>> {
        jobs(requests, most, |i| match requests[i].params.validate() {
            Ok(()) => true,
            Err(error) => {
                sink(i, Err(error));
                false
            }
        })
    }

    /// Positions that prompt and completion of a request take at most, a token of a text counted for each byte.
    fn most_positions(&self, request: &Request) -> usize {
        let prompt = match &request.prompt {
            Prompt::Text(text) | Prompt::Rendered(text) => text.len() + 1,
            Prompt::Tokens(tokens) => tokens.len(),
        };
        prompt.saturating_add(request.params.max_tokens).min(self.context())
    }

    /// Blocks of positions that take so many bytes.
    fn blocks(&self, cache_bytes: usize) -> usize {
        cache_bytes / (self.bytes_per_position() * BLOCK)
    }
}

/// Draws that a worker with `share` requests keeps going: at most `slots`, in equal turns.
fn turns(share: usize, slots: usize) -> usize {
    share.div_ceil(share.div_ceil(slots))
}

#[cfg(test)]
pub(crate) mod tests {
    use flow_model::{Block, Moe};

    use super::*;

    /// A mixture of experts with heads that leave a remainder.
    pub(crate) fn tiny() -> Engine {
        tiny_with(Precision::F32)
    }

    pub(crate) fn tiny_with(precision: Precision) -> Engine {
        let tokenizer = Tokenizer::train_byte_bpe(&[""], 256, &[]).unwrap();
        Engine::with_precision(&Checkpoint::init(tiny_config(), tokenizer, 1).unwrap(), precision).unwrap()
    }

    pub(crate) fn tiny_config() -> Config {
        let moe = Moe {
            num_experts: 4,
            experts_per_token: 2,
            norm_topk_prob: false,
            shared_expert_intermediate_size: Some(24),
            router_aux_loss_coef: 0.0,
            router_z_loss_coef: 0.0,
        };
        Config {
            vocab_size: 270,
            hidden_size: 40,
            intermediate_size: 48,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 10,
            rms_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            max_position_embeddings: 160,
            tie_word_embeddings: true,
            eos_token_ids: Vec::new(),
            bos_token_id: None,
            moe: Some(moe),
            block: Block::default(),
        }
    }
}
