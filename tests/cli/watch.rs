//! A pipeline that is kept up: after every edit it publishes what a run from nothing would, and says what happened.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::bench::{Bench, COPY, QUESTIONS, Ran, tiny};
use super::edits::looped;

/// A program that watches; it is killed when a test fails.
struct Watching {
    child: Option<Child>,
    lines: Receiver<Json>,
}

impl Watching {
    /// `flow watch p.yaml` with more arguments.
    fn start(bench: &Bench, args: &[&str]) -> Self {
        let words = [&["watch", "p.yaml", "--format", "json"], args].concat();
        let mut command = bench.command(&words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            let parsed = stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
            parsed.take_while(|line: &Json| send.send(line.clone()).is_ok()).for_each(drop);
        });
        Self { child: Some(child), lines }
    }

    /// What it says next.
    fn next(&self) -> Json {
        self.lines.recv_timeout(Duration::from_secs(120)).expect("it says something")
    }

    /// The next change that has settled.
    fn settled(&self) -> Json {
        let line = self.next();
        assert_eq!(line["outcome"], "settled", "{line}");
        line
    }

    /// The code and place of the next mistake.
    fn mistake(&self) -> String {
        let line = self.next();
        assert_eq!(line["outcome"], "failed", "{line}");
        format!("{}", line["diagnostics"])
    }

    fn is_silent(&self) {
        let said = self.lines.recv_timeout(Duration::from_millis(400));
        assert_eq!(said, Err(RecvTimeoutError::Timeout), "nothing has changed");
    }

    /// Asks it to end.
    fn end(mut self) -> Ran {
        let child = self.child.take().unwrap();
        let status = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(status.success());
        Ran::of(child)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
        }
    }
}

/// What became of a step: rows added, rows removed, calls.
fn step(line: &Json, name: &str) -> (u64, u64, u64) {
    let step = line["steps"].as_array().unwrap().iter().find(|step| step["step"] == name).unwrap();
    let number = |key: &str| step[key].as_u64().unwrap();
    (number("added"), number("removed"), number("calls"))
}

/// Fails unless a run from nothing over the same files publishes the same bytes in `folders`.
fn assert_as_from_scratch(bench: &Bench, folders: &[&str]) {
    let scratch = bench.copied(&["out", ".flow"]);
    scratch.exec(&["-q"], 0);
    for folder in folders {
        assert!(bench.published(folder) == scratch.published(folder), "{folder} is the same to the byte");
    }
}

#[test]
fn a_line_that_becomes_malformed_is_told_as_rejected() {
    let bench = Bench::with(COPY);
    let watching = Watching::start(&bench, &[]);
    watching.settled();
    bench.put("questions.jsonl", QUESTIONS.replace("{\"prompt_id\": \"b\"", "\"b\""));
    let edited = watching.settled();
    assert_eq!((step(&edited, "questions"), &edited["steps"][0]["rejected"]), ((1, 1, 0), &json!(1)));
}

#[test]
fn edits_of_data_and_of_the_pipeline_are_published_as_they_are_saved() {
    let bench = looped();
    let folders = ["out/shards", "out/verdicts"];
    let watching = Watching::start(&bench, &["-w", "2"]);
    let first = watching.settled();
    assert_eq!((step(&first, "attempts").2, first["rebuilt"].clone()), (36, json!(true)));
    assert_as_from_scratch(&bench, &folders);

    bench.put("questions.jsonl", QUESTIONS.replace("2+3=", "2+4="));
    let edited = watching.settled();
    assert_eq!((&edited["rebuilt"], &edited["changed"]), (&json!(false), &json!(["questions.jsonl"])));
    assert_eq!(step(&edited, "questions"), (1, 1, 0));
    // A prompt's draws in round 1; in later rounds, whose models are other ones, all.
    assert_eq!((step(&edited, "attempts").2, step(&edited, "learner").2), (4 + 12 + 12, 3), "{edited}");
    assert_eq!(edited["published"][0]["changed"], true);
    assert_as_from_scratch(&bench, &folders);

    let yaml = fs::read_to_string(bench.path("p.yaml")).unwrap();
    bench.put("p.yaml", yaml.replace("at_most: 2", "at_most: 1"));
    let capped = watching.settled();
    assert_eq!((&capped["rebuilt"], step(&capped, "questions")), (&json!(true), (0, 0, 0)));
    assert_as_from_scratch(&bench, &folders);

    let mut other = tiny();
    other.tensors.values_mut().for_each(|tensor| tensor.data = tensor.data.iter().map(|x| x * 2.0).collect());
    other.save(&bench.path("policy")).unwrap();
    assert_eq!(step(&watching.settled(), "attempts").2, 36, "other weights draw anew");
    assert_as_from_scratch(&bench, &folders);

    bench.put("questions.jsonl", QUESTIONS);
    watching.settled();
    assert_as_from_scratch(&bench, &folders);
    assert_eq!(watching.end().code, 0);
    let report = bench.exec(&["--format", "json", "-q"], 0).json();
    assert!(report["steps"].as_array().unwrap().iter().all(|step| step["calls"] == 0), "all is kept");
}

