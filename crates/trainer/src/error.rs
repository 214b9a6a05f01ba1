//! Why a model could not be trained.

/// A failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Every part of the model is frozen.
    #[error("every part of the model is frozen, so that nothing could learn: leave one out of `freeze`")]
    AllFrozen,
    /// A setting is out of its range.
    #[error("training setting `{key}` has the value {found}, expected {expected}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
    /// A weight is not a number of 0 or more.
    #[error("example {at} has the weight {found}, expected a finite number of 0 or more")]
    Weight {
        /// Its place, counted from 1.
        at: usize,
        /// Its weight.
        found: f64,
    },
    /// An example is no pair to learn a preference from.
    #[error("example {at} has {lack}; direct preference optimisation needs two different completions")]
    NoPair {
        /// Its place, counted from 1.
        at: usize,
        /// What is wrong with it.
        lack: &'static str,
    },
    /// An example has a rejected completion, and the loss is not about preferences.
    #[error(
        "example {at} has a rejected completion, which cross-entropy does not learn from; use the loss `dpo`"
    )]
    Pair {
        /// Its place, counted from 1.
        at: usize,
    },
    /// No example has a completion token within `max_length`.
    #[error("none of {examples} examples has a completion token to learn from{why}")]
    NothingToLearn {
        /// Examples given.
        examples: usize,
        /// What cuts them and what to do, from the comma on; empty where none is cut.
        why: String,
    },
    /// No validation example has a completion token within `max_length`.
    #[error("none of {examples} validation examples has a completion token to measure")]
    NothingToValidate {
        /// Examples given.
        examples: usize,
    },
    /// Loss or gradient became infinite or not a number.
    #[error(
        "training diverged at step {step}: loss {loss}, gradient norm {grad_norm}; lower `learning_rate` (it peaks at {learning_rate:e})"
    )]
    Diverged {
        /// The step, counted from 1.
        step: usize,
        /// Its loss.
        loss: f64,
        /// Its gradient norm before clipping.
        grad_norm: f64,
        /// The peak learning rate of the run.
        learning_rate: f64,
    },
    /// Checkpoints that are to become one do not fit together.
    #[error("checkpoint {at} has {what} than the first; all must come from one seed model")]
    Unlike {
        /// Its place, counted from 1.
        at: usize,
        /// What differs: `another shape` or `another tokenizer`.
        what: &'static str,
    },
    /// Only a dense checkpoint can be upcycled.
    #[error("upcycling needs a dense checkpoint, this one has {experts} experts")]
    NotDense {
        /// Its routed experts.
        experts: usize,
    },
    /// No family of checkpoints has the mixture that a dense checkpoint would become.
    #[error(
        "no family of checkpoints has experts of this kind beside what a `{family}` checkpoint has: {parts}; see `docs/models.md` for which go together"
    )]
    NoMixture {
        /// The family of the dense checkpoint.
        family: &'static str,
        /// What its layers have beyond Llama's.
        parts: String,
    },
    /// Adapters do not go with the model.
    #[error(
        "adapters do not go with mixtures of attention, ternary experts and shared experts of four bits a weight; train without `lora` and `freeze` what is to stay"
    )]
    NotAdaptable,
    /// A shared expert of four bits a weight is to learn.
    #[error(
        "the shared expert has weights of four bits, which do not learn: add `shared_expert` to `freeze`, or leave `freeze` out"
    )]
    SharedExpertLearns,
    /// The model has none of the matrices that are to have adapters.
    #[error("the model has none of the matrices that `lora.targets` names")]
    NoTarget,
    /// The state of a run could not be written.
    #[error("cannot write the state of the training to {path}")]
    Save {
        /// The file.
        path: std::path::PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The checkpoint or its tokenizer failed.
    #[error("cannot use the checkpoint")]
    Model(#[from] flow_model::Error),
    /// The device lacks what the model needs.
    #[error(transparent)]
    Device(#[from] flow_kernels::gpu::DeviceError),
    /// A tensor operation failed.
    #[error("cannot compute the step")]
    Tensor(#[from] candle_core::Error),
    /// Threads could not be started.
    #[error("cannot start the training threads")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}
