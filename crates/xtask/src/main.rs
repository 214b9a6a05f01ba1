//! Development tasks: `cargo xtask codegen | tidy | bench NAME`.

mod bench;
mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask codegen | tidy | bench NAME [PROGRAM]

codegen   writes the generated files: schemas/pipeline.schema.json, docs/operators.md
tidy      checks what the compiler does not: dependency directions, file headers, file lengths
bench     runs PROGRAM (target/release/flow) and prints tables for BENCHMARKS.md: think-prune-train (the main job over 3 seeds
          and 2 arms), replay (200,000 recorded rows)";

/// A generated file and the arguments with which `flow` prints it.
const GENERATED: [(&str, &[&str]); 2] =
    [("schemas/pipeline.schema.json", &["schema"]), ("docs/operators.md", &["ops", "--all"])];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let faults = match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["codegen"] => codegen(),
        ["tidy"] => tidy::faults(&root()),
        ["bench", name] => bench(name, &root().join("target/release/flow")),
        ["bench", name, program] => bench(name, Path::new(program)),
        _ => vec![USAGE.to_owned()],
    };
    faults.iter().for_each(|fault| say(fault));
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bench(name: &str, program: &Path) -> Vec<String> {
    match bench::run(&bench::Place { root: root(), program: program.to_owned() }, name) {
        Ok(tables) => {
            say(&tables);
            Vec::new()
        }
        Err(error) => vec![error],
    }
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
