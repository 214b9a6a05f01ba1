//! How far the run is: bars on a terminal, a line every few seconds elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use flow_dataflow::EffectProgress;
use indicatif::{MultiProgress, ProgressBar, ProgressState, ProgressStyle};

use crate::term;

/// Time between two plain lines.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows the steps that ask something.
pub(crate) enum Progress {
    /// Says nothing.
    Quiet,
    /// Bars that are drawn over.
    Bars {
        /// Names of the steps.
        names: Vec<String>,
        /// Where the bars are drawn.
        screen: MultiProgress,
        /// One bar for each step with work, by step.
        bars: BTreeMap<usize, ProgressBar>,
    },
    /// Lines one after the other.
    Lines {
        /// Names of the steps.
        names: Vec<String>,
        /// When the run began.
        started: Instant,
        /// When something was said last.
        last: Instant,
        /// What was said last.
        said: Vec<EffectProgress>,
    },
}

impl Progress {
    /// Bars if stderr is a terminal and no `CI` is set, lines otherwise, nothing if `quiet`.
    pub(crate) fn new(names: Vec<String>, quiet: bool) -> Self {
        let started = Instant::now();
        match quiet {
            true => Progress::Quiet,
            false if std::io::stderr().is_terminal() && std::env::var_os("CI").is_none() => {
                Progress::Bars { names, screen: MultiProgress::new(), bars: BTreeMap::new() }
            }
            false => Progress::Lines { names, started, last: started, said: Vec::new() },
        }
    }

    /// Shows the state `now`.
    pub(crate) fn show(&mut self, now: &[EffectProgress]) {
        match self {
            Progress::Quiet => {}
            Progress::Bars { names, screen, bars } => {
                for step in now {
                    let bar = bars.entry(step.node).or_insert_with(|| screen.add(bar(&names[step.node])));
                    let (done, parts) = step.within.unwrap_or((0, 1));
                    bar.set_length(step.asked * parts);
                    bar.set_position(step.answered * parts + done);
                    bar.set_message(if step.within.is_some() { " steps" } else { "" });
                }
            }
            Progress::Lines { names, started, last, said } => {
                if last.elapsed() < PAUSE || *said == now {
                    return;
                }
                term::tell(&line(names, started.elapsed(), last.elapsed(), now, said));
                *last = Instant::now();
                *said = now.to_vec();
            }
        }
    }

    /// Says lines of their own, above the bars.
    pub(crate) fn tell(&self, lines: &[String]) {
        for line in lines {
            match self {
                Progress::Quiet => {}
                // A terminal that is gone is told nothing.
                Progress::Bars { screen, .. } => screen.println(line).unwrap_or_default(),
                Progress::Lines { started, .. } => {
                    term::tell(&format!("{:>6.0} s  {line}\n", started.elapsed().as_secs_f64()));
                }
            }
        }
    }

    /// Takes the bars away, so that what follows stands alone.
    pub(crate) fn clear(&self) {
        if let Progress::Bars { screen, .. } = self {
            // A terminal that is gone needs no tidying.
            let _ = screen.clear();
        }
    }
}

fn bar(name: &str) -> ProgressBar {
    let template = "{prefix:>16} {wide_bar} {human_pos}/{human_len}{msg}  {rate}  {eta} left";
    let style = ProgressStyle::with_template(template);
    let style = style.expect("the template is a constant that a test has drawn").with_key("rate", write_rate);
    ProgressBar::no_length().with_style(style).with_prefix(name.to_owned())
}

fn write_rate(state: &ProgressState, out: &mut dyn Write) {
    // The bar is drawn into memory, which takes every byte.
    let _ = write!(out, "{:.1}/s", state.per_sec());
}

/// How far the long request under way is, such as the steps of a training.
fn within(step: &EffectProgress) -> Option<String> {
    step.within.map(|(done, parts)| format!(", step {done} of {parts}"))
}

/// What is done, out of what, and in what unit: parts where a request has some, requests elsewhere.
fn parts(step: &EffectProgress) -> (u64, u64, &'static str) {
    match step.within {
        Some((done, parts)) => (step.answered * parts + done, step.asked * parts, " steps"),
        None => (step.answered, step.asked, ""),
    }
}

/// One line: the steps whose state has changed since `said`, `pause` ago.
fn line(
    names: &[String],
    elapsed: Duration,
    pause: Duration,
    now: &[EffectProgress],
    said: &[EffectProgress],
) -> String {
    let steps = now.iter().filter(|step| !said.contains(step)).map(|step| {
        let before = said.iter().find(|before| before.node == step.node);
        let (done, asked, unit) = parts(step);
        let before = before.filter(|before| before.within.is_some() == step.within.is_some());
        let told = format!(
            "{} {}/{}{}",
            names[step.node],
            step.answered,
            step.asked,
            within(step).unwrap_or_default()
        );
        let since = match (before, step.within) {
            (Some(before), _) => parts(before).0,
            (None, None) => 0,
            // A long request that was not seen before may go on from where it rested: how fast it is shows the next time.
            (None, Some(_)) => return told,
        };
        let rate = done.saturating_sub(since) as f64 / pause.as_secs_f64();
        let left = (asked - done) as f64 / rate;
        let left = if rate > 0.0 && left > 0.0 { format!(", {left:.0} s left") } else { String::new() };
        format!("{told} ({rate:.1}{unit}/s{left})")
    });
    format!("{:>6.0} s  {}\n", elapsed.as_secs_f64(), steps.collect::<Vec<_>>().join("  "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_has_changed_and_how_fast() {
        let names = ["attempts".to_owned(), "scores".to_owned()];
        let state = |node, asked, answered| EffectProgress { node, asked, answered, tokens: 0, within: None };
        let said = [state(0, 40, 10), state(1, 5, 5)];
        let now = [state(0, 40, 30), state(1, 5, 5)];
        let text = line(&names, Duration::from_secs(10), PAUSE, &now, &said);
        assert_eq!(text, "    10 s  attempts 30/40 (4.0/s, 2 s left)\n");
        bar("attempts").finish();
        let training = |done| EffectProgress { within: Some((done, 60)), ..state(0, 1, 0) };
        let text = line(&names, Duration::from_secs(20), PAUSE, &[training(30)], &[training(10)]);
        assert_eq!(text, "    20 s  attempts 0/1, step 30 of 60 (4.0 steps/s, 8 s left)\n");
        let text = line(&names, Duration::from_secs(20), PAUSE, &[training(30)], &[state(0, 1, 0)]);
        assert_eq!(text, "    20 s  attempts 0/1, step 30 of 60\n", "it may have rested at step 25");
    }
}
