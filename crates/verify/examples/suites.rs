//! The answer suites of other checkers, row by row: agreement, false accepts, false rejects, unknowns.
//!
//! `cargo run --release -p flow-verify --example suites -- FOLDER [disagreements]`, with the folder of
//! `answer_equivalence`. Rows that ask for the same form rather than the same value are left out.

#![allow(clippy::print_stdout, reason = "an example speaks to a person")]

use std::path::Path;
use std::time::{Duration, Instant};

use flow_verify::{Decimals, Grader, Options, Order, Outcome, Units, Verdict, compare_with};
use serde_json::Value;

#[derive(Default)]
struct Tally {
    rows: usize,
    agree: usize,
    false_accepts: usize,
    false_rejects: usize,
    unknown: usize,
    times: Vec<Duration>,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("the folder of the suites is missing")?;
    let lists = arguments.next().is_some();
    let mut files: Vec<_> = Path::new(&folder).read_dir()?.collect::<Result<Vec<_>, _>>()?;
    files.sort_by_key(std::fs::DirEntry::file_name);
    println!(
        "{:28} {:>6} {:>7} {:>7} {:>7} {:>8} {:>9} {:>8}",
        "suite", "rows", "agree", "accepts", "rejects", "unknown", "median us", "most us"
    );
    for file in files {
        let name = file.file_name().to_string_lossy().into_owned();
        if name.starts_with('_') || !name.ends_with(".jsonl") {
            continue;
        }
        let mut tally = Tally::default();
        for line in std::fs::read_to_string(file.path())?.lines() {
            add(&mut tally, &serde_json::from_str(line)?, lists);
        }
        if tally.rows > 0 {
            let Tally { rows, agree, false_accepts, false_rejects, unknown, mut times } = tally;
            times.sort();
            let median = times[times.len() / 2].as_secs_f64() * 1e6;
            let most = times[times.len() - 1].as_secs_f64() * 1e6;
            let name = name.trim_end_matches(".jsonl");
            println!(
                "{name:28} {rows:>6} {agree:>7} {false_accepts:>7} {false_rejects:>7} {unknown:>8} {median:>9.1} {most:>8.0}"
            );
        }
    }
    Ok(())
}

fn add(tally: &mut Tally, row: &Value, lists: bool) {
    let is_literal = row["options"]["mode"] == "literal";
    let (Some(expected), Some(given)) = (row["expected"].as_bool(), row["pred"].as_str()) else { return };
    let golds: Vec<&str> = match &row["gold"] {
        Value::String(gold) => vec![gold],
        Value::Array(golds) => golds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    if is_literal {
        return;
    }
    let options = options(row);
    let started = Instant::now();
    let verdicts: Vec<Verdict> = golds
        .iter()
        .map(|gold| match row["kind"].as_str() {
            Some("equiv") => compare_with(gold, given, &options),
            _ => Grader { options: options.clone(), ..Grader::default() }.grade(*gold, given).verdict,
        })
        .collect();
    let time = started.elapsed();
    let best = |outcome| verdicts.iter().find(|verdict| verdict.outcome == outcome);
    let Some(verdict) = best(Outcome::Equal).or(best(Outcome::Unknown)).or(verdicts.first()) else { return };
    tally.rows += 1;
    tally.times.push(time);
    match (expected, verdict.outcome) {
        (true, Outcome::Equal) | (false, Outcome::Different) => tally.agree += 1,
        (false, Outcome::Equal) => tally.false_accepts += 1,
        (true, Outcome::Different) => tally.false_rejects += 1,
        (_, Outcome::Unknown) => tally.unknown += 1,
    }
    let agrees = expected == (verdict.outcome == Outcome::Equal) && verdict.outcome != Outcome::Unknown;
    if lists && !agrees || time > Duration::from_millis(10) {
        let (id, gold) = (row["id"].as_str().unwrap_or_default(), golds.join(" | "));
        let tail: String = given.chars().rev().take(90).collect::<Vec<_>>().into_iter().rev().collect();
        let micros = time.as_micros();
        println!(
            "  {id} expected {expected}, {} by {} in {micros} us: {gold:?} and {tail:?}: {}",
            verdict.outcome, verdict.method, verdict.witness
        );
    }
}

/// What a row asks for, as far as its own options say.
fn options(row: &Value) -> Options {
    let mut options = Options::default();
    let suite = row["id"].as_str().unwrap_or_default().split('/').next().unwrap_or_default();
    let places = row["options"]["precision"].as_u64().or(row["options"]["float_rounding"].as_u64());
    if let Some(places) = places {
        options.decimals = Decimals::Places(u32::try_from(places).unwrap_or(6));
    }
    match suite {
        "hendrycks_math" => options.order = Order::Listed,
        "pie_math_validation" => {
            options.units = Units::Required;
            options.decimals = Decimals::Exact;
        }
        "qwen25_math" => options.decimals = Decimals::Rounded,
        "glm_v" => options.decimals = Decimals::Relative(6),
        _ => {}
    }
    options
}
