//! What a run draws on: the CPU, or a GPU where the program was built for one.

use clap::ValueEnum;

use crate::halt::Halt;
use crate::setup::Setup;
use crate::{Exit, codes};

/// What models are drawn from on; the draws are the same.
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
    /// Makes the models of `setup` draw there. Errs where a GPU is asked for and cannot be used.
    pub(super) fn choose(self, setup: &Setup) -> Result<(), Halt> {
        let built = cfg!(feature = "cuda");
        if self == Self::Cpu || (self == Self::Auto && !built) {
            return Ok(());
        }
        match flow_sampler::open_gpu() {
            Ok(gpu) => {
                setup.models.draw_on_gpu();
                setup.remarks.add(format!("drawing on {}", gpu.name()));
            }
            Err(error) if self == Self::Cuda => {
                let help = match built {
                    true => "use `--device cpu`, or see that the machine has an NVIDIA driver and NVRTC",
                    false => "build it with `cargo build --release --features cuda`, or leave `--device` out",
                };
                let message = error.to_string();
                return Err(Halt::with(Exit::Invalid, codes::DEVICE.id, &message, Some(help)));
            }
            Err(error) => setup.remarks.add(format!("drawing on the CPU: {error}")),
        }
        Ok(())
    }
}
