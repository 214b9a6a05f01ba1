//! Development tasks: `cargo xtask codegen | tidy`.

mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask codegen | tidy

codegen   writes the generated files: schemas/pipeline.schema.json, docs/operators.md
tidy      checks what the compiler does not: dependency directions, file headers, file lengths";

/// A generated file and the arguments with which `flow` prints it.
const GENERATED: [(&str, &[&str]); 2] =
    [("schemas/pipeline.schema.json", &["schema"]), ("docs/operators.md", &["ops", "--all"])];

fn main() -> ExitCode {
    let task = std::env::args().nth(1);
    let faults = match task.as_deref() {
        Some("codegen") => codegen(),
        Some("tidy") => tidy::faults(&root()),
        _ => vec![USAGE.to_owned()],
    };
    faults.iter().for_each(|fault| say(fault));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn codegen() -> Vec<String> {
    GENERATED.iter().filter_map(|(path, arguments)| generate(&root().join(path), arguments).err()).collect()
}

fn generate(path: &Path, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["run", "--quiet", "--release", "--package", "flow", "--"])
        .args(arguments)
        .current_dir(root());
    let output = command.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let folder = path.parent().expect("generated files lie in folders of the repository");
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, output.stdout))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[expect(clippy::print_stderr, reason = "a task speaks to the developer who runs it")]
fn say(text: &str) {
    eprintln!("{text}");
}
