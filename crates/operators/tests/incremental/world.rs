//! The folder that pipelines run in, and the loop of drawing and training.

use std::fs;
use std::path::PathBuf;

use crate::{Edit, Edited};

#[path = "../../../../tests/tiny.rs"]
mod tiny;

use tiny::tiny;

/// A temporary folder with a model of random weights.
pub(crate) struct World(tempfile::TempDir);

impl World {
    pub(crate) fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        tiny().save(&world.path("policy")).unwrap();
        world
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file and returns its path as text.
    pub(crate) fn put(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.text(name)
    }

    /// A path in the folder as text.
    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Questions, and a loop that draws, balances, trains and measures.
#[derive(Default)]
pub(crate) struct Rounds {
    /// Whether each question is there, and which of three answers is known of it.
    questions: [(bool, u8); 4],
    held_out: u8,
    n: u8,
    cap: u8,
    rounds: u8,
}

impl Edited for Rounds {
    fn save(&self, world: &World, out: &str) -> String {
        let asked = self.questions.iter().enumerate().filter(|(_, (gone, _))| !gone);
        let line = |(at, (_, answer)): (usize, &(bool, u8))| {
            format!("{{\"prompt\": \"{at}+1=\", \"answer\": \"{answer}\"}}\n")
        };
        let questions = world.put("questions.jsonl", &asked.map(line).collect::<String>());
        let held_out = world.put(
            "held_out.jsonl",
            &format!("{{\"prompt\": \"5+{}=\", \"answer\": \"{}\"}}\n", self.held_out, self.held_out + 5),
        );
        format!(
            "version: 1
name: rounds
out: {out}
models: {{policy: {{path: {policy}}}}}
steps:
  questions: {{op: read, path: {questions}}}
  held_out: {{op: read, path: {held_out}}}
  attempts: {{op: sample, from: questions, model: policy, n: {n}, max_tokens: 4}}
  graded: {{op: verify, from: attempts}}
  chosen: {{op: balance, from: [graded.equal, graded.different, graded.unknown], per: prompt_id, at_most: {cap}}}
  shards: {{op: write, from: chosen, parts: 2}}
  learner: {{op: train, from: shards, start: policy, epochs: 1, batch_size: 4}}
  scores: {{op: evaluate, from: held_out, model: learner, n: 1, max_tokens: 4, metrics: [pass@1]}}
rounds: {{count: {rounds}, feed: {{policy: learner}}}}
",
            out = world.text(out),
            policy = world.text("policy"),
            n = self.n + 1,
            cap = self.cap + 1,
            rounds = self.rounds + 1,
        )
    }

    fn edit(&mut self, (what, at, to): Edit) {
        let question = &mut self.questions[usize::from(at % 4)];
        match what % 8 {
            0 | 1 => question.0 = !question.0,
            2 | 3 => question.1 = to % 3,
            4 => self.held_out = to % 4,
            5 => self.n = to % 3,
            6 => self.cap = to % 2,
            _ => self.rounds = to % 3,
        }
    }
}
