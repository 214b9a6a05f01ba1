//! What drawing takes: planned before a weight is read, and counted while it goes on.

use flow_kernels::gpu::{DeviceError, Gpu};
use flow_kernels::{BLOCK, Heads, Precision, padded};
use flow_model::{Config, names};

use crate::gpu;
use crate::weights::code;

/// Draws a worker keeps going: from two full tiles of rows to eight. A step reads all weights once, which more draws share;
/// fewer keep their keys and values in cache, which matters where the weights are small.
const SLOTS: std::ops::RangeInclusive<usize> = 24..=96;

/// Bytes of weights that call for one more draw under way: measured on models of 1 to 60 M parameters.
const BYTES_PER_SLOT: usize = 300 << 10;

/// Bytes of keys and values that all workers together may hold unless told otherwise.
pub(crate) const CACHE_BYTES: usize = 4 << 30;

/// What drawing from a model may take of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Bytes of the weights, packed.
    pub weight_bytes: usize,
    /// Most bytes of keys and values at a time. A draw waits until all that it can come to need is free.
    pub cache_bytes: usize,
    /// Bytes of keys and values of one position.
    pub bytes_per_position: usize,
    /// Most draws under way at a time, over all threads.
    pub draws: usize,
}

impl Plan {
    /// For an engine of `config`, with weights of this precision, that draws on `threads` threads.
    pub fn new(config: &Config, precision: Precision, threads: usize) -> Self {
        let (threads, weight_bytes) = (threads.max(1), weight_bytes(config, precision));
        let bytes_per_block = bytes_per_block(config);
        let draws = slots(weight_bytes) * threads;
        // Beside each draw there may be a prompt that it comes from or that waits to be read.
        let sequences = 2 * draws + draws / 8 + threads;
        let most = sequences.saturating_mul(config.context().div_ceil(BLOCK)).saturating_mul(bytes_per_block);
        let cache_bytes = most.min(CACHE_BYTES);
        Self { weight_bytes, cache_bytes, bytes_per_position: bytes_per_block / BLOCK, draws }
    }
}

impl Plan {
    /// The same for an engine that draws on a GPU with so many bytes of memory, of which nothing is taken.
    ///
    /// # Errors
    /// It cannot hold the weights and one draw, or cannot draw from such a model.
    pub fn on_gpu(config: &Config, precision: Precision, memory_bytes: usize) -> Result<Self, DeviceError> {
        Gpu::check_experts(config.router_rows())?;
        let (weight_bytes, bytes_per_block) = (weight_bytes(config, precision), bytes_per_block(config));
        let free = memory_bytes.saturating_sub(weight_bytes);
        let room = gpu::room(free, padded(config.vocab_size)) / bytes_per_block;
        let blocks = gpu::most_blocks(gpu::SLOTS, config.context(), room, config.context());
        if blocks > room {
            let reason = format!(
                "its {} MiB do not hold {} MiB of weights and one draw",
                memory_bytes >> 20,
                weight_bytes >> 20
            );
            return Err(DeviceError::Missing { device: "the GPU's memory", reason });
        }
        Ok(Self {
            weight_bytes,
            cache_bytes: blocks * bytes_per_block,
            bytes_per_position: bytes_per_block / BLOCK,
            draws: gpu::SLOTS,
        })
    }
}

/// Bytes of the keys and values of a block, in all layers.
fn bytes_per_block(config: &Config) -> usize {
    let key_value_heads = config.key_values() * config.num_key_value_heads;
    Heads { key_value_heads, head_dim: config.head_dim }.block_len()
        * config.num_hidden_layers
        * size_of::<f32>()
}

/// Most draws that a worker keeps going.
pub(crate) fn slots(weight_bytes: usize) -> usize {
    (weight_bytes / BYTES_PER_SLOT).clamp(*SLOTS.start(), *SLOTS.end())
}

