//! The figures of a method: scores over rounds as lines, scores of steps without rounds as dots.

use flow_chart::{Axis, Dot, DotChart, Line, LineChart, Point, Scale, Svg};

use super::outcome::{Outcome, Summary};
use super::{Measure, Method};

/// A figure, and the name of its file.
pub(super) struct Figure {
    pub(super) file: String,
    pub(super) caption: String,
    pub(super) svg: Svg,
}

/// What one measure says of a step of an arm, round by round.
struct Series {
    arm: usize,
    name: String,
    rounds: Vec<(i64, Summary)>,
}

/// The figures of all measures that the method shows.
pub(super) fn figures(method: &Method, outcomes: &[Outcome]) -> Vec<Figure> {
    let mut measures: Vec<Measure> = Vec::new();
    for measure in method.shown.iter().flat_map(|(_, measures)| *measures) {
        if !measures.contains(measure) {
            measures.push(*measure);
        }
    }
    measures.into_iter().flat_map(|measure| of_measure(method, outcomes, measure)).collect()
}

fn of_measure(method: &Method, outcomes: &[Outcome], measure: Measure) -> Vec<Figure> {
    let all = series(method, outcomes, measure);
    let (over_rounds, once): (Vec<Series>, Vec<Series>) =
        all.into_iter().partition(|series| series.rounds.iter().any(|(round, _)| *round > 0));
    let name = measure.name();
    let caption = format!("{name} by round: mean and range of the seeds");
    let lines = LineChart {
        caption: caption.clone(),
        x: Axis { name: "round".to_owned(), scale: Scale::Whole },
        y: Axis { name: name.clone(), scale: measure.scale() },
        lines: over_rounds.into_iter().map(line).collect(),
    };
    let lines = lines.svg().map(|svg| (caption, "rounds", svg));
    let caption = format!("{name}: mean and range of the seeds");
    let dots = DotChart {
        caption: caption.clone(),
        x: Axis { name, scale: measure.scale() },
        dots: once.into_iter().filter_map(dot).collect(),
    };
    // One value alone needs no figure.
    let dots = dots.svg().filter(|_| dots.dots.len() > 1).map(|svg| (caption, "steps", svg));
    let figure = |(caption, what, svg)| {
        let file = format!("figures/{}-{}-{what}.svg", method.name, measure.name().replace(['@', ' '], "-"));
        Figure { file, caption, svg }
    };
    lines.into_iter().chain(dots).map(figure).collect()
}

/// Each step that has the measure, of each arm.
fn series(method: &Method, outcomes: &[Outcome], measure: Measure) -> Vec<Series> {
    let steps = || method.shown.iter().filter(|(_, measures)| measures.contains(&measure));
    let n_steps = steps().count();
    let mut all = Vec::new();
    for (at, arm) in method.arms.iter().enumerate() {
        let runs: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.arm == arm.name).collect();
        for (step, _) in steps() {
            let last = runs.iter().map(|run| run.last_round(step)).max().unwrap_or(0);
            let of = |round| Some((round, Summary::of(&runs, step, round, measure)?));
            let rounds: Vec<(i64, Summary)> = (0..=last).filter_map(of).collect();
            let name = match (n_steps, method.arms.len()) {
                (1, _) => arm.name.to_owned(),
                (_, 1) => (*step).to_owned(),
                _ => format!("{}: {step}", arm.name),
            };
            if !rounds.is_empty() {
                all.push(Series { arm: at, name, rounds });
            }
        }
    }
    all
}

fn line(series: Series) -> Line {
    let point = |(round, summary): (i64, Summary)| Point {
        x: round as f64,
        y: summary.mean,
        interval: Some((summary.least, summary.most)),
    };
    Line { name: series.name, points: series.rounds.into_iter().map(point).collect() }
}

fn dot(series: Series) -> Option<Dot> {
    let (_, summary) = series.rounds.into_iter().next()?;
    let range = (summary.least, summary.most);
    Some(Dot { name: series.name, group: series.arm, value: summary.mean, range })
}
