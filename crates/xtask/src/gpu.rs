//! What can only be seen on a GPU: every kernel, whole models and trainings beside the CPU, and how fast they are.

use std::path::Path;
use std::process::Command;

/// The feature and package of each call.
const ON_GPU: [&str; 5] = ["--release", "-p", "flow-sampler", "--features", "cuda"];

/// Builds what is needed, looks for the GPU, holds kernels, models and trainings to the CPU and measures them; returns tables for
/// BENCHMARKS.md.
pub(crate) fn gpu(root: &Path) -> Result<String, String> {
    let name = cargo(root, &[&["run"], &ON_GPU[..], &["--example", "gpu", "--", "probe"]].concat())
        .map_err(|said| format!("no kernel was run: {}", last_line(&said)))?;
    let kernels = ["test", "--release", "-p", "flow-kernels", "--features", "cuda"];
    cargo(root, &kernels).map_err(|said| format!("a kernel differs from the CPU:\n{said}"))?;
    let models = [&["test"], &ON_GPU[..], &["--test", "gpu"]].concat();
    cargo(root, &models).map_err(|said| format!("a model draws otherwise than on the CPU:\n{said}"))?;
    let trained =
        ["test", "--release", "-p", "flow-trainer", "--features", "cuda", "--test", "trainer", "device"];
    cargo(root, &trained).map_err(|said| format!("a training goes otherwise than on the CPU:\n{said}"))?;
    let draws = cargo(root, &[&["run"], &ON_GPU[..], &["--example", "gpu", "--", "bench"]].concat())?;
    let learns =
        ["run", "--release", "-p", "flow-trainer", "--features", "cuda", "--example", "gpu_learning"];
    let steps = cargo(root, &learns)?;
    let (name, draws, steps) = (name.trim(), draws.trim(), steps.trim());
    Ok(format!("draws have the bits of the CPU on {name}, trainings its gradients\n{draws}\n\n{steps}"))
}

/// What cargo's program prints; where it fails, all that was said. Tests may not go without the GPU.
fn cargo(root: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("cargo").args(arguments).env("FLOW_GPU", "required").current_dir(root).output();
    let output = output.map_err(|error| format!("cargo cannot be started: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{}{}", text(&output.stdout), text(&output.stderr))),
    }
}

/// The last line that says something.
fn last_line(said: &str) -> &str {
    said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("nothing was said")
}