#[test]
fn what_changes_nothing_is_not_told() {
    let bench = Bench::with(COPY);
    let watching = Watching::start(&bench, &[]);
    watching.settled();
    bench.put("questions.jsonl", QUESTIONS);
    bench.put("p.yaml", format!("# copies\n{COPY}"));
    bench.put("p.yaml", COPY.replace("op: read, path: questions.jsonl", "path: questions.jsonl, op: read"));
    watching.is_silent();
    bench.put("questions.jsonl", QUESTIONS.replace("1+1", "1+2"));
    assert_eq!(step(&watching.settled(), "questions"), (1, 1, 0));
    assert_eq!(watching.end().code, 0);
}

#[test]
fn a_mistake_is_told_and_mended_while_it_watches() {
    let bench = Bench::with(COPY);
    let watching = Watching::start(&bench, &[]);
    watching.settled();
    let before = bench.published("out/shards");

    bench.put("questions.jsonl", format!("{QUESTIONS}{QUESTIONS}"));
    assert!(watching.mistake().contains("E0403"));
    fs::remove_file(bench.path("questions.jsonl")).unwrap();
    assert!(watching.mistake().contains("E0401"));
    bench.put("p.yaml", COPY.replace("path: questions.jsonl", "pth: questions.jsonl"));
    assert!(watching.mistake().contains("did you mean `path`?"));
    bench.put("p.yaml", "version: [");
    assert!(watching.mistake().contains("E0001"));
    assert!(before == bench.published("out/shards"), "what was published stays");

    bench.put("p.yaml", COPY);
    assert!(watching.mistake().contains("E0401"), "the file is still missing");
    bench.put("new", QUESTIONS.replace("1+1", "1+2"));
    fs::rename(bench.path("new"), bench.path("questions.jsonl")).unwrap();
    watching.settled();
    assert_as_from_scratch(&bench, &["out/shards"]);

    bench.put("questions.jsonl", format!("{QUESTIONS}{{\"prom"));
    let half = watching.settled();
    assert_eq!(half["summary"]["steps"][0]["rejected"], 1, "half a line is rejected until it is whole");
    bench.put("questions.jsonl", QUESTIONS);
    assert_eq!(watching.settled()["summary"]["steps"][0]["rejected"], 0);
    assert_eq!(watching.end().code, 0);
}

#[test]
fn a_training_that_a_model_does_not_allow_is_told_while_it_watches() {
    let bench = looped();
    let text = fs::read_to_string(bench.path("p.yaml")).unwrap();
    let watching = Watching::start(&bench, &[]);
    watching.settled();
    bench.put("p.yaml", text.replacen("op: train,", "op: train, max_length: 100000,", 1));
    assert!(watching.mistake().contains("E0626"));
    assert_eq!(watching.end().code, 0);
}

#[test]
fn a_mistake_that_is_taken_back_is_told_to_be_mended() {
    let bench = Bench::with(COPY);
    let watching = Watching::start(&bench, &[]);
    watching.settled();
    bench.put("p.yaml", "version: [");
    watching.mistake();
    bench.put("p.yaml", COPY);
    assert_eq!(watching.next(), json!({"outcome": "unchanged"}));
    watching.is_silent();
    assert_eq!(watching.end().code, 0);
}

/// Removes a folder in which somebody may be writing.
fn removed(bench: &Bench, name: &str) {
    let written = |table: &str| fs::read(bench.path(table)).is_ok_and(|bytes| bytes.ends_with(b"PAR1"));
    while !written("out/loop/run/metrics.parquet") {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(100));
    while fs::remove_dir_all(bench.path(name)).is_err_and(|error| error.kind() != ErrorKind::NotFound) {}
}

