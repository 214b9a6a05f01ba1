//! The words of a command line, and what stands for places in them.

use std::io;
use std::path::Path;

use flow_plan::Problem;

/// What may stand in braces.
const NAMES: [&str; 4] = ["data", "start", "out", "seed"];

/// What the names in braces stand for.
pub(super) struct Places<'a> {
    pub(super) data: &'a Path,
    pub(super) start: &'a Path,
    pub(super) out: &'a Path,
    pub(super) seed: u64,
}

impl Places<'_> {
    /// The words with whole paths in the places of the names.
    pub(super) fn put_into(&self, words: &[String]) -> io::Result<Vec<String>> {
        let whole = |path: &Path| Ok::<_, io::Error>(std::path::absolute(path)?.display().to_string());
        let values = [whole(self.data)?, whole(self.start)?, whole(self.out)?, self.seed.to_string()];
        let put = |word: &String| {
            NAMES.iter().zip(&values).fold(word.clone(), |word, (name, value)| word.replace(&braced(name), value))
        };
        Ok(words.iter().map(put).collect())
    }
}

/// Names that are unknown, and a command line that cannot do its work.
pub(super) fn mistakes(words: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    if words.first().is_none_or(String::is_empty) {
        problems.push(Problem::new("run", "expected a program and its arguments"));
    }
    for (at, word) in words.iter().enumerate() {
        for name in names(word).filter(|name| !NAMES.contains(name)) {
            let problem = Problem::new(&format!("run.{at}"), format!("unknown place `{{{name}}}`"));
            problems.push(problem.with_help(flow_spec::help_with_names(name, "places", &NAMES)));
        }
    }
    for needed in ["data", "out"] {
        if !words.iter().any(|word| word.contains(&braced(needed))) {
            let message = format!("no word of `run` has `{}` in it", braced(needed));
            let help = match needed {
                "data" => "the folder with the shards stands there, such as `--data {data}`",
                _ => "the program leaves its checkpoint there, such as `--output {out}`",
            };
            problems.push(Problem::new("run", message).with_help(help));
        }
    }
    problems
}

/// Lower-case words in braces: JSON and shell code have other things there.
fn names(word: &str) -> impl Iterator<Item = &str> {
    let inside = word.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(inside, _)| inside));
    inside.filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()))
}

fn braced(name: &str) -> String {
    format!("{{{name}}}")
}
