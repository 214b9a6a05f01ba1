//! `cargo xtask bench replay`: 200,000 recorded completions through verify, balance and write.

use std::fmt::Write;
use std::path::Path;

use super::{Place, exec};

const QUESTIONS: usize = 20_000;
const DRAWS: usize = 10;

/// Makes the recorded completions, runs the pipeline, returns one table.
pub(super) fn table(place: &Place) -> Result<String, String> {
    let folder = place.root.join("target/bench");
    let (rows, pipeline) = (folder.join("recorded.jsonl"), folder.join("replay.yaml"));
    let written = std::fs::create_dir_all(&folder)
        .and_then(|()| std::fs::write(&rows, recorded()))
        .and_then(|()| std::fs::write(&pipeline, yaml(&rows)));
    written.map_err(|error| format!("cannot write below {}: {error}", folder.display()))?;
    let mut text = String::from("| rows | workers | wall s | peak |\n| --- | --- | --- | --- |\n");
    for workers in ["1", "2"] {
        let run = exec(place, &pipeline.display().to_string(), "replay", &[], &["-w", workers])?;
        text.push_str(&format!("| {} | {workers} | {} | {} |\n", QUESTIONS * DRAWS, run.wall_s, run.peak));
    }
    Ok(text)
}

fn yaml(rows: &Path) -> String {
    format!(
        "version: 1\nname: replay\nsteps:\n  attempts: {{op: replay, path: {}}}\n  graded: {{op: verify, from: attempts}}\n  \
         chosen: {{op: balance, from: graded.equal, per: prompt_id, at_most: 4}}\n  shards: {{op: write, from: chosen}}\n",
        rows.display()
    )
}

/// Ten worked solutions of about 300 characters for each question; seven of them right.
fn recorded() -> String {
    let mut text = String::new();
    for question in 0..QUESTIONS {
        let (a, b) = (question % 97 + 3, question % 89 + 2);
        for draw in 0..DRAWS {
            let answer = if draw < 7 { a * b } else { a * b + draw };
            let thought =
                "First count what there is, then count how often it comes, and take both together. "
                    .repeat(3);
            writeln!(
                text,
                "{{\"prompt_id\": \"q{question}\", \"prompt\": \"Box {question}: {a} bags of {b} figs. How many figs?\", \
                 \"answer\": \"{}\", \"sample_index\": {draw}, \"completion\": \"{thought}{a}*{b}={answer}\\n#### {answer}\"}}",
                a * b
            )
            .expect("a String takes all that is written");
        }
    }
    text
}