#[test]
fn what_is_removed_under_a_watch_is_published_again_and_without_its_store_it_ends() {
    let bench = looped();
    let mut watching = Watching::start(&bench, &[]);
    watching.settled();
    removed(&bench, "out");
    let again = watching.settled();
    assert_eq!((step(&again, "attempts").2, &again["published"][0]["changed"]), (0, &json!(true)));
    assert_as_from_scratch(&bench, &["out/shards", "out/verdicts"]);
    bench.put("questions.jsonl", QUESTIONS.replace("1+1=", "1+2="));
    watching.settled();
    assert_as_from_scratch(&bench, &["out/shards", "out/verdicts"]);

    removed(&bench, ".flow");
    assert!(watching.mistake().contains("the store `.flow` was removed while it was in use"));
    assert_eq!(Ran::of(watching.child.take().unwrap()).code, 1);
}

#[test]
fn the_tables_of_a_run_count_what_the_last_change_asked() {
    let bench = looped();
    let watching = Watching::start(&bench, &[]);
    watching.settled();
    bench.put("questions.jsonl", QUESTIONS.replace("2+3=", "2+4="));
    let edited = watching.settled();
    assert_eq!(watching.end().code, 0);
    let steps = bench.table("out/loop/run/steps.parquet");
    let row = steps.iter().find(|row| row["step"] == "attempts".into()).unwrap();
    assert_eq!(row["calls"], (step(&edited, "attempts").2 as i64).into());
    let calls: u64 =
        edited["steps"].as_array().unwrap().iter().map(|step| step["calls"].as_u64().unwrap()).sum();
    assert_eq!(bench.table("out/loop/run/runs.parquet")[0]["model_calls"], (calls as i64).into());
}

#[test]
fn data_that_is_edited_while_the_pipeline_is_wrong_is_not_forgotten() {
    let bench = looped();
    let watching = Watching::start(&bench, &[]);
    watching.settled();
    let right = fs::read_to_string(bench.path("p.yaml")).unwrap();
    let wrong = right
        .replace("path: policy}", "path: nowhere}")
        .replace("questions.jsonl}", "questions.jsonl, limit: 2}");
    bench.put("p.yaml", wrong);
    assert!(watching.mistake().contains("E0604"));
    bench.put("questions.jsonl", QUESTIONS.replace("1+1=", "1+2="));
    assert!(watching.mistake().contains("E0604"));
    bench.put("p.yaml", right);
    watching.settled();
    assert_as_from_scratch(&bench, &["out/shards", "out/verdicts"]);
}

#[test]
fn a_watch_may_begin_with_a_mistake_but_not_without_a_file() {
    let bench = Bench::with("version: 1\nsteps: {}\n");
    assert_eq!(bench.flow(&["watch", "nowhere.yaml"]).code, 2);
    let watching = Watching::start(&bench, &[]);
    watching.mistake();
    bench.put("p.yaml", COPY);
    watching.settled();
    bench.exec(&[], 75).says(&["the store is in use", "flow watch p.yaml"]);
    assert_eq!(watching.end().code, 0);
}

#[test]
fn files_that_steps_read_when_they_are_set_up_are_watched_too() {
    let yaml = COPY.replace("from: questions", "from: clean").replace(
        "  shards",
        "  clean: {op: decontaminate, from: questions, n: 2, against: {held: {path: held.jsonl}}}\n  shards",
    );
    let bench = Bench::with(&yaml);
    bench.put("held.jsonl", "{\"prompt\": \"7*7=\"}\n");
    let watching = Watching::start(&bench, &[]);
    watching.settled();
    assert_eq!(bench.rows("out/shards").len(), 3);
    bench.put("held.jsonl", "{\"prompt\": \"2+3=\"}\n");
    assert_eq!(watching.settled()["rebuilt"], true);
    assert_eq!(bench.rows("out/shards").len(), 2);
    assert_eq!(watching.end().code, 0);
}

#[test]
fn kept_rounds_stay_and_an_edit_enters_the_next() {
    let bench = looped();
    let yaml = fs::read_to_string(bench.path("p.yaml")).unwrap();
    let keep = |count: u32| yaml.replace("count: 3,", &format!("count: {count}, on_change: keep,"));
    bench.put("p.yaml", keep(2));
    let watching = Watching::start(&bench, &[]);
    assert_eq!(step(&watching.settled(), "attempts").2, 24);
    bench.put("questions.jsonl", QUESTIONS.replace("2+3=", "2+4="));
    assert_eq!(step(&watching.settled(), "attempts").2, 0, "finished rounds stay");
    bench.put("p.yaml", keep(3));
    assert_eq!(step(&watching.settled(), "attempts").2, 12, "the third is drawn");
    assert_eq!(watching.end().code, 0);
}

