//! The program `flow`; everything is in the library, so that tests and other front ends can use it.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: flow_memory::Allocator = flow_memory::Allocator;

fn main() -> ExitCode {
    flow::main_with(flow_operators::CATALOG)
}
