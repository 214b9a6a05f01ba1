//! `cargo xtask reproduce`: runs the arms of a method over seeds and writes what became of the paper's claims.
//!
//! A method is a file in `reproduce/methods`: its arms (a pipeline and the values set in it) and its claims. Runs share a
//! store, so an interrupted reproduction goes on where it was, and what arms have in common is computed once.

mod claim;
mod figures;
mod interval;
mod methods;
mod outcome;
mod page;

use std::path::Path;
use std::process::Command;

use crate::bench::Place;
use claim::Claim;
use flow_chart::Scale;
use outcome::Outcome;

/// A published method and what is to be shown of it.
pub(crate) struct Method {
    /// As on the command line, and the name of its page.
    name: &'static str,
    /// Title of the page.
    title: &'static str,
    /// Where it was published.
    paper: &'static str,
    /// What the runs are, in Markdown: models, data, sizes, and what differs from the paper.
    setting: &'static str,
    /// Pipelines that make the models which the arms need, once for all seeds.
    needs: &'static [Need],
    arms: &'static [Arm],
    /// Steps of `evaluate` whose scores are shown, and the measures.
    shown: &'static [(&'static str, &'static [Measure])],
    claims: &'static [Claim],
}

/// A model that a pipeline of its own makes.
struct Need {
    pipeline: &'static str,
    /// Values set in it.
    set: &'static [&'static str],
}

/// One way of running a pipeline.
struct Arm {
    name: &'static str,
    pipeline: &'static str,
    profile: Option<&'static str>,
    /// Values set in it, as `--set` takes them.
    set: &'static [&'static str],
}

/// A number that is measured of each problem.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// The chance that one of so many draws is right.
    Pass(u32),
    /// Whether the most frequent answer is right.
    Majority,
    /// Nats per token of the known solution.
    Loss,
}

impl Measure {
    fn name(self) -> String {
        match self {
            Self::Pass(k) => format!("pass@{k}"),
            Self::Majority => "majority".to_owned(),
            Self::Loss => "nats a token".to_owned(),
        }
    }

    /// What an axis of it counts.
    fn scale(self) -> Scale {
        if self == Self::Loss { Scale::Number } else { Scale::Share }
    }

    /// A value as pages tell it.
    fn told(self, value: f64) -> String {
        match self {
            Self::Loss => format!("{value:.4}"),
            _ => format!("{:.1}", 100.0 * value),
        }
    }
}

/// Seeds of a reproduction: other ones than those with which settings were chosen.
const SEEDS: [u64; 3] = [101, 102, 103];

/// Reproduces one method, or all of them, and writes their pages; returns what was written.
pub(crate) fn reproduce(place: &Place, name: Option<&str>) -> Result<String, String> {
    let chosen: Vec<&Method> = methods::METHODS
        .iter()
        .copied()
        .filter(|method| name.is_none_or(|name| name == method.name))
        .collect();
    if chosen.is_empty() {
        let names: Vec<&str> = methods::METHODS.iter().map(|method| method.name).collect();
        let message = format!("there is no method `{}`", name.unwrap_or_default());
        return Err(format!("{message}; there are {}", names.join(", ")));
    }
    let written: Result<Vec<String>, String> = chosen.iter().map(|method| page_of(place, method)).collect();
    Ok(written?.join("\n"))
}

fn page_of(place: &Place, method: &Method) -> Result<String, String> {
    for (at, need) in method.needs.iter().enumerate() {
        let out = format!("out=target/reproduce/{}/need-{at}", method.name);
        let set = need.set.iter().copied().chain([out.as_str()]).flat_map(|set| ["--set", set]);
        flow(place, method, &["exec", need.pipeline].into_iter().chain(set).collect::<Vec<_>>())?;
    }
    let mut outcomes = Vec::new();
    for seed in SEEDS {
        for arm in method.arms {
            outcomes.push(run(place, method, arm, seed)?);
        }
    }
    let figures = figures::figures(method, &outcomes);
    let text = page::page(method, &outcomes, &figures)?;
    for figure in &figures {
        write(place, &figure.file, &figure.svg.file())?;
    }
    write(place, &format!("{}.md", method.name), &text)
}

/// Writes a file of `docs/methods`; returns its path.
fn write(place: &Place, name: &str, text: &str) -> Result<String, String> {
    let path = Path::new("docs/methods").join(name);
    let whole = place.root.join(&path);
    std::fs::create_dir_all(whole.parent().unwrap_or(&place.root))
        .and_then(|()| std::fs::write(&whole, text))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

/// Runs `arm`, or what is left of it, and reads what became of it.
fn run(place: &Place, method: &Method, arm: &'static Arm, seed: u64) -> Result<Outcome, String> {
    let out = format!("target/reproduce/{}/{}-{seed}", method.name, arm.name);
    let mut words = vec!["exec".to_owned(), arm.pipeline.to_owned()];
    words.extend(arm.profile.iter().flat_map(|profile| ["--profile".to_owned(), (*profile).to_owned()]));
    let own =
        [format!("seed={seed}"), format!("name={}-{}-{seed}", method.name, arm.name), format!("out={out}")];
    let set = arm.set.iter().map(|set| (*set).to_owned()).chain(own);
    words.extend(set.flat_map(|set| ["--set".to_owned(), set]));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    flow(place, method, &words)?;
    Outcome::read(arm, seed, &place.root.join(out))
}

/// Runs `flow` over the method's own store; what it says goes to where this program's words go.
fn flow(place: &Place, method: &Method, words: &[&str]) -> Result<(), String> {
    let store = format!("target/reproduce/{}/store", method.name);
    let mut command = Command::new(&place.program);
    command.args(words).args(["--store", &store]).current_dir(&place.root);
    let status =
        command.status().map_err(|error| format!("cannot run {}: {error}", place.program.display()))?;
    if status.success() { Ok(()) } else { Err(format!("`flow {}` ended with {status}", words.join(" "))) }
}
