//! Runs a file of Python in the jail and prints its outcome: `cargo run --example run -- FILE`.

use std::process::ExitCode;

use flow_sandbox::{Isolation, Limits, Sandbox, Test};

#[expect(clippy::print_stdout, reason = "an example shows its result")]
fn main() -> ExitCode {
    if let Some(code) = flow_sandbox::jail_main() {
        return code;
    }
    let shown = std::env::args().nth(1).ok_or("no file".to_owned()).and_then(|path| {
        let code = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let sandbox = Sandbox::open(Isolation::Jail).map_err(|error| error.to_string())?;
        let test = Test::StdinStdout { input: "", output: "" };
        sandbox.run(&code, &test, &Limits::default()).map_err(|error| error.to_string())
    });
    match shown {
        Ok(outcome) => println!("{outcome:#?}"),
        Err(error) => println!("{error}"),
    }
    ExitCode::SUCCESS
}
