//! The devices that tests run on, here and in the crates that draw: the emulator, and the GPU of this machine.
#![allow(clippy::print_stdout, reason = "a skipped test says so")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use flow_kernels::gpu::{self, DeviceError, Emulator, Gpu};

/// The emulator, its threads ascending or descending, compiled once in each process; none where the tests say that they skip it.
pub(crate) fn emulator(descending: bool) -> Option<Emulator> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_PKG_NAME"));
    let compile = || match Emulator::compile(&folder) {
        Ok(program) => Some(program),
        Err(DeviceError::Missing { reason, .. }) => {
            assert!(std::env::var_os("CI").is_none(), "nothing is skipped where CI is set: {reason}");
            println!("skipped: {reason}");
            None
        }
        Err(error) => panic!("{error}"),
    };
    PROGRAM.get_or_init(compile).as_ref().map(|program| Emulator::start(program, descending).unwrap())
}

/// The emulator in each of these orders, and with the feature `cuda` the GPU of this machine, which must be there where `FLOW_GPU` is
/// `required`.
pub(crate) fn devices(descending: &[bool]) -> Vec<Gpu> {
    let gpu = gpu::open();
    let required = std::env::var("FLOW_GPU").is_ok_and(|wish| wish == "required");
    assert!(gpu.is_ok() || !required, "FLOW_GPU=required: {:?}", gpu.err());
    descending.iter().filter_map(|order| emulator(*order)).map(Gpu::new).chain(gpu).collect()
}
