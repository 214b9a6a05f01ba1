//! The smallest program that can be a jail: for tests, and for hosts that do not want to start themselves again.

use std::process::ExitCode;

fn main() -> ExitCode {
    flow_sandbox::jail_main().unwrap_or(ExitCode::from(2))
}
