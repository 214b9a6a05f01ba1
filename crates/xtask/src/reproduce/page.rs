//! The page of a method, as Markdown.

use super::interval::Interval;
use super::outcome::Outcome;
use super::{Arm, Measure, Method, SEEDS};

/// Settings, claims with verdicts, then the figures behind them.
pub(super) fn page(method: &Method, outcomes: &[Outcome]) -> Result<String, String> {
    let mut text = format!("# {}\n\n", method.title);
    text.push_str(&format!(
        "{}. Made by `cargo xtask reproduce {}` from the Parquet that the runs publish; seeds {}.\n\n{}\n\n",
        method.paper,
        method.name,
        SEEDS.map(|seed| seed.to_string()).join(", "),
        method.setting.trim()
    ));
    text.push_str("## Claims\n\n| claim | paper | here | verdict |\n| --- | --- | --- | --- |\n");
    for claim in method.claims {
        let finding = claim.find(outcomes)?;
        let verdict = finding.verdict.word();
        text.push_str(&format!(
            "| {} | {} | {} | **{verdict}** |\n",
            claim.says, claim.paper, finding.measured
        ));
    }
    text.push_str(
        "\nDifferences are of the same problems under the same random numbers, with 95 % bootstrap intervals over the problems of all seeds. \
         A difference is reproduced where the interval and every seed hold, not reproduced where the interval is on the other side; a number \
         by seed where all seeds agree. Intervals do not cover the choice of the base model.\n\n## Arms\n\n",
    );
    text.push_str("| arm | run |\n| --- | --- |\n");
    for arm in method.arms {
        text.push_str(&format!("| {} | `{}` |\n", arm.name, command(arm)));
    }
    text.push_str("\n## Scores\n\nMean over the seeds, with the range of the seeds.\n\n");
    for (step, measures) in method.shown {
        text.push_str(&scores(method, outcomes, step, measures));
    }
    text.push_str("\n## Spent\n\nRequests of all models and trainings, and tokens drawn, a run.\n\n");
    text.push_str(&spent(method, outcomes));
    Ok(text)
}

fn command(arm: &Arm) -> String {
    let profile = arm.profile.map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    let set: String = arm.set.iter().map(|set| format!(" --set {set}")).collect();
    format!("flow exec {}{profile}{set}", arm.pipeline)
}

/// A row for each arm and measure, a column for each round that any arm has.
fn scores(method: &Method, outcomes: &[Outcome], step: &str, measures: &[Measure]) -> String {
    let last = outcomes.iter().map(|outcome| outcome.last_round(step)).max().unwrap_or(0);
    let first = if last == 0 {
        0
    } else {
        outcomes.iter().filter_map(|outcome| outcome.first_round(step)).min().unwrap_or(0)
    };
    let rounds: Vec<i64> = (first..=last).collect();
    let heads: Vec<String> = rounds.iter().map(|round| format!("round {round}")).collect();
    let mut text = format!(
        "`{step}`\n\n| arm | measure | {} |\n| --- | --- |{}\n",
        heads.join(" | "),
        " --- |".repeat(rounds.len())
    );
    for arm in method.arms {
        let runs: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.arm == arm.name).collect();
        for measure in measures {
            let cells: Vec<String> = rounds.iter().map(|round| cell(&runs, step, *round, *measure)).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                text.push_str(&format!("| {} | {} | {} |\n", arm.name, measure.name(), cells.join(" | ")));
            }
        }
    }
    text + "\n"
}

fn cell(runs: &[&Outcome], step: &str, round: i64, measure: Measure) -> String {
    let means: Vec<f64> = runs
        .iter()
        .filter_map(|run| {
            let values = run.values(step, round, measure, None);
            (!values.is_empty()).then(|| values.values().sum::<f64>() / values.len() as f64)
        })
        .collect();
    if means.is_empty() {
        return String::new();
    }
    let least = means.iter().copied().fold(f64::INFINITY, f64::min);
    let most = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = Interval::of(&means).mean;
    format!("{} ({} to {})", measure.told(mean), measure.told(least), measure.told(most))
}

fn spent(method: &Method, outcomes: &[Outcome]) -> String {
    let mut text = "| arm | requests | tokens drawn |\n| --- | --- | --- |\n".to_owned();
    for arm in method.arms {
        let runs: Vec<(i64, i64)> = outcomes
            .iter()
            .filter(|outcome| outcome.arm == arm.name)
            .map(|outcome| outcome.spent(&[]))
            .collect();
        let mean = |of: fn(&(i64, i64)) -> i64| runs.iter().map(of).sum::<i64>() / runs.len().max(1) as i64;
        text.push_str(&format!("| {} | {} | {} |\n", arm.name, mean(|run| run.0), mean(|run| run.1)));
    }
    text
}
