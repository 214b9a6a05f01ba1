//! Limits on resources that the kernel keeps for each process.

use nix::Result;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::Limits;

/// The stack, in bytes, of each thread. Programs may raise it for deep recursion, up to their memory.
const STACK_BYTES: u64 = 8 << 20;

/// Limits this process and the program that it becomes.
pub(super) fn limit(limits: &Limits) -> Result<()> {
    let (_, most_stack) = getrlimit(Resource::RLIMIT_STACK)?;
    setrlimit(Resource::RLIMIT_STACK, STACK_BYTES.min(most_stack), most_stack)?;
    for (resource, most) in [
        (Resource::RLIMIT_CPU, limits.cpu_s.into()),
        (Resource::RLIMIT_FSIZE, limits.disk_bytes),
        (Resource::RLIMIT_NOFILE, limits.open_files.into()),
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_MEMLOCK, 0),
        (Resource::RLIMIT_MSGQUEUE, 0),
        (Resource::RLIMIT_RTPRIO, 0),
        (Resource::RLIMIT_SIGPENDING, 64),
        (Resource::RLIMIT_AS, limits.memory_bytes),
    ] {
        setrlimit(resource, most, most)?;
    }
    Ok(())
}

/// Limits the threads of the user namespace that is made next. Without one the limit would be the user's whole.
pub(super) fn limit_threads(limits: &Limits) -> Result<()> {
    setrlimit(Resource::RLIMIT_NPROC, limits.threads.into(), limits.threads.into())
}
