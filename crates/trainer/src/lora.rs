//! Low-rank adapters (LoRA, arXiv 2106.09685): W + alpha/rank · B·A, of which only A and B learn.
//!
//! Names and files are those of Hugging Face's PEFT.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flow_model::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Settings of low-rank adapters.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// Rows of A and columns of B, at least 1.
    pub rank: usize,
    /// What the product B·A is multiplied by is this over the rank; above 0.
    pub alpha: f64,
    /// The matrices that get an adapter, at least one that the model has.
    pub targets: Vec<Target>,
}

impl Lora {
    /// Numbers that learn in a model of this shape.
    pub fn num_parameters(&self, model: &flow_model::Config) -> usize {
        let shapes = flow_model::names::expected(model).into_iter();
        let targeted = shapes.filter(|(name, _)| self.targets.iter().any(|target| target.is(name)));
        targeted.map(|(_, shape)| self.rank * shape.iter().sum::<usize>()).sum()
    }
}

/// Matrices that can have an adapter, by PEFT's names, in every layer that has them: of attention, and of dense blocks, shared and routed
/// experts alike. In Mixtral `w1` is `gate_proj`, `w3` is `up_proj` and `w2` is `down_proj`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Queries.
    QProj,
    /// Keys.
    KProj,
    /// Values.
    VProj,
    /// What attention gives.
    OProj,
    /// The gate of a feed-forward block.
    GateProj,
    /// What is gated.
    UpProj,
    /// The way back.
    DownProj,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::QProj, Self::KProj, Self::VProj, Self::OProj, Self::GateProj, Self::UpProj, Self::DownProj];

    /// Whether the tensor of this name is such a matrix.
    pub(crate) fn is(self, tensor: &str) -> bool {
        let modules = match self {
            Self::QProj => ["q_proj"; 2],
            Self::KProj => ["k_proj"; 2],
            Self::VProj => ["v_proj"; 2],
            Self::OProj => ["o_proj"; 2],
            Self::GateProj => ["gate_proj", "w1"],
            Self::UpProj => ["up_proj", "w3"],
            Self::DownProj => ["down_proj", "w2"],
        };
        module(tensor).is_some_and(|module| modules.contains(&module))
    }
}

/// The last word of a weight's name before `.weight`.
fn module(tensor: &str) -> Option<&str> {
    tensor.strip_suffix(".weight")?.rsplit('.').next()
}

/// The names of A and B of the matrix `tensor`, as PEFT writes them.
pub(crate) fn names(tensor: &str) -> [String; 2] {
    let module = tensor.strip_suffix(".weight").unwrap_or(tensor);
    ["lora_A", "lora_B"].map(|half| format!("base_model.model.{module}.{half}.weight"))
}

/// Trained adapters, apart from the model that they were trained on.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// Rows of A and columns of B.
    pub rank: usize,
    /// What B·A is multiplied by, times the rank.
    pub alpha: f64,
    /// A (rank, in) and B (out, rank) of each matrix, by PEFT's names.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Adapter {
    /// Writes a folder that PEFT loads onto the model that training started from: `adapter_config.json` and
    /// `adapter_model.safetensors`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), flow_model::Error> {
        let write = |path: &Path, text: String| {
            let failed = |source| flow_model::Error::Write { path: path.into(), source };
            std::fs::create_dir_all(dir).and_then(|()| std::fs::write(path, text)).map_err(failed)
        };
        write(&dir.join("adapter_config.json"), self.config())?;
        flow_model::save_tensors(&dir.join("adapter_model.safetensors"), &self.tensors)
    }

    fn config(&self) -> String {
        let half = |name: &String| name.strip_suffix(".lora_A.weight").map(str::to_owned);
        let last = |module: String| module.rsplit('.').next().map(|word| format!("    \"{word}\""));
        let modules: BTreeSet<String> = self.tensors.keys().filter_map(half).filter_map(last).collect();
        let modules: Vec<String> = modules.into_iter().collect();
        format!(
            "{{\n  \"base_model_name_or_path\": null,\n  \"bias\": \"none\",\n  \"fan_in_fan_out\": false,\n  \
             \"inference_mode\": true,\n  \"lora_alpha\": {},\n  \"lora_dropout\": 0.0,\n  \"peft_type\": \"LORA\",\n  \
             \"r\": {},\n  \"target_modules\": [\n{}\n  ],\n  \"task_type\": \"CAUSAL_LM\"\n}}\n",
            self.alpha,
            self.rank,
            modules.join(",\n"),
        )
    }
}
