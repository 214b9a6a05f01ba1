//! Random pipelines over recorded draws: every operator that needs no model.

use std::fmt::Write;

use proptest::prelude::*;

use crate::world::World;
use crate::{Edit, Edited};

/// What the rows of an outlet have, each with what those before it have, but for votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rows {
    Votes,
    Prompts,
    Draws,
    Answers,
}

/// (kind of operator, which earlier outlet it reads) for every step after the source, and the first values of all keys.
pub(crate) type Recipe = (Vec<(u8, u8)>, [u8; 8]);

pub(crate) fn recipe() -> impl Strategy<Value = Recipe> {
    (proptest::collection::vec((any::<u8>(), any::<u8>()), 1..8), any::<[u8; 8]>())
}

/// A recipe with its data.
pub(crate) struct Recorded {
    steps: Vec<(u8, u8)>,
    keys: [u8; 8],
    /// Prompt, known answer, stated answer.
    draws: Vec<[u8; 3]>,
    held_out: u8,
}

impl Recorded {
    pub(crate) fn new((steps, keys): Recipe) -> Self {
        Self { steps, keys, draws: (0..24).map(|at| [at % 6, at % 6 % 3, at * 7 % 4]).collect(), held_out: 0 }
    }

    /// The steps behind the source, and those that publish what nobody reads.
    fn steps(&self, held_out: &str) -> String {
        let mut outlets = vec![("draws".to_owned(), Rows::Draws)];
        let mut yaml = String::new();
        for (at, (kind, from)) in self.steps.iter().enumerate() {
            let key = self.keys[at];
            let (op, needs, makes, ports) = operator(*kind, key, held_out);
            let fit: Vec<&(String, Rows)> = outlets.iter().filter(|(_, rows)| *rows >= needs).collect();
            let Some((name, rows)) = fit.get(usize::from(*from) % fit.len().max(1)) else { continue };
            writeln!(yaml, "  step{at}: {{op: {op}, from: {name}}}").unwrap();
            let made =
                makes.map_or(*rows, |makes| if makes == Rows::Answers { (*rows).max(makes) } else { makes });
            outlets.extend(ports.iter().map(|port| (format!("step{at}{port}"), made)));
        }
        for (at, (name, _)) in outlets.iter().enumerate().rev().take(3) {
            writeln!(yaml, "  out{at}: {{op: write, from: {name}, parts: {}}}", 1 << (self.keys[7] % 3))
                .unwrap();
        }
        let draws = outlets.iter().filter(|(_, rows)| *rows == Rows::Answers).map(|(name, _)| name.as_str());
        let several: Vec<&str> = draws.collect();
        if several.len() > 1 {
            writeln!(yaml, "  all: {{op: write, from: [{}], parts: 1}}", several.join(", ")).unwrap();
        }
        yaml
    }
}

/// The keys of an operator, what its rows must have, what those that leave it have, and the ends of its outlets' names.
fn operator(kind: u8, key: u8, held_out: &str) -> (String, Rows, Option<Rows>, &'static [&'static str]) {
    let k = key % 3 + 1;
    match kind % 9 {
        0 | 1 => {
            let compare = ["math", "numeric", "exact"][usize::from(key % 3)];
            let ports = &[".equal", ".different", ".unknown", ".rejected"];
            (format!("verify, compare: {compare}"), Rows::Draws, Some(Rows::Answers), &ports[..3])
        }
        2 => (format!("balance, per: prompt_id, at_most: {k}"), Rows::Prompts, None, &[""]),
        3 => {
            let options = format!("at_least: 1, at_most: 4, rows: {}, by: answer", key % 16 + 1);
            (format!("balance, per: prompt_id, {options}"), Rows::Prompts, None, &[""])
        }
        4 => {
            let columns = ["[prompt, completion]", "[completion]", "[prompt]"][usize::from(key % 3)];
            (format!("dedup, columns: {columns}"), Rows::Draws, None, &[""])
        }
        5 => (
            format!("extract, extract: {}", ["auto", "final_line", "last_number"][usize::from(key % 3)]),
            Rows::Draws,
            Some(Rows::Answers),
            &[""],
        ),
        6 => ("vote".to_owned(), Rows::Answers, Some(Rows::Votes), &[""]),
        7 => (
            format!("decontaminate, n: {k}, against: {{held: {{path: {held_out}}}}}"),
            Rows::Prompts,
            None,
            &[""],
        ),
        _ => ("critique, by: equations".to_owned(), Rows::Draws, None, &[".sound", ".flawed"]),
    }
}

impl Edited for Recorded {
    fn save(&self, world: &World, out: &str) -> String {
        let line = |[prompt, known, stated]: &[u8; 3]| match stated {
            0 => format!(
                "{{\"prompt\": \"question {prompt}\", \"answer\": \"{known}\", \"completion\": \"1+1=3\"}}\n"
            ),
            9 => format!("{{\"prompt\": \"question {prompt}\n"),
            _ => format!(
                "{{\"prompt\": \"question {prompt}\", \"answer\": \"{known}\", \"completion\": \"1+1=2\\n#### {stated}\"}}\n"
            ),
        };
        let draws = world.put("draws.jsonl", &self.draws.iter().map(line).collect::<String>());
        let held_out = world.put(
            &format!("held{}.jsonl", self.held_out),
            &format!("{{\"prompt\": \"the question {}\"}}\n", self.held_out),
        );
        format!(
            "version: 1\nname: recorded\nout: {}\nsteps:\n  draws: {{op: replay, path: {draws}}}\n{}",
            world.text(out),
            self.steps(&held_out)
        )
    }

    fn edit(&mut self, (what, at, to): Edit) {
        let draw = usize::from(at) % self.draws.len().max(1);
        match what % 10 {
            0 => self.keys[usize::from(at % 8)] = to,
            1 => self.held_out = to % 6,
            2 if !self.draws.is_empty() => drop(self.draws.remove(draw)),
            3 => self.draws.insert(draw, [to % 8, to % 3, to % 5]),
            4 => self.draws.push([to % 8, to % 3, 9]),
            5 | 6 => {
                let of_prompt = self.draws.iter_mut().filter(|draw| draw[0] == at % 6);
                of_prompt.for_each(|draw| draw[1] = to % 4);
            }
            7 if !self.draws.is_empty() => self.draws.swap(0, draw),
            8 => self.steps.reverse(),
            _ => self.draws.iter_mut().skip(draw).take(1).for_each(|draw| draw[2] = to % 5),
        }
    }
}
