//! What drawing from the declared models may take of memory, known from their configs.

use std::path::Path;
use std::thread::available_parallelism;

use flow_model::Config;
use flow_operators::precision;
use flow_plan::Plan;
use flow_sampler::DeviceError;
use flow_spec::{Folder, Weights};
use serde::Serialize;

use crate::exec::Device;
use crate::halt::Halt;
use crate::{Exit, codes};

/// What drawing from one model takes at most.
#[derive(Debug, Serialize)]
pub(super) struct Memory {
    /// Its name in the pipeline.
    pub(super) model: String,
    /// What it is drawn from on.
    pub(super) device: String,
    /// What its weights are kept as.
    pub(super) weights: &'static str,
    /// Bytes of its weights.
    pub(super) weight_bytes: usize,
    /// Bytes of the keys and values of all draws under way.
    pub(super) cache_bytes: usize,
    /// Draws under way at a time; on the CPU with a thread for each processor.
    pub(super) draws: usize,
}

/// Of each declared model whose config can be read here, drawn from on `device`. A model that a GPU cannot draw from draws on the CPU,
/// unless the GPU was asked for.
pub(super) fn of(plan: &Plan, device: Device) -> Result<Vec<Memory>, Halt> {
    let gpu = device.found()?;
    let threads = available_parallelism().map_or(1, usize::from);
    let folders = plan.models.iter().filter_map(|(name, model)| Some((name, model.checkpoint()?)));
    let memory = |(name, folder): (&String, &Folder)| {
        let config = Config::of_folder(Path::new(&folder.path)).ok()?;
        let precision = precision(folder.weights);
        let on_gpu = gpu.as_ref().map(|gpu| {
            let plan = flow_sampler::Plan::on_gpu(&config, precision, gpu.memory_bytes);
            plan.map(|plan| (gpu.name.clone(), plan))
        });
        Some(match on_gpu {
            Some(Ok((device, plan))) => Ok(Memory::of(name, folder.weights, device, plan)),
            Some(Err(error)) if device == Device::Cuda => Err(refused(name, &error)),
            _ => {
                let plan = flow_sampler::Plan::new(&config, precision, threads);
                Ok(Memory::of(name, folder.weights, "the CPU".into(), plan))
            }
        })
    };
    folders.filter_map(memory).collect()
}

impl Memory {
    fn of(model: &str, weights: Weights, device: String, plan: flow_sampler::Plan) -> Self {
        let flow_sampler::Plan { weight_bytes, cache_bytes, draws, .. } = plan;
        let weights = match weights {
            Weights::F32 => "f32",
            Weights::Bf16 => "bf16",
            Weights::Int8 => "int8",
        };
        Self { model: model.to_owned(), device, weights, weight_bytes, cache_bytes, draws }
    }
}

fn refused(model: &str, error: &DeviceError) -> Halt {
    let message = format!("the model `{model}` cannot be drawn from on the GPU: {error}");
    let help = "leave `--device` out to draw from it on the CPU; `weights: bf16` takes half the memory";
    Halt::with(Exit::Invalid, codes::DEVICE.id, &message, Some(help))
}
