//! The program `flow`; everything is in the library, so that tests and other front ends can use it.

use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: flow_memory::Allocator = flow_memory::Allocator;

fn main() -> ExitCode {
    flow_memory::keep_freed(Duration::from_secs(10));
    flow::main_with(flow_operators::CATALOG)
}
