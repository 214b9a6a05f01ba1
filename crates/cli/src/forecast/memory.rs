//! What drawing from the declared models may take of memory, known from their configs.

use std::path::Path;
use std::thread::available_parallelism;

use flow_model::Config;
use flow_operators::precision;
use flow_plan::Plan;
use flow_spec::{Folder, Weights};
use serde::Serialize;

/// What drawing from one model takes at most.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    /// Its name in the pipeline.
    pub(super) model: String,
    /// What its weights are kept as.
    pub(super) weights: &'static str,
    /// Bytes of its weights.
    pub(super) weight_bytes: usize,
    /// Bytes of the keys and values of all draws under way.
    pub(super) cache_bytes: usize,
    /// Draws under way at a time, with a thread for each processor.
    pub(super) draws: usize,
}

/// Of each declared model whose config can be read here.
pub(super) fn of(plan: &Plan) -> Vec<Memory> {
    let threads = available_parallelism().map_or(1, usize::from);
    let folders = plan.models.iter().filter_map(|(name, model)| Some((name, model.checkpoint()?)));
    folders.filter_map(|(name, folder)| memory(name, folder, threads)).collect()
}

fn memory(name: &str, folder: &Folder, threads: usize) -> Option<Memory> {
    let config = Config::of_folder(Path::new(&folder.path)).ok()?;
    let flow_sampler::Plan { weight_bytes, cache_bytes, draws, .. } =
        flow_sampler::Plan::new(&config, precision(folder.weights), threads);
    let weights = match folder.weights {
        Weights::F32 => "f32",
        Weights::Bf16 => "bf16",
        Weights::Int8 => "int8",
    };
    Some(Memory { model: name.to_owned(), weights, weight_bytes, cache_bytes, draws })
}
