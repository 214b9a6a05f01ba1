//! The closing report for people.

use std::fmt::Write;

use super::{Checkpoint, Experts, Metric, PERPLEXITY, Rounds, Rows, Summary, Training};
use crate::columns::{columns, counted, grouped};

/// Dead experts that a warning names, at most.
const MOST_NAMED: usize = 8;

impl Summary {
    /// Several lines, the last one ended.
    pub(crate) fn text(&self) -> String {
        let mut sections = vec![self.rows(), self.results(), self.files()];
        sections.retain(|section| !section.is_empty());
        format!("\n{}\n{}", sections.join("\n"), self.closing())
    }

    fn rows(&self) -> String {
        let head = ["step", "op", "rows in", "rows out", "rejected", "calls", "reused"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.steps.iter().map(row));
        let mut text = columns(&rows);
        text.push_str(
            "conservation holds: every row that came in left by a port or was rejected with a reason\n",
        );
        if self.steps.iter().any(Rows::asks) {
            text.push_str(
                "calls were answered in this run, reused ones by the store; equal requests are one\n",
            );
        }
        text
    }

    /// What was measured and trained, step by step and round by round.
    pub(crate) fn results(&self) -> String {
        let mut lines = Vec::new();
        for training in &self.trainings {
            lines.push(vec![place(&training.step, training.round), trained(training)]);
        }
        for metrics in self.metrics.chunk_by(|a, b| (&a.step, a.round) == (&b.step, b.round)) {
            let measured: Vec<String> = metrics.iter().map(measured).collect();
            lines.push(vec![place(&metrics[0].step, metrics[0].round), measured.join("   ")]);
        }
        columns(&lines) + &self.rounds.as_ref().and_then(early_end).unwrap_or_default()
    }

    fn files(&self) -> String {
        let mut lines: Vec<Vec<String>> = self
            .outputs
            .iter()
            .map(|output| {
                let size = format!(
                    "{} in {}",
                    counted(output.rows as i64, "row"),
                    counted(output.parts as i64, "part")
                );
                vec![output.step.clone(), output.files.clone(), size]
            })
            .collect();
        for Checkpoint { step, folder } in &self.checkpoints {
            lines.push(vec![step.clone(), folder.clone(), "the last checkpoint".to_owned()]);
        }
        lines.push(vec![
            "run".to_owned(),
            format!("{}/*.parquet", self.run),
            "tables about this run".to_owned(),
        ]);
        let mut text = columns(&lines);
        if let Some(output) = self.outputs.iter().find(|output| output.parts > 0) {
            writeln!(text, "\nduckdb -c \"SELECT * FROM '{}' LIMIT 5\"", output.files)
                .expect("writing to a string cannot fail");
        }
        text
    }

    fn closing(&self) -> String {
        let memory = self
            .peak_memory_bytes
            .map(|bytes| format!(", peak memory {} MiB", grouped((bytes >> 20) as i64)));
        if self.taught_nothing().is_some() {
            return self.hints();
        }
        format!(
            "{}{} is done: {:.1} s{}\n",
            self.hints(),
            self.pipeline,
            self.wall_s,
            memory.unwrap_or_default()
        )
    }

    /// What else there is to say: steps that reject everything, what was met on the way.
    pub(crate) fn hints(&self) -> String {
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}\n"));
        let dead = self.trainings.iter().filter_map(dead_experts);
        let cut = self.trainings.iter().filter_map(mostly_cut);
        let ends = self.dead_ends.iter().map(|end| format!("hint: {}\n", end.text()));
        ends.chain(warnings).chain(cut).chain(dead).collect()
    }
}

/// Names the experts that no token of a training visited.
fn dead_experts(training: &Training) -> Option<String> {
    let dead = &training.experts.as_ref().filter(|experts| experts.dead > 0)?.dead_experts;
    let named = |(layer, expert): &(usize, usize)| format!("{expert} of layer {layer}");
    let mut names: Vec<String> = dead.iter().take(MOST_NAMED).map(named).collect();
    if dead.len() > MOST_NAMED {
        names.push(format!("{} more", dead.len() - MOST_NAMED));
    }
    let place = place(&training.step, training.round);
    Some(format!(
        "warning: {place}: no token visited the experts {}; raise `router_aux_loss_coef`\n",
        names.join(", ")
    ))
}

/// Tells of a training that learned nothing from more than half of its examples, or cut so many.
fn mostly_cut(training: &Training) -> Option<String> {
    let Training { n_examples, n_skipped, n_truncated, .. } = training;
    if n_skipped.max(n_truncated) * 2 <= *n_examples {
        return None;
    }
    let place = place(&training.step, training.round);
    let (all, skipped, cut) = (counted(*n_examples, "example"), grouped(*n_skipped), grouped(*n_truncated));
    Some(format!(
        "warning: {place}: of {all} {skipped} taught nothing and {cut} were cut off; raise `max_length` where it is given, or start \
         from a model with more positions\n"
    ))
}

fn early_end(rounds: &Rounds) -> Option<String> {
    let why = rounds.ended_by.as_ref()?;
    Some(format!("the loop ended after {} of {} rounds: {why}\n", rounds.ran, rounds.of))
}

fn row(step: &Rows) -> Vec<String> {
    let ports = match step.ports.as_slice() {
        [(_, only)] => grouped(*only),
        several => {
            several.iter().map(|(name, n)| format!("{name} {}", grouped(*n))).collect::<Vec<_>>().join(", ")
        }
    };
    let asked =
        |n: u64| if step.asks() { grouped(i64::try_from(n).unwrap_or(i64::MAX)) } else { String::new() };
    vec![
        step.step.clone(),
        step.op.to_owned(),
        grouped(step.rows_in),
        ports,
        grouped(step.rejected),
        asked(step.calls),
        asked(step.reused),
    ]
}

fn place(step: &str, round: u32) -> String {
    if round == 0 { step.to_owned() } else { format!("{step}, round {round}") }
}

fn measured(metric: &Metric) -> String {
    if metric.metric == PERPLEXITY {
        return format!("{PERPLEXITY} {:.4} ({:.4} to {:.4})", metric.value, metric.low, metric.high);
    }
    let percent = |share: f64| share * 100.0;
    let (value, low, high) = (percent(metric.value), percent(metric.low), percent(metric.high));
    format!("{} {value:.1} % ({low:.1} to {high:.1})", metric.metric)
}

pub(super) fn trained(training: &Training) -> String {
    if training.n_steps == 0 {
        return "joined from several models, not trained".to_owned();
    }
    let mut text = counted(training.n_examples, "example");
    for (n, what) in [(training.n_skipped, "skipped"), (training.n_truncated, "truncated")] {
        if n > 0 {
            write!(text, ", {} {what}", grouped(n)).expect("writing to a string cannot fail");
        }
    }
    write!(text, ", {}", counted(training.n_steps, "step")).expect("writing to a string cannot fail");
    if let Some((first, last)) = training.loss {
        write!(text, ", loss {first:.3} to {last:.3}").expect("writing to a string cannot fail");
    }
    if let Some(Experts { per_layer, layers, share: (low, high), dead, .. }) = &training.experts {
        write!(text, ", {per_layer} experts in {layers} layers: shares {low:.2} to {high:.2}, {dead} dead")
            .expect("writing to a string cannot fail");
    }
    text
}
