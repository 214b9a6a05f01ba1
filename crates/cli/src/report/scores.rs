//! How good the models are: metrics over rounds and levels, pass@k, how often each problem is solved.

use std::collections::{BTreeMap, BTreeSet};

use flow_chart::{Axis, Dot, DotChart, Line, LineChart, Point, Scale, Svg};
use flow_plan::Plan;

use super::page::Block;
use super::tables::{Table, Tables};
use crate::columns::grouped;

/// Metrics over rounds, by level, and the gains between rounds.
pub(super) fn accuracy(tables: &Tables<'_>) -> Vec<Block> {
    let measured = tables.with(&["metric", "value", "n_problems"]);
    let measured: Vec<(&Table<'_>, Vec<Metric>)> = measured.map(|table| (table, metrics(table))).collect();
    let (looped, once): (Vec<_>, Vec<_>) =
        measured.iter().partition(|(_, metrics)| metrics.iter().any(|metric| metric.round > 0));
    let mut blocks: Vec<Block> = beside(&once).into_iter().map(Block::Chart).collect();
    for (table, metrics) in looped.into_iter().chain(once) {
        blocks.extend(over_rounds(table, metrics).map(Block::Chart));
        blocks.extend(by_level(table, metrics).map(Block::Chart));
        blocks.push(table_of(table, metrics));
    }
    for table in tables.with(&["metric", "baseline_round", "difference"]) {
        blocks.push(gains(table));
    }
    blocks
}

/// pass@k by k, and how many problems were solved how often.
pub(super) fn solved(plan: &Plan, tables: &Tables<'_>) -> Vec<Block> {
    let mut blocks = Vec::new();
    for table in tables.with(&["n_draws", "n_correct", "majority_correct"]) {
        let counts = counts_of_scores(table);
        blocks.extend(pass_at_k(table, &counts).svg().map(Block::Chart));
        blocks.push(histogram(
            &format!("`{}`: problems by the number of their correct draws", table.step.name),
            &counts,
        ));
    }
    let judged = tables.with(&["verdict", "prompt_id"]).filter(|table| table.step.op == "verify");
    for step in judged.map(|table| table.step.name.as_str()).collect::<BTreeSet<_>>() {
        let counts = counts_of_verdicts(plan, tables, step);
        blocks.push(histogram(&format!("`{step}`: prompts by the number of their correct draws"), &counts));
    }
    blocks
}

/// One measured number.
struct Metric {
    name: String,
    level: Option<i64>,
    round: u32,
    point: Point,
    n_problems: i64,
}

fn metrics(table: &Table<'_>) -> Vec<Metric> {
    let rows = table.rows.iter().filter_map(|row| {
        let float = |name| table.float(row, name);
        Some(Metric {
            name: table.text(row, "metric")?.to_owned(),
            level: table.int(row, "level"),
            round: row.row.round,
            point: Point {
                x: row.row.round.into(),
                y: float("value")?,
                interval: float("low").zip(float("high")),
            },
            n_problems: table.int(row, "n_problems").unwrap_or_default(),
        })
    });
    let mut metrics: Vec<Metric> = rows.collect();
    metrics.sort_by(|a, b| (a.round, &a.name, a.level).cmp(&(b.round, &b.name, b.level)));
    metrics
}

fn names(metrics: &[Metric]) -> BTreeSet<&str> {
    metrics.iter().map(|metric| metric.name.as_str()).collect()
}

/// What steps measured once, beside each other, metric by metric.
fn beside(measured: &[&(&Table<'_>, Vec<Metric>)]) -> Option<Svg> {
    let named: BTreeSet<&str> = measured.iter().flat_map(|(_, metrics)| names(metrics)).collect();
    let dots = named.into_iter().enumerate().flat_map(|(group, name)| {
        measured.iter().filter_map(move |(table, metrics)| {
            let metric = metrics.iter().find(|metric| metric.level.is_none() && metric.name == name)?;
            let Point { y: value, interval, .. } = metric.point;
            let range = interval.unwrap_or((value, value));
            Some(Dot { name: format!("{}: {name}", table.step.name), group, value, range })
        })
    });
    let chart = DotChart {
        caption: "what was measured once, with 95 % intervals over problems".to_owned(),
        x: axis("share of problems", Scale::Share),
        dots: dots.collect(),
    };
    chart.svg()
}

/// The metrics over rounds; none where there was one only.
fn over_rounds(table: &Table<'_>, metrics: &[Metric]) -> Option<Svg> {
    if metrics.iter().all(|metric| metric.round == metrics[0].round) {
        return None;
    }
    let line = |name: &str| {
        let overall = metrics.iter().filter(|metric| metric.level.is_none() && metric.name == name);
        Line { name: name.to_owned(), points: overall.map(|metric| metric.point).collect() }
    };
    let chart = LineChart {
        caption: format!(
            "`{}` after each round, with 95 % intervals over problems; round 0 is where it starts",
            table.step.name
        ),
        x: axis("round", Scale::Whole),
        y: axis("share of problems", Scale::Share),
        lines: names(metrics).into_iter().map(line).collect(),
    };
    chart.svg()
}

/// The metric that the pipeline names first, by level, a line for each round; none where problems have no levels.
fn by_level(table: &Table<'_>, metrics: &[Metric]) -> Option<Svg> {
    let named = table.step.written.get("metrics").and_then(|names| names.get(0)?.as_str());
    let first = named.or_else(|| metrics.first().map(|metric| &*metric.name))?.to_owned();
    let rounds: BTreeSet<u32> = metrics.iter().map(|metric| metric.round).collect();
    let of = |round: u32| {
        let metrics = metrics.iter().filter(|metric| metric.round == round && metric.name == first);
        metrics.filter_map(|metric| Some(Point { x: metric.level? as f64, ..metric.point })).collect()
    };
    let lines = rounds.into_iter().map(|round| Line { name: format!("round {round}"), points: of(round) });
    let chart = LineChart {
        caption: format!("`{}`: {first} by level", table.step.name),
        x: axis("level", Scale::Whole),
        y: axis("share of problems", Scale::Share),
        lines: lines.filter(|line| !line.points.is_empty()).collect(),
    };
    chart.svg()
}

fn table_of(table: &Table<'_>, metrics: &[Metric]) -> Block {
    let overall: Vec<&Metric> = metrics.iter().filter(|metric| metric.level.is_none()).collect();
    let row = |metric: &&Metric| {
        let told = |share: f64| format!("{:.1} %", share * 100.0);
        let interval = metric.point.interval.map(|(low, high)| format!("{} to {}", told(low), told(high)));
        vec![
            metric.round.to_string(),
            metric.name.clone(),
            told(metric.point.y),
            interval.unwrap_or_default(),
            grouped(metric.n_problems),
        ]
    };
    Block::Table {
        caption: format!("`{}` in figures", table.step.name),
        head: ["round", "metric", "value", "95 % interval", "problems"].map(str::to_owned).into(),
        rows: overall.iter().map(row).collect(),
    }
}

fn gains(table: &Table<'_>) -> Block {
    let rows = table.rows.iter().filter_map(|row| {
        let points = |name| Some(format!("{:+.1}", table.float(row, name)? * 100.0));
        Some(vec![
            row.row.round.to_string(),
            table.int(row, "baseline_round")?.to_string(),
            table.text(row, "metric")?.to_owned(),
            points("difference")?,
            format!("{} to {}", points("low")?, points("high")?),
        ])
    });
    Block::Table {
        caption: format!("`{}`: points gained on the same problems (paired 95 % intervals)", table.step.name),
        head: ["round", "than round", "metric", "points", "95 % interval"].map(str::to_owned).into(),
        rows: rows.collect(),
    }
}

/// For each round, of each problem: draws, and correct ones.
type Counts = BTreeMap<u32, Vec<(u64, u64)>>;

fn counts_of_scores(table: &Table<'_>) -> Counts {
    let mut counts = Counts::new();
    for row in &table.rows {
        let count = |name| table.int(row, name).and_then(|n| u64::try_from(n).ok()).unwrap_or_default();
        counts.entry(row.row.round).or_default().push((count("n_draws"), count("n_correct")));
    }
    counts
}

/// Every prompt that was drawn for counts, also one whose draws were all left behind before they were judged.
fn counts_of_verdicts(plan: &Plan, tables: &Tables<'_>, step: &str) -> Counts {
    let mut prompts: BTreeMap<(u32, &str), (u64, u64)> = BTreeMap::new();
    let drawn = draws_before(plan, step);
    let is_main = |table: &&Table<'_>| table.step.ports.first().is_some_and(|port| port.name == table.port);
    for table in
        tables.with(&["prompt_id"]).filter(is_main).filter(|table| drawn.contains(table.step.name.as_str()))
    {
        for row in &table.rows {
            if let Some(prompt) = table.text(row, "prompt_id") {
                prompts.entry((row.row.round, prompt)).or_default().0 += 1;
            }
        }
    }
    let mut judged: BTreeMap<(u32, &str), (u64, u64)> = BTreeMap::new();
    for table in tables.with(&["verdict", "prompt_id"]).filter(|table| table.step.name == step) {
        for row in &table.rows {
            let Some(prompt) = table.text(row, "prompt_id") else { continue };
            let (draws, correct) = judged.entry((row.row.round, prompt)).or_default();
            *draws += 1;
            *correct += u64::from(table.text(row, "verdict") == Some("equal"));
        }
    }
    for (prompt, (draws, correct)) in judged {
        let (drawn, found) = prompts.entry(prompt).or_default();
        (*drawn, *found) = (draws.max(*drawn), correct);
    }
    let mut counts = Counts::new();
    for ((round, _), count) in prompts {
        counts.entry(round).or_default().push(count);
    }
    counts
}

/// The nearest steps before `step` that draw, by their names.
fn draws_before<'a>(plan: &'a Plan, step: &str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open: Vec<usize> = plan.step(step).into_iter().collect();
    let mut seen = BTreeSet::new();
    while let Some(at) = open.pop() {
        for edge in plan.steps[at].inputs.iter().flat_map(|inlet| &inlet.edges) {
            let before = &plan.steps[edge.step];
            if before.op == "sample" {
                found.insert(before.name.as_str());
            } else if seen.insert(edge.step) {
                open.push(edge.step);
            }
        }
    }
    found
}

fn pass_at_k(table: &Table<'_>, counts: &Counts) -> LineChart {
    let line = |(round, counts): (&u32, &Vec<(u64, u64)>)| {
        let most = counts.iter().map(|(n, _)| *n).min().unwrap_or_default();
        let mean = |k: u64| counts.iter().map(|(n, c)| pass(*n, *c, k)).sum::<f64>() / counts.len() as f64;
        let points = (1..=most).map(|k| Point { x: k as f64, y: mean(k), interval: None });
        Line { name: format!("round {round}"), points: points.collect() }
    };
    LineChart {
        caption: format!("`{}`: pass@k, the chance that one of k draws is correct", table.step.name),
        x: axis("k", Scale::Whole),
        y: axis("pass@k", Scale::Share),
        lines: counts.iter().map(line).collect(),
    }
}

/// The unbiased estimate of pass@k from `c` correct ones of `n` draws: 1 - C(n-c, k) / C(n, k).
fn pass(n: u64, c: u64, k: u64) -> f64 {
    if n - c < k {
        return 1.0;
    }
    1.0 - (n - c + 1..=n).map(|i| 1.0 - k as f64 / i as f64).product::<f64>()
}

/// Problems of each round by how many draws are correct: what is never or always solved teaches least.
fn histogram(caption: &str, counts: &Counts) -> Block {
    let most = counts.values().flatten().map(|(n, _)| *n).max().unwrap_or_default();
    // Many counts are grouped, so that the table stays narrow.
    let width = most.div_ceil(16).max(1);
    let bins: Vec<(u64, u64)> = std::iter::once((0, 0))
        .chain((1..=most).step_by(width as usize).map(|from| (from, (from + width - 1).min(most))))
        .collect();
    let share = |counts: &[(u64, u64)], (from, to): (u64, u64)| {
        let n = counts.iter().filter(|(_, c)| (from..=to).contains(c)).count();
        Some(n as f64 / counts.len() as f64)
    };
    let label = |(from, to): &(u64, u64)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let rows = counts.iter().map(|(round, counts)| {
        (format!("round {round}"), bins.iter().map(|bin| share(counts, *bin)).collect())
    });
    Block::Heat {
        caption: format!("{caption}, in shares of each round"),
        head: std::iter::once(String::new()).chain(bins.iter().map(label)).collect(),
        rows: rows.collect(),
    }
}

fn axis(name: &str, scale: Scale) -> Axis {
    Axis { name: name.to_owned(), scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pass_at_k_is_unbiased() {
        // Against the count over all subsets of 5 draws, 2 of them correct.
        let subsets = |k: u32| (0..1_u32 << 5).filter(move |set| set.count_ones() == k);
        for k in 1..=5 {
            let hits = subsets(k).filter(|set| set & 0b11 != 0).count() as f64;
            let all = subsets(k).count() as f64;
            assert!((pass(5, 2, k.into()) - hits / all).abs() < 1e-12, "{k}");
        }
        assert_eq!((pass(8, 0, 8), pass(8, 8, 1)), (0.0, 1.0));
    }

    #[test]
    fn problems_are_counted_by_their_correct_draws() {
        let counts = Counts::from([(1, vec![(4, 0), (4, 0), (4, 3), (4, 4)])]);
        let Block::Heat { head, rows, .. } = histogram("x", &counts) else { panic!("a heat table") };
        assert_eq!(head, ["", "0", "1", "2", "3", "4"]);
        assert_eq!(rows[0].1, [0.5, 0.0, 0.0, 0.25, 0.25].map(Some));
        let many = Counts::from([(1, vec![(100, 100)])]);
        let Block::Heat { head, .. } = histogram("x", &many) else { panic!("a heat table") };
        assert_eq!((head.len(), head.last().map(String::as_str)), (17, Some("99-100")));
    }
}
