//! What a run draws and learns on: the CPU, or a GPU where the program was built for one.

use clap::ValueEnum;
use flow_sampler::FoundGpu;

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
    /// What the member of a run draws on, of so many processes on its machine: where they share one, the GPU is the host's, unless it
    /// was asked for.
    pub(super) fn of_member(self, share_machine: usize) -> Self {
        if self == Self::Auto && share_machine > 1 { Self::Cpu } else { self }
    }

    /// Errs where a GPU is asked for and there is none.
    pub(crate) fn check(self) -> Result<(), Halt> {
        if self == Self::Cuda { self.found().map(drop) } else { Ok(()) }
    }

    /// The GPU that would be drawn on; `None`: the CPU is. Errs where a GPU is asked for and there is none.
    pub(crate) fn found(self) -> Result<Option<FoundGpu>, Halt> {
        match self {
            Self::Cuda => flow_sampler::find_gpu().map(Some).map_err(|error| missing(&error)),
            Self::Auto if cfg!(feature = "cuda") => Ok(flow_sampler::find_gpu().ok()),
            Self::Auto | Self::Cpu => Ok(None),
        }
    }

    /// Makes the models of `setup` draw and learn there. Errs where a GPU is asked for and cannot be used. Models that do not fit it draw
    /// on the CPU, unless it was asked for.
    pub(super) fn choose(self, setup: &Setup) -> Result<(), Halt> {
        if let Some(remark) = self.place(setup)? {
            setup.remarks.add(remark);
        }
        Ok(())
    }

    /// [`Self::choose`], for who only asks what a run there would do; returns what to say of it.
    pub(crate) fn place(self, setup: &Setup) -> Result<Option<String>, Halt> {
        if self == Self::Cpu || (self == Self::Auto && !cfg!(feature = "cuda")) {
            return Ok(None);
        }
        match flow_sampler::find_gpu() {
            Ok(gpu) => {
                setup.models.use_gpu(&gpu.name, (self == Self::Auto).then(|| setup.remarks.clone()));
                Ok(Some(format!("drawing and learning on {}", gpu.name)))
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
        assert_eq!(Device::Auto.of_member(2), Device::Cpu);
        assert_eq!(Device::Auto.of_member(1), Device::Auto);
        assert_eq!(Device::Cuda.of_member(2), Device::Cuda);
    }
}
