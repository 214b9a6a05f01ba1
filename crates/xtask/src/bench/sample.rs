//! `cargo xtask bench sample`: drawing beside PyTorch and llama.cpp over the same weights, draws that share their prompt, and draws of mixed
//! lengths.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::Place;
use super::verify::{environment, output};

/// The peers, at the versions that were measured; `xllamacpp` is llama.cpp, built.
const PEERS: [&str; 5] =
    ["torch==2.15.0", "transformers==5.23.0", "xllamacpp==2026.10.11549", "gguf==0.19.0", "numpy==2.4.6"];

/// Models by name: width, layers, vocabulary.
const MODELS: [(&str, [&str; 3]); 3] =
    [("3.5 M", ["256", "4", "1000"]), ("15 M", ["512", "4", "4096"]), ("61 M", ["768", "8", "4096"])];

/// Tokens drawn for each prompt.
const TOKENS: &str = "64";

/// Times each side runs, in turn, so that all see the same machine; the fastest counts.
const TURNS: usize = 3;

/// What is run.
struct Bench {
    engine: PathBuf,
    python: PathBuf,
    torch: PathBuf,
    llama_cpp: PathBuf,
    models: PathBuf,
}

/// All tables; `short`: of the smallest model only.
pub(super) fn tables(place: &Place, short: bool) -> Result<String, String> {
    let python = place.root.join("target/bench/torch");
    PEERS.iter().try_for_each(|peer| environment(&python, peer).map(drop))?;
    let bench = Bench {
        engine: example(place, "flow-sampler", "paired")?,
        python: python.join("bin/python"),
        torch: place.root.join("crates/xtask/src/bench/sample.py"),
        llama_cpp: place.root.join("tests/interop/llama_cpp.py"),
        models: place.root.join("target/bench/sample"),
    };
    let mut text = String::from(
        "| parameters | sequences | Flow tok/s | hand-written loop | times | `generate` | times | llama.cpp | times | matrix products alone | part |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for (name, shape) in MODELS.iter().take(if short { 1 } else { MODELS.len() }) {
        let model = bench.models.join(name.replace(' ', "-"));
        output(Command::new(&bench.engine).arg("make").arg(&model).args(shape))?;
        for sequences in ["64", "256"] {
            let row = bench.row(&model, sequences)?;
            writeln!(text, "| {name} | {sequences} | {row}").expect("a String takes all that is written");
        }
    }
    let smallest = bench.models.join("3.5-M");
    Ok(format!("{text}\n{}\n{}", bench.shared(&smallest)?, bench.mixed(&smallest)?))
}

/// What a run of the engine tells.
#[derive(Clone, Copy)]
struct Told {
    tokens_per_s: f64,
    occupancy: f64,
    cache_mib: f64,
    planned_mib: f64,
}

impl Bench {
    fn row(&self, model: &Path, sequences: &str) -> Result<String, String> {
        let [mut ours, mut by_hand, mut generate, mut llama_cpp, mut limit] = [0.0f64; 5];
        for _ in 0..TURNS {
            ours = ours.max(self.ours(model, &[sequences, TOKENS, "1"])?.tokens_per_s);
            by_hand = by_hand.max(self.theirs(&self.torch, "loop", model, &[sequences, TOKENS])?);
            generate = generate.max(self.theirs(&self.torch, "generate", model, &[sequences, TOKENS])?);
            llama_cpp = llama_cpp.max(self.theirs(&self.llama_cpp, "draw", model, &[sequences, TOKENS])?);
            limit = limit.max(self.theirs(&self.torch, "limit", model, &[])?);
        }
        Ok(format!(
            "{ours:.0} | {by_hand:.0} | {:.1} | {generate:.0} | {:.1} | {llama_cpp:.0} | {:.1} | {limit:.0} | {:.0} % |",
            ours / by_hand,
            ours / generate,
            ours / llama_cpp,
            100.0 * ours / limit
        ))
    }

    /// Sixteen draws of each prompt of 200 tokens, that share it or read it for themselves.
    fn shared(&self, model: &Path) -> Result<String, String> {
        let (mut together, mut alone) = (Vec::new(), Vec::new());
        for _ in 0..TURNS {
            together.push(self.ours(model, &["256", TOKENS, "16"])?);
            alone.push(self.ours(model, &["256", TOKENS, "16", "alone"])?);
        }
        let (together, alone) = (fastest(together), fastest(alone));
        Ok(format!(
            "| 16 draws of each 200-token prompt | tok/s | keys and values, MiB |\n| --- | --- | --- |\n\
             | the prompt read once | {:.0} | {:.0} |\n| read for each draw | {:.0} | {:.0} |\n| times | {:.1} | {:.2} |\n",
            together.tokens_per_s,
            together.cache_mib,
            alone.tokens_per_s,
            alone.cache_mib,
            together.tokens_per_s / alone.tokens_per_s,
            together.cache_mib / alone.cache_mib
        ))
    }

    /// Draws of 8 to 512 tokens.
    fn mixed(&self, model: &Path) -> Result<String, String> {
        let Told { tokens_per_s, occupancy, cache_mib, planned_mib } =
            self.ours(model, &["1024", "512", "1", "mixed"])?;
        Ok(format!(
            "| 1,024 draws of 8 to 512 tokens | |\n| --- | --- |\n| tok/s | {tokens_per_s:.0} |\n\
             | places of a step taken | {:.1} % |\n| keys and values, MiB | {cache_mib:.0} of {planned_mib:.0} planned |\n",
            100.0 * occupancy
        ))
    }

    fn ours(&self, model: &Path, arguments: &[&str]) -> Result<Told, String> {
        let text = output(Command::new(&self.engine).arg("run").arg(model).args(arguments))?;
        match text.split_whitespace().map(str::parse).collect::<Result<Vec<f64>, _>>().as_deref() {
            Ok(&[tokens_per_s, occupancy, cache_mib, planned_mib]) => {
                Ok(Told { tokens_per_s, occupancy, cache_mib, planned_mib })
            }
            _ => Err(format!("expected four numbers, found {text}")),
        }
    }

    /// What a script measures of a peer.
    fn theirs(&self, script: &Path, what: &str, model: &Path, arguments: &[&str]) -> Result<f64, String> {
        let mut command = Command::new(&self.python);
        let text = output(command.arg(script).arg(what).arg(model).args(arguments))?;
        text.trim().parse().map_err(|_| format!("expected tokens per second, found {text}"))
    }
}

fn fastest(runs: Vec<Told>) -> Told {
    let faster = |a: Told, b: Told| if b.tokens_per_s > a.tokens_per_s { b } else { a };
    runs.into_iter().reduce(faster).expect("there is at least one turn")
}

/// Builds an example of a crate.
pub(super) fn example(place: &Place, crate_name: &str, name: &str) -> Result<PathBuf, String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["build", "--release", "--quiet", "-p", crate_name, "--example", name]);
    output(cargo.current_dir(&place.root))?;
    Ok(place.root.join("target/release/examples").join(name))
}
