//! What a program may use up.

use serde::{Deserialize, Serialize};

/// What a program may use up in one run.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// Processor time in seconds, all threads together, at least 1.
    pub cpu_s: u32,
    /// Time by the clock in milliseconds, the interpreter's start included, at least 1.
    pub wall_ms: u32,
    /// Address space in bytes. The interpreter itself needs about 40 MiB. What lies in files comes on top.
    pub memory_bytes: u64,
    /// Output in bytes, for stdout and stderr each.
    pub output_bytes: u64,
    /// What all files together hold, in bytes. There may be a thousand of them.
    pub disk_bytes: u64,
    /// Threads, the first included, at least 1.
    pub threads: u32,
    /// Files open at once, the interpreter's own included, at least 16.
    pub open_files: u32,
}

impl Default for Limits {
    /// 5 s of processor, 10 s by the clock, 512 MiB of memory, 1 MiB of output, 16 MiB of files, 16 threads, 64 open files.
    fn default() -> Self {
        Self {
            cpu_s: 5,
            wall_ms: 10_000,
            memory_bytes: 512 << 20,
            output_bytes: 1 << 20,
            disk_bytes: 16 << 20,
            threads: 16,
            open_files: 64,
        }
    }
}