#[test]
fn calls_that_are_not_allowed_leave_all_as_it_is() {
    let bench = looped();
    let watching = Watching::start(&bench, &["--max-calls", "80"]);
    watching.settled();
    let before = bench.published("out/verdicts");
    let yaml = fs::read_to_string(bench.path("p.yaml")).unwrap();
    bench.put("p.yaml", yaml.replace("n: 4", "n: 40"));
    assert!(watching.mistake().contains("`--max-calls` allows 80"));
    assert!(before == bench.published("out/verdicts"));
    bench.put("p.yaml", yaml.replace("at_most: 2", "at_most: 1"));
    watching.settled();
    assert_as_from_scratch(&bench, &["out/shards", "out/verdicts"]);
    assert_eq!(watching.end().code, 0);
}

/// A small generator, so that a failure repeats.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// Recorded draws and the pipeline over them, as they are edited.
struct Script {
    /// Question, known answer, stated answer.
    draws: Vec<[usize; 3]>,
    cap: usize,
    compare: usize,
    dedup: bool,
    seed: usize,
}

impl Script {
    fn edit(&mut self, dice: &mut Dice) {
        match dice.below(9) {
            0 => self.cap = 1 + (self.cap + dice.below(2)) % 3,
            1 => self.compare = (self.compare + 1) % 3,
            2 => self.dedup = !self.dedup,
            3 => self.seed += 1,
            4 => drop(self.draws.remove(dice.below(self.draws.len()))),
            5 => {
                let draw = [dice.below(12), 0, dice.below(4)];
                self.draws.insert(dice.below(self.draws.len()), [draw[0], draw[0] % 3, draw[2]]);
            }
            6 => {
                let question = dice.below(12);
                let answer = dice.below(4);
                let asked = self.draws.iter_mut().filter(|draw| draw[0] == question);
                asked.for_each(|draw| draw[1] = answer);
            }
            _ => {
                let at = dice.below(self.draws.len());
                self.draws[at][2] = dice.below(4);
            }
        }
    }

    fn save(&self, bench: &Bench) {
        let line = |[question, known, stated]: &[usize; 3]| match stated {
            // A line that is no draw.
            3 => format!("{{\"prompt\": \"question {question}\"\n"),
            _ => format!(
                "{{\"prompt\": \"question {question}\", \"answer\": \"{known}\", \"completion\": \"#### {stated}\"}}\n"
            ),
        };
        let compare = ["math", "numeric", "exact"][self.compare];
        let distinct = if self.dedup { "distinct" } else { "graded.equal" };
        let yaml = format!(
            "version: 1
name: script
seed: {}
steps:
  draws: {{op: replay, path: draws.jsonl}}
  graded: {{op: verify, from: draws, compare: {compare}}}
  distinct: {{op: dedup, from: graded.equal}}
  chosen: {{op: balance, from: {distinct}, per: prompt_id, at_most: {}}}
  answers: {{op: vote, from: [graded.equal, graded.different]}}
  shards: {{op: write, from: chosen, path: out/shards}}
  votes: {{op: write, from: answers, path: out/votes, parts: 2}}
  others: {{op: write, from: [graded.different, graded.unknown], path: out/others, parts: 1}}
",
            self.seed, self.cap
        );
        // As editors do: another file in the place of the old one.
        for (name, text) in [("draws.jsonl", self.draws.iter().map(line).collect()), ("p.yaml", yaml)] {
            if fs::read_to_string(bench.path(name)).ok().as_ref() != Some(&text) {
                bench.put("saved", &text);
                fs::rename(bench.path("saved"), bench.path(name)).unwrap();
            }
        }
    }
}

#[test]
fn random_edits_publish_what_a_run_from_nothing_does() {
    for (seed, workers) in [(1, "1"), (2, "2"), (3, "4")] {
        let (bench, mut dice) = (Bench::new(), Dice(seed));
        let draws = (0..60).map(|at| [at % 12, at % 12 % 3, dice.below(4)]).collect();
        let mut script = Script { draws, cap: 1, compare: 0, dedup: false, seed: 1 };
        script.save(&bench);
        let watching = Watching::start(&bench, &["-w", workers]);
        watching.settled();
        for _ in 0..12 {
            let state =
                |bench: &Bench| ["draws.jsonl", "p.yaml"].map(|name| fs::read(bench.path(name)).unwrap());
            let before = state(&bench);
            while state(&bench) == before {
                script.edit(&mut dice);
                script.save(&bench);
            }
            watching.settled();
            assert_as_from_scratch(&bench, &["out/shards", "out/votes", "out/others"]);
        }
        assert_eq!(watching.end().code, 0);
    }
}