/// Bytes of all packed matrices and of the embedding; tables of positions and norms are not worth counting.
fn weight_bytes(config: &Config, precision: Precision) -> usize {
    // Of 8 bits, each output, or row of the embedding, has a scale.
    let scale = if precision == Precision::Int8 { size_of::<f32>() } else { 0 };
    let matrix = |outputs: usize, inputs: usize| outputs * (inputs * precision.bytes() + scale);
    let few_bits = names::computed(config);
    let bytes = |(name, shape): &(String, Vec<usize>)| match shape[..] {
        [outputs, inputs] if let Some(packing) = few_bits.get(name) => code(*packing).bytes(inputs, outputs),
        [vocab, inputs] if name == names::EMBEDDING => matrix(vocab, inputs),
        [outputs, inputs] if names::is_router(name) => padded(outputs) * inputs * size_of::<f32>(),
        [outputs, inputs] => matrix(padded(outputs), inputs),
        _ => 0,
    };
    let head =
        usize::from(config.tie_word_embeddings) * matrix(padded(config.vocab_size), config.hidden_size);
    names::expected(config).iter().map(bytes).sum::<usize>() + head
}

/// What a call of [`crate::Engine::generate`] took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Steps of all workers that advanced draws.
    pub steps: u64,
    /// Tokens drawn in these steps.
    pub advanced: u64,
    /// Tokens that could have been drawn in them: each worker's most draws under way, summed over its steps.
    pub places: u64,
    /// Most bytes of keys and values held at a time, each worker's most summed.
    pub cache_bytes: usize,
}

impl Usage {
    /// The part of the places of a step that were taken, on average: 0 to 1.
    pub fn occupancy(&self) -> f64 {
        self.advanced as f64 / self.places.max(1) as f64
    }

    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            steps: self.steps + other.steps,
            advanced: self.advanced + other.advanced,
            places: self.places + other.places,
            cache_bytes: self.cache_bytes + other.cache_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use flow_model::Block;

    use super::*;

    #[test]
    fn the_plan_knows_the_weights_and_bounds_the_cache() {
        let config = crate::engine::tests::tiny_config();
        for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
            let engine = crate::engine::tests::tiny_with(precision);
            let plan = Plan::new(&config, precision, 2);
            let tables = engine.weights.rotaries.iter().map(crate::rotary::Rotary::bytes).sum::<usize>();
            assert_eq!(plan.weight_bytes, engine.weight_bytes() - tables, "{precision:?}");
            assert_eq!(plan.bytes_per_position, engine.bytes_per_position());
            assert_eq!(plan.draws, 48);
            assert_eq!(plan.cache_bytes, (2 * 48 + 6 + 2) * 160 * plan.bytes_per_position);
        }
    }

    #[test]
    fn groups_of_codes_are_those_of_the_folder() {
        assert_eq!(flow_kernels::Code::Int4.group(1_000), flow_model::int4::GROUP);
    }

    #[test]
    fn a_gpu_has_its_own_draws_and_its_own_bound() {
        let config = crate::engine::tests::tiny_config();
        let plan = |memory_bytes| Plan::on_gpu(&config, Precision::F32, memory_bytes);
        let large = plan(80 << 30).expect("it fits");
        assert_eq!(large.draws, 256);
        assert_eq!(large.cache_bytes, (2 * 256 + 32 + 1) * 160 * large.bytes_per_position);
        let small = plan(300 << 20).expect("it fits");
        assert!(
            small.cache_bytes < large.cache_bytes && small.cache_bytes > 2 * 160 * large.bytes_per_position
        );
        assert!(plan(200 << 20).is_err() && plan(1 << 10).is_err());
    }

    #[test]
    fn a_gpu_is_not_planned_for_mixtures_that_it_cannot_compute() {
        let config = crate::engine::tests::tiny_config();
        let block = Block { null_experts: 1_025, ..config.block.clone() };
        let moe = flow_model::Moe {
            num_experts: 2,
            experts_per_token: 1,
            norm_topk_prob: true,
            shared_expert_intermediate_size: None,
            router_aux_loss_coef: 0.0,
            router_z_loss_coef: 0.0,
        };
        let many = Config { block, moe: Some(moe), ..config };
        let refused = Plan::on_gpu(&many, Precision::F32, 80 << 30).expect_err("too many experts");
        assert!(refused.to_string().contains("1027 experts"), "{refused}");
    }
}
