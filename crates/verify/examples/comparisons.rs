//! What one comparison takes, by what is compared: `comparisons FILE`, JSON lines with the texts `gold` and `pred`.
#![allow(clippy::print_stdout, reason = "an example reports to people")]

use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use flow_verify::{Compare, compare};
use serde_json::Value;

/// How often each pair is compared; the shortest time counts.
const RUNS: usize = 5;

/// Pairs of one kind.
struct Kind {
    name: &'static str,
    is_of: fn(&str) -> bool,
}

const KINDS: [Kind; 2] = [
    Kind { name: "plain numbers", is_of: is_plain },
    Kind { name: "LaTeX", is_of: |text| text.contains('\\') },
];

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("expected `comparisons FILE`")?;
    let pairs = read(&std::fs::read_to_string(path)?)?;
    println!(
        "| what is compared | pairs | median, microseconds | 99th percentile |\n| --- | --- | --- | --- |"
    );
    for Kind { name, is_of } in KINDS {
        let mut times: Vec<f64> =
            pairs.iter().filter(|(a, b)| is_of(a) && is_of(b)).map(|(a, b)| microseconds(a, b)).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN);
        println!("| {name} | {} | {:.1} | {:.1} |", times.len(), at(0.5), at(0.99));
    }
    Ok(())
}

fn read(text: &str) -> Result<Vec<(String, String)>, serde_json::Error> {
    let rows = text.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let cell = |row: &Value, name: &str| row[name].as_str().map(str::to_owned);
    Ok(rows.iter().filter_map(|row| Some((cell(row, "gold")?, cell(row, "pred")?))).collect())
}

fn is_plain(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || "+-.,/$% ".contains(c))
}

fn microseconds(gold: &str, answer: &str) -> f64 {
    let run = || {
        let start = Instant::now();
        black_box(compare(black_box(gold), black_box(answer), Compare::Math));
        start.elapsed().as_secs_f64() * 1e6
    };
    (0..RUNS).map(|_| run()).fold(f64::INFINITY, f64::min)
}
