//! `balance` against a naive oracle and its promises under growth.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use crate::testing::{Ports, columns, mistakes, run};

/// Rows with a group, a level and their position as prompt.
fn rows(cells: &[(u8, i64)]) -> Vec<Json> {
    let row = |(at, (group, level)): (usize, &(u8, i64))| json!({"prompt_id": group.to_string(), "prompt": at.to_string(), "level": level});
    cells.iter().enumerate().map(row).collect()
}

fn balance(cells: &[(u8, i64)], options: &str) -> Ports {
    run(&columns("prompt"), &rows(cells), &format!("op: balance, {options}"))
}

fn chosen(ports: &Ports) -> BTreeSet<String> {
    ports["out"].iter().map(|row| row["prompt"].as_str().unwrap_or_default().to_owned()).collect()
}

fn count(rows: &[Json], column: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    rows.iter().for_each(|row| *counts.entry(row[column].to_string()).or_default() += 1);
    counts
}

fn cells() -> impl Strategy<Value = Vec<(u8, i64)>> {
    proptest::collection::vec((0..6_u8, 1..4_i64), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn groups_keep_between_floor_and_cap(cells in cells(), least in 1..4_usize, more in 0..4_usize) {
        let most = least + more;
        let ports = balance(&cells, &format!("per: prompt_id, at_least: {least}, at_most: {most}"));
        let before = count(&rows(&cells), "prompt_id");
        let after = count(&ports["out"], "prompt_id");
        for (group, n) in before {
            let expected = if n < least { 0 } else { n.min(most) };
            prop_assert_eq!(after.get(&group).copied().unwrap_or(0), expected);
        }
        prop_assert_eq!(ports["out"].len() + ports["rejected"].len(), cells.len());
    }

    #[test]
    fn a_total_is_filled_and_not_passed(cells in cells(), total in 1..40_usize) {
        let ports = balance(&cells, &format!("per: prompt_id, at_most: 3, rows: {total}"));
        let capped: usize = count(&rows(&cells), "prompt_id").values().map(|n| *n.min(&3)).sum();
        prop_assert_eq!(ports["out"].len(), capped.min(total));
        prop_assert_eq!(ports["out"].len() + ports["rejected"].len(), cells.len());
    }

    #[test]
    fn equal_shares_differ_by_one_at_most(cells in cells(), total in 1..40_usize) {
        let ports = balance(&cells, &format!("rows: {total}, by: level"));
        let before = count(&rows(&cells), "level");
        let after = count(&ports["out"], "level");
        let share = total / before.len();
        for (level, n) in before {
            let kept = after.get(&level).copied().unwrap_or(0);
            prop_assert!(kept == n.min(share) || kept == n.min(share + 1), "{} of {} with share {}", kept, n, share);
        }
        prop_assert!(ports["out"].len() <= total);
    }

    #[test]
    fn given_shares_sum_to_the_total(weights in proptest::collection::vec(1..20_u32, 1..6), total in 1..40_usize) {
        let all: u32 = weights.iter().sum();
        let due = |weight: u32| f64::from(weight) / f64::from(all);
        let shares: Vec<String> =
            weights.iter().enumerate().map(|(level, weight)| format!("{level}: {}", due(*weight))).collect();
        let cells: Vec<_> = (0..weights.len() as i64).flat_map(|level| std::iter::repeat_n((0, level), total + 1)).collect();
        let shares = shares.join(", ");
        let ports = balance(&cells, &format!("rows: {total}, quotas: {{column: level, shares: {{{shares}}}}}"));
        prop_assert_eq!(ports["out"].len(), total);
        let after = count(&ports["out"], "level");
        for (level, weight) in weights.iter().enumerate() {
            let kept = after.get(&level.to_string()).copied().unwrap_or(0) as f64;
            prop_assert!((kept - due(*weight) * total as f64).abs() < 1.0 + 1e-9, "{} rows of level {}", kept, level);
        }
    }

    #[test]
    fn growing_the_data_keeps_old_picks_or_replaces_them_by_new_rows(cells in cells(), more in cells()) {
        let grown: Vec<_> = cells.iter().chain(&more).copied().collect();
        for options in ["per: prompt_id, at_most: 2", "rows: 7", "rows: 9, quotas: {column: level, shares: {1: 0.5, 2: 0.5}}"] {
            let (old, new) = (chosen(&balance(&cells, options)), chosen(&balance(&grown, options)));
            let first_new = cells.len();
            let revived = new.difference(&old).filter(|at| at.parse::<usize>().is_ok_and(|at| at < first_new));
            prop_assert_eq!(revived.count(), 0, "a row that was passed over is not chosen because others came");
        }
    }
}

#[test]
fn shares_are_parts_of_the_total() {
    let cells: Vec<(u8, i64)> = (0..300).map(|at| (0, at % 3 + 1)).collect();
    let ports = balance(&cells, "rows: 50, quotas: {column: level, shares: {1: 0.2, 2: 0.8}}");
    assert_eq!(count(&ports["out"], "level"), BTreeMap::from([("1".into(), 10), ("2".into(), 40)]));
    assert_eq!(count(&ports["rejected"], "reason"), BTreeMap::from([("\"over_quota\"".into(), 250)]));
}

#[test]
fn shares_that_round_up_do_not_pass_the_total() {
    let cells: Vec<(u8, i64)> = (0..20).map(|at| (0, at % 2)).collect();
    let ports = balance(&cells, "rows: 5, quotas: {column: level, shares: {0: 0.5, 1: 0.5}}");
    assert_eq!(ports["out"].len(), 5);
}

#[test]
fn the_cap_does_not_bias_the_total() {
    // A row that a cap of one kept of twenty has a low rank for that choice; for the total it must not.
    let crowds = (0..100_u8).flat_map(|group| std::iter::repeat_n((group, 1), 20));
    let cells: Vec<_> = crowds.chain((100..200).map(|group| (group, 2))).collect();
    let ports = balance(&cells, "per: prompt_id, at_most: 1, rows: 100");
    let from_crowds = count(&ports["out"], "level")["1"];
    assert!((35..=65).contains(&from_crowds), "{from_crowds} of 100 rows come from crowds, 50 expected");
}

#[test]
fn rounds_are_balanced_apart() {
    let rows: Vec<Json> = (1..=3)
        .flat_map(|round| (0..4).map(move |at| json!({"prompt": at.to_string(), "round": round})))
        .collect();
    let ports = run(&columns("prompt"), &rows, "op: balance, rows: 2");
    assert_eq!(count(&ports["out"], "round").values().copied().collect::<Vec<_>>(), [2, 2, 2]);
}

#[test]
fn mistakes_are_told_together() {
    let check = |options: &str| mistakes(Some(&columns("prompt")), &format!("op: balance, {options}"));
    assert_eq!(check("per: prompt_id, at_least: 3, at_most: 2, rows: 5, by: levle").len(), 2);
    assert_eq!(check("at_most: 2").len(), 1);
    assert_eq!(check("per: level").len(), 1);
    assert_eq!(check("by: level").len(), 1);
    assert_eq!(check("rows: 5, quotas: {column: level, shares: {1: 0.7, 2: 0.7}}").len(), 1);
    assert_eq!(check("rows: 5, quotas: {column: level, shares: {1: 0}}").len(), 1);
    assert_eq!(check("rows: 5, quotas: {column: level, shares: {}}").len(), 1);
}
