//! The task family: what problems say, how they are solved, and who shares them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::testing::{load, mistakes};

fn generate(options: &str) -> Vec<Json> {
    load(&format!("op: generate, {options}"))
        .expect("there are enough problems")
        .remove("out")
        .unwrap_or_default()
}

fn texts(rows: &[Json]) -> BTreeSet<String> {
    rows.iter().map(|row| row["prompt"].as_str().unwrap_or_default().to_owned()).collect()
}

#[test]
fn problems_are_distinct_fixed_by_the_seed_and_kept_when_more_are_made() {
    let rows = generate("n: 3000, seed: 5");
    assert_eq!(texts(&rows).len(), 3000);
    assert_eq!(rows, generate("n: 3000, seed: 5"));
    assert_eq!(rows[..100], generate("n: 100, seed: 5"));
    assert_ne!(rows[..100], generate("n: 100, seed: 6"));
}

#[test]
fn splits_share_no_problem_whatever_the_seeds() {
    let held_out = texts(&generate("n: 5000, levels: [1], seed: 2, split: held_out"));
    for seed in [2, 3] {
        let train = texts(&generate(&format!("n: 20000, levels: [1], seed: {seed}")));
        assert!(train.is_disjoint(&held_out));
    }
}

#[test]
fn levels_have_their_shares() {
    let rows = generate("n: 4000, levels: {1: 3, 4: 1}, seed: 1");
    let share = |level: i64| rows.iter().filter(|row| row["level"] == level).count() as f64 / 4000.0;
    assert!((share(1) - 0.75).abs() < 0.03 && (share(4) - 0.25).abs() < 0.03);
    assert_eq!(share(1) + share(4), 1.0);
}

#[test]
fn every_solution_is_sound_and_ends_in_the_answer() {
    for row in generate("n: 600, seed: 3") {
        let solution = row["solution"].as_str().expect("a solution");
        let steps = flow_verify::check_steps(solution);
        assert!(flow_verify::all_sound(&steps), "{solution}");
        assert_eq!(steps.len() as i64, row["level"].as_i64().expect("a level") + 1);
        let answer = flow_verify::extract(solution, flow_verify::Extract::FinalLine).expect("an answer");
        assert_eq!(row["answer"], *answer.text);
        assert!(
            row["prompt"].as_str().is_some_and(|prompt| prompt.ends_with(".\n") && prompt.len() < 120)
        );
    }
}

#[test]
fn more_problems_than_there_are_is_told_at_once() {
    let most = "op: generate, n: 100000000, levels: [1, 6]";
    let found = mistakes(None, most);
    assert!(found.len() == 1 && found[0].contains("problems of level 1 in this split"), "{found:?}");
    assert!(mistakes(None, "op: generate, n: 100000000, levels: [6]").is_empty());
    // So close to all there are that only making them tells.
    let held_out = "op: generate, n: 160000, levels: [1], split: held_out";
    assert!(mistakes(None, held_out).is_empty());
    assert!(!mistakes(None, &held_out.replace("160000", "175000")).is_empty());
}

#[test]
fn mistakes_are_told_before_the_run() {
    assert_eq!(mistakes(None, "op: generate, n: 1, domains: [units, units]").len(), 1, "each domain once");
    for levels in ["[13]", "[]", "{x: 1}", "{1: 0}", "{1: -1}"] {
        assert_eq!(mistakes(None, &format!("op: generate, n: 1, levels: {levels}")).len(), 1, "{levels}");
    }
}

const DOMAINS: [&str; 6] = ["arithmetic", "equations", "units", "time", "ordering", "modular"];

#[test]
fn every_domain_is_sound_at_every_level_in_every_phrasing() {
    for phrasing in ["plain", "varied", "unseen"] {
        for domain in DOMAINS {
            let rows = generate(&format!(
                "n: 600, levels: [1, 2, 3, 4, 5, 6, 9, 12], domains: [{domain}], phrasing: {phrasing}, distractors: 2, seed: 4"
            ));
            for row in rows {
                assert_eq!(row["domain"], domain);
                assert_sound(&row);
                let prompt = row["prompt"].as_str().expect("a prompt");
                assert!(!prompt.contains(['{', '}']), "{prompt}");
            }
        }
    }
}

