//! What a change came to: rows that came and left, calls, what readers see now, and how long it took.

use std::path::PathBuf;
use std::time::Instant;

use flow_dataflow::Moved;
use serde::Serialize;

use crate::args::Format;
use crate::columns::{columns, grouped};
use crate::exec::{Args, Live, Summary};
use crate::halt::Halt;
use crate::term;
use crate::turnover::{by_outlet, sum};

/// What was taken in.
pub(super) struct Change<'a> {
    /// The files.
    pub(super) changed: &'a [PathBuf],
    /// Whether another dataflow was started.
    pub(super) rebuilt: bool,
    /// When it was noticed.
    pub(super) started: Instant,
}

/// Compares what has settled with what had before.
#[derive(Default)]
pub(super) struct Reporter {
    /// What readers saw, by step.
    snapshots: Vec<(String, Option<String>)>,
    /// What was measured and trained, as text.
    results: String,
    /// Whether a change was reported.
    has_begun: bool,
}

/// A settled change; its JSON form is one line of `--format json`.
#[derive(Serialize)]
struct Settled<'a> {
    outcome: &'static str,
    pipeline: &'a str,
    changed: Vec<String>,
    rebuilt: bool,
    wall_s: f64,
    steps: Vec<StepChange<'a>>,
    published: Vec<Published>,
    summary: &'a Summary,
}

/// What became of one step.
#[derive(Serialize)]
struct StepChange<'a> {
    step: &'a str,
    op: &'static str,
    /// Rows that came to its ports, rejected ones included; a changed row counts twice.
    added: u64,
    removed: u64,
    /// Of the rows that came, those that go no further.
    rejected: u64,
    /// Whether these are estimates, as for more than 262,144 rows a port behind an edit of the pipeline.
    estimated: bool,
    calls: u64,
    reused: u64,
}

/// What readers of one `write` step see.
#[derive(Serialize)]
struct Published {
    step: String,
    /// The pattern that matches all files.
    files: String,
    /// Digest of the manifest.
    snapshot: Option<String>,
    /// Whether it is another one than before.
    changed: bool,
}

impl Reporter {
    /// Remembers how things are before `live` settles.
    pub(super) fn before(&mut self, live: &Live<'_>) {
        self.snapshots = snapshots(live).map(|published| (published.step, published.snapshot)).collect();
    }

    /// Reports what has settled.
    pub(super) fn report(&mut self, args: &Args, live: &Live<'_>, change: &Change<'_>) -> Result<(), Halt> {
        let moved = live.session().moves();
        let summary = live.conclude()?;
        let plan = &live.setup().pipeline.plan;
        let was = |step: &str| self.snapshots.iter().find(|(name, _)| name == step).map(|(_, was)| was);
        let settled = Settled {
            outcome: "settled",
            pipeline: &plan.name,
            changed: change.changed.iter().map(|path| path.display().to_string()).collect(),
            rebuilt: change.rebuilt,
            wall_s: change.started.elapsed().as_secs_f64(),
            steps: steps(live, change, &moved),
            published: snapshots(live)
                .map(|now| Published { changed: was(&now.step) != Some(&now.snapshot), ..now })
                .collect(),
            summary: &summary,
        };
        let results = summary.results();
        let told = match args.format {
            Format::Json => term::json_line(&settled),
            Format::Text if args.quiet => Ok(()),
            Format::Text => {
                term::tell(&if self.has_begun {
                    settled.text(&self.results)
                } else {
                    format!("{}watching `{}`; Ctrl-C ends\n", summary.text(), args.file.display())
                });
                Ok(())
            }
        };
        (self.results, self.has_begun) = (results, true);
        told
    }
}

fn steps<'a>(live: &'a Live<'_>, change: &Change<'_>, moved: &[Vec<Moved>]) -> Vec<StepChange<'a>> {
    let plan = &live.setup().pipeline.plan;
    let turnovers = change.rebuilt.then(|| by_outlet(plan, live.session(), live.last()));
    let counts = live.counts();
    let step = |(at, step): (usize, &'a flow_plan::Step)| {
        let (added, removed, rejected, estimated) = match &turnovers {
            Some(turnovers) => {
                let all = sum(&turnovers[at]);
                (all.new, all.gone, turnovers[at].last().map_or(0, |rejected| rejected.new), all.estimated)
            }
            None => {
                let sum = |moves: fn(&Moved) -> u64| moved[at].iter().map(moves).sum();
                let rejected = moved[at].last().map_or(0, |rejected| rejected.added);
                (sum(|moved| moved.added), sum(|moved| moved.removed), rejected, false)
            }
        };
        let (calls, reused) = (counts[at].calls, counts[at].reused);
        StepChange { step: &step.name, op: step.op, added, removed, rejected, estimated, calls, reused }
    };
    plan.steps.iter().enumerate().map(step).collect()
}

impl Settled<'_> {
    /// Several lines; of what was measured only what `before` has not.
    fn text(&self, before: &str) -> String {
        let mut text = format!("\n{} changed\n", self.changed.join(", "));
        text += &self.rows();
        let results = self.summary.results();
        results.lines().filter(|line| !before.lines().any(|known| known == *line)).for_each(|line| {
            text.extend([line, "\n"]);
        });
        for Published { step, files, snapshot, changed } in &self.published {
            let snapshot = snapshot.as_deref().unwrap_or_default();
            if *changed {
                text += &format!("{step}  {files}  snapshot {}\n", &snapshot[..snapshot.len().min(12)]);
            }
        }
        if !self.published.iter().any(|published| published.changed) {
            text += "what is published stays as it is\n";
        }
        let built = if self.rebuilt { ", with another dataflow over the kept answers" } else { "" };
        text + &self.summary.hints() + &format!("settled in {:.3} s{built}\n", self.wall_s)
    }

    fn rows(&self) -> String {
        let head = ["step", "rows", "calls", "reused"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        let moves = |step: &&StepChange<'_>| step.added + step.removed + step.calls > 0;
        rows.extend(self.steps.iter().filter(moves).map(|step| {
            let about = if step.estimated { "~" } else { "" };
            let some = |n: u64| if n > 0 { count(n) } else { String::new() };
            vec![
                step.step.to_owned(),
                format!(
                    "{about}+{} {about}-{}{}",
                    count(step.added),
                    count(step.removed),
                    step.told_rejected()
                ),
                some(step.calls),
                some(step.reused),
            ]
        }));
        if rows.len() > 1 { columns(&rows) } else { "no row is another one\n".to_owned() }
    }
}

impl StepChange<'_> {
    fn told_rejected(&self) -> String {
        if self.rejected > 0 { format!(" ({} rejected)", count(self.rejected)) } else { String::new() }
    }
}

fn count(n: u64) -> String {
    grouped(i64::try_from(n).unwrap_or(i64::MAX))
}

/// What readers see now.
fn snapshots(live: &Live<'_>) -> impl Iterator<Item = Published> {
    live.outputs().iter().map(|output| Published {
        step: live.setup().pipeline.plan.steps[output.step].name.clone(),
        files: output.pattern(),
        snapshot: output.snapshot(),
        changed: false,
    })
}
