//! One word problem: its text, its worked solution and its answer.

use flow_data::{Id, Value};

use super::domain::Domain;
use super::wording::{Fact, Phrasing, Words};
use crate::random::below;
use crate::read::content_id;

/// Facts that are beside the point.
const DISTRACTORS: [Words; 6] = [
    Words { plain: "Room {n}.", varied: &["The room has {n} chairs."], unseen: &["All this is on page {n}."] },
    Words { plain: "Bus {n}.", varied: &["Bus {n} goes by."], unseen: &["Train {n} is late today."] },
    Words { plain: "It is {n} C.", varied: &["It is {n} degrees."], unseen: &["The wind blows at {n} knots."] },
    Words { plain: "A cat is {n}.", varied: &["A cat is {n} years old."], unseen: &["The oldest dog is {n}."] },
    Words { plain: "Hall {n}.", varied: &["There are {n} lamps in the hall."], unseen: &["A lamp costs {n}."] },
    Words { plain: "Gate {n}.", varied: &["Gate {n} is closed."], unseen: &["Nobody uses gate {n}."] },
];

/// Most facts beside the point in one problem.
pub(super) const MOST_DISTRACTORS: usize = DISTRACTORS.len();

/// What kind of problem is to be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Task {
    pub(super) domain: Domain,
    /// Steps of the solution, at least 1.
    pub(super) level: u32,
    /// Largest number that a problem begins with, or that it adds at once.
    pub(super) largest: usize,
    pub(super) phrasing: Phrasing,
    /// Facts beside the point, at most [`MOST_DISTRACTORS`].
    pub(super) distractors: usize,
}

/// What a domain makes up: what is given and asked, and how it is solved.
pub(super) struct Worked {
    /// What is given, in order.
    pub(super) given: Vec<Fact>,
    /// What is asked.
    pub(super) asked: Fact,
    /// The solution's equations, one for each step.
    pub(super) equations: Vec<String>,
    pub(super) answer: usize,
}

/// A problem and its solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    domain: Domain,
    level: u32,
    text_id: Id,
    prompt: String,
    solution: String,
    answer: usize,
}

impl Problem {
    /// A problem from a random state.
    pub(super) fn draw(state: &mut u64, task: &Task) -> Self {
        let worked = task.domain.draw(state, task.level, task.largest);
        let facts = worked.given.iter().chain([&worked.asked]);
        let text_id = Id::of("problem", [text(facts.map(Fact::plain)).as_bytes()]);
        let mut solution = worked.equations.join("\n");
        solution.push_str(&format!("\n#### {}", worked.answer));
        let (domain, level) = (task.domain, task.level);
        Self { domain, level, text_id, prompt: prompt(state, task, &worked), solution, answer: worked.answer }
    }

    /// Identity of the plain text without distractors: what makes problems distinct and splits them, so that no
    /// problem is held out in one wording and learned from in another.
    pub(super) fn text_id(&self) -> Id {
        self.text_id
    }

    /// The cells of the record `prompt`, and the domain.
    pub(super) fn cells(self) -> Vec<Value> {
        let prompt: Value = self.prompt.into();
        let level = i64::from(self.level).into();
        let answer = self.answer.to_string().into();
        vec![content_id(&prompt, 0), prompt, answer, self.solution.into(), level, self.domain.name().into()]
    }
}

/// The problem in the words of its task, with what is beside the point among what is given.
fn prompt(state: &mut u64, task: &Task, worked: &Worked) -> String {
    let mut said: Vec<String> = worked.given.iter().map(|fact| fact.say(task.phrasing, state)).collect();
    let mut beside: Vec<&'static Words> = DISTRACTORS.iter().collect();
    for _ in 0..task.distractors {
        let words = beside.swap_remove(below(state, beside.len()));
        let fact = Fact::new(words, [("n", &(2 + below(state, task.largest - 1)))]);
        let at = 1 + below(state, said.len());
        said.insert(at, fact.say(task.phrasing, state));
    }
    said.push(worked.asked.say(task.phrasing, state));
    text(said)
}

/// Sentences as one text that ends in a line break.
fn text(said: impl IntoIterator<Item = String>) -> String {
    let mut text = String::new();
    for sentence in said.into_iter().filter(|sentence| !sentence.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&sentence);
    }
    text.push('\n');
    text
}