/// The solution has as many equations as the level says, all true, and ends in the answer.
fn assert_sound(row: &Json) {
    let solution = row["solution"].as_str().expect("a solution");
    let steps = flow_verify::check_steps(solution);
    assert!(flow_verify::all_sound(&steps), "{row}");
    assert_eq!(steps.len() as i64, row["level"].as_i64().expect("a level") + 1, "{row}");
    let answer = flow_verify::extract(solution, flow_verify::Extract::FinalLine).expect("an answer");
    assert_eq!(row["answer"], *answer.text);
}

#[test]
fn equations_hold_for_their_answer() {
    for row in generate("n: 400, levels: [1, 3, 6], domains: [equations], seed: 2") {
        let prompt = row["prompt"].as_str().expect("a prompt");
        let equation = prompt.trim_start_matches("Solve ").trim_end_matches(".\n");
        let x = row["answer"].as_str().expect("an answer");
        let (left, right) = equation.split_once('=').expect("an equation");
        let value = left.replace('x', &format!("({x})"));
        let verdict = flow_verify::compare(right, &value, flow_verify::Compare::Math);
        assert_eq!(verdict.outcome, flow_verify::Outcome::Equal, "{prompt} {x}");
    }
}

#[test]
fn no_problem_is_learned_in_one_wording_and_held_out_in_another() {
    // Level 1 of this domain has few problems: both splits make most of them.
    let solutions = |options: &str| -> BTreeSet<String> {
        let rows = generate(&format!("levels: [1], domains: [equations], largest_number: 10, {options}"));
        rows.iter().map(|row| row["solution"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let learned = solutions("n: 120, seed: 1");
    let held_out = solutions("n: 10, seed: 2, phrasing: unseen, split: held_out");
    assert!(learned.is_disjoint(&held_out), "{held_out:?}");
}

#[test]
fn domains_have_equal_shares_and_arithmetic_alone_stays_as_it_was() {
    let rows = generate("n: 1200, domains: [units, time, modular], seed: 1");
    for domain in ["units", "time", "modular"] {
        let n = rows.iter().filter(|row| row["domain"] == domain).count();
        assert!((340..460).contains(&n), "{domain}: {n}");
    }
    let named = generate("n: 50, domains: [arithmetic], seed: 1");
    assert_eq!(texts(&named), texts(&generate("n: 50, seed: 1")));
}

#[test]
fn unseen_words_are_in_no_other_phrasing() {
    let sentences = |phrasing: &str| -> BTreeSet<String> {
        let rows = generate(&format!(
            "n: 800, domains: [{}], phrasing: {phrasing}, distractors: 1, seed: 9",
            DOMAINS.join(", ")
        ));
        let texts = texts(&rows);
        // Words alone: what is filled in differs anyway.
        let words = |sentence: &str| sentence.split(' ').filter(|word| word.chars().all(char::is_lowercase)).collect::<Vec<_>>().join(" ");
        texts.iter().flat_map(|text| text.trim().split(". ")).map(words).filter(|words| words.len() > 12).collect()
    };
    assert!(sentences("unseen").is_disjoint(&sentences("varied")));
}

#[test]
fn a_text_of_each_domain() {
    let told: Vec<String> = DOMAINS
        .iter()
        .map(|domain| generate(&format!("n: 1, levels: [3], domains: [{domain}], seed: 1")).remove(0))
        .map(|row| format!("{}{}", row["prompt"].as_str().unwrap_or_default(), row["solution"].as_str().unwrap_or_default()))
        .collect();
    let expected = include_str!("tests/domains.txt");
    assert_eq!(told.join("\n\n") + "\n", expected);
}
