//! What a run draws and learns on: the CPU, or a GPU where the program was built for one.

use clap::ValueEnum;
use flow_operators::pace;
use flow_sampler::{FoundGpu, find_gpu, open_gpu};

use crate::halt::Halt;
use crate::setup::Setup;
use crate::{Exit, codes};

/// What models draw and learn on; the draws are the same, trained weights nearly so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Device {
    /// A GPU where the program was built for one and one is there, the CPU otherwise.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU, or nothing.
    Cuda,
}

impl Device {
    /// Errs where a GPU is asked for and there is none.
    pub(crate) fn check(self) -> Result<(), Halt> {
        if self == Self::Cuda { self.found().map(drop) } else { Ok(()) }
    }

    /// The GPU that would be drawn on; `None`: the CPU is. Errs where a GPU is asked for and there is none.
    pub(crate) fn found(self) -> Result<Option<FoundGpu>, Halt> {
        match self {
            Self::Cuda => find_gpu().map(Some).map_err(|error| missing(&error)),
            Self::Auto if cfg!(feature = "cuda") => Ok(find_gpu().ok()),
            Self::Auto | Self::Cpu => Ok(None),
        }
    }

    /// Makes the models of `setup` draw and learn there in a process of a run that has `share_machine` on its machine, of which this is the
    /// host or not. Where they share a GPU that was not asked for, the host draws on it, and all learn on the CPU. Models that do not fit
    /// it draw on the CPU, unless it was asked for.
    ///
    /// # Errors
    /// A GPU is asked for and cannot be used.
    pub(super) fn choose(self, setup: &Setup, share_machine: usize, is_host: bool) -> Result<(), Halt> {
        if !self.draws(share_machine, is_host) {
            return Ok(());
        }
        if let Some(remark) = self.place(setup, self.learns(share_machine))? {
            setup.remarks.add(remark);
        }
        Ok(())
    }

    /// Whether a process draws there that shares its machine with so many, itself among them: a GPU that was not asked for is the host's.
    fn draws(self, share_machine: usize, is_host: bool) -> bool {
        self != Self::Auto || share_machine == 1 || is_host
    }

    /// Whether it learns there: all processes of a machine learn on one thing, since a training's key names it.
    fn learns(self, share_machine: usize) -> bool {
        self != Self::Auto || share_machine == 1
    }

    /// [`Self::choose`] for who only asks what a run of one process would do.
    pub(crate) fn foresee(self, setup: &Setup) -> Result<(), Halt> {
        self.place(setup, true).map(drop)
    }

    /// Makes the models draw there, and with `learns` learn; returns what to say of it.
    fn place(self, setup: &Setup, learns: bool) -> Result<Option<String>, Halt> {
        if self == Self::Cpu || (self == Self::Auto && !cfg!(feature = "cuda")) {
            return Ok(None);
        }
        let learns =
            learns && setup.pipeline.plan.steps.iter().any(|step| pace(step.op, &step.config).is_some());
        // A training that has a key of the GPU cannot go elsewhere, so that it is tried before.
        let found = find_gpu().and_then(|gpu| if learns { open_gpu().map(|_| gpu) } else { Ok(gpu) });
        match found {
            Ok(gpu) => {
                setup.models.draw_on_gpu((self == Self::Auto).then(|| setup.remarks.clone()));
                if learns {
                    setup.models.learn_on_gpu(&gpu);
                }
                let what = if learns { "drawing and learning" } else { "drawing" };
                Ok(Some(format!("{what} on {}", gpu.name)))
            }
            Err(error) if self == Self::Cuda => Err(missing(&error)),
            Err(error) => Ok(Some(format!("drawing and learning on the CPU: {error}"))),
        }
    }
}

/// What ends a run that asks for a GPU where there is none.
fn missing(error: &flow_sampler::DeviceError) -> Halt {
    let help = match cfg!(feature = "cuda") {
        true => "use `--device cpu`, or see that the machine has an NVIDIA driver and NVRTC",
        false => "build it with `cargo build --release --features cuda`, or leave `--device` out",
    };
    Halt::with(Exit::Invalid, codes::DEVICE.id, &error.to_string(), Some(help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_of_one_machine_do_not_take_the_gpu_from_their_host() {
        assert!(!Device::Auto.draws(2, false) && Device::Auto.draws(2, true));
        assert!(Device::Auto.draws(1, false) && Device::Auto.learns(1));
        assert!(!Device::Auto.learns(2), "host and members have one key");
        assert!(Device::Cuda.draws(2, false) && Device::Cuda.learns(2));
    }
}
