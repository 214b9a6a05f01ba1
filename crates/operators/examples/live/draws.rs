//! Recorded draws that nobody drew: ten worked solutions for each question, seven of them right.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

const DRAWS: usize = 10;
/// Rows that a part is to have: an edit writes whole parts anew.
const PART_ROWS: usize = 512;

/// Recorded draws in a folder, and the pipelines over them.
pub(crate) struct Draws {
    folder: PathBuf,
    rows: usize,
}

impl Draws {
    /// `rows` draws in `folder`, made or to be made.
    pub(crate) fn at(folder: &Path, rows: usize) -> Self {
        Self { folder: folder.to_owned(), rows }
    }

    /// Writes the draws as `draws.jsonl`, and the pipeline over `draws.parquet`, which is left to be converted, as
    /// `pipeline.yaml`.
    pub(crate) fn make(&self) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let mut file = BufWriter::new(File::create(self.folder.join("draws.jsonl"))?);
        (0..self.questions()).try_for_each(|question| file.write_all(lines_of(question, 0).as_bytes()))?;
        file.flush()?;
        std::fs::write(self.folder.join("pipeline.yaml"), self.yaml(true))
    }

    /// The pipeline over all draws, with or without its `write` step.
    pub(crate) fn yaml(&self, publishes: bool) -> String {
        self.yaml_over(&self.folder.join("draws.parquet"), publishes)
    }

    /// The pipeline over the draws of one question only, its known answer raised by `error`.
    pub(crate) fn yaml_of_question(&self, question: usize, error: usize) -> io::Result<String> {
        let lines = self.folder.join("question.jsonl");
        std::fs::write(&lines, lines_of(question, error))?;
        Ok(self.yaml_over(&lines, false))
    }

    fn yaml_over(&self, path: &Path, publishes: bool) -> String {
        let parts = (self.rows * 4 / DRAWS / PART_ROWS).max(1).next_power_of_two();
        let last = format!("  shards: {{op: write, from: chosen, parts: {parts}}}\n");
        format!(
            "version: 1\nname: incremental\nout: {}\nsteps:\n  attempts: {{op: replay, path: {}}}\n  graded: {{op: verify, from: attempts}}\n  \
             chosen: {{op: balance, from: graded.equal, per: prompt_id, at_most: 4}}\n{}",
            self.folder.join("out").display(),
            path.display(),
            if publishes { &last } else { "" },
        )
    }

    /// Number of questions.
    pub(crate) fn questions(&self) -> usize {
        self.rows / DRAWS
    }
}

/// The draws of a question as JSON lines.
fn lines_of(question: usize, error: usize) -> String {
    let (a, b) = (question % 97 + 3, question % 89 + 2);
    let line = |draw: usize| {
        let stated = if draw < 7 { a * b } else { a * b + draw };
        format!(
            "{{\"prompt_id\": \"q{question}\", \"prompt\": \"Box {question}: {a} bags of {b} figs. How many figs?\", \
             \"answer\": \"{}\", \"sample_index\": {draw}, \"completion\": \"{}\\n{a}*{b}={stated}\\n#### {stated}\"}}\n",
            a * b + error,
            thought(question * DRAWS + draw)
        )
    };
    (0..DRAWS).map(line).collect()
}

const WORDS: [&str; 16] = [
    "first", "count", "every", "bag", "then", "take", "them", "together", "which", "makes", "so", "many",
    "figs", "in", "all", "boxes",
];

/// Some twenty words that differ from draw to draw.
fn thought(draw: usize) -> String {
    let mut state = draw as u64;
    let mut word = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        WORDS[(state >> 60) as usize]
    };
    (0..20).map(|_| word()).collect::<Vec<_>>().join(" ")
}
