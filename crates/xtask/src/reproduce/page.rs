//! The page of a method, as Markdown.

use super::figures::Figure;
use super::outcome::{Outcome, Spent, Summary};
use super::{Arm, Measure, Method, SEEDS};

/// Settings, claims with verdicts, then the numbers behind them.
pub(super) fn page(method: &Method, outcomes: &[Outcome], figures: &[Figure]) -> Result<String, String> {
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
         by seed where all seeds agree. Intervals do not cover the choice of the base model or of the settings.\n\n## Arms\n\n",
    );
    text.push_str("| arm | run |\n| --- | --- |\n");
    for arm in method.arms {
        text.push_str(&format!("| {} | `{}` |\n", arm.name, command(arm)));
    }
    text.push_str("\n## Scores\n\nMean over the seeds, with the range of the seeds.\n\n");
    for Figure { file, caption, .. } in figures {
        text.push_str(&format!("![{caption}]({file})\n"));
    }
    text.push_str(if figures.is_empty() { "" } else { "\n" });
    text.push_str(&scores(method, outcomes));
    text.push_str("\n## Spent\n\nA run, on average: requests of all models and trainings, tokens drawn, and tokens that trainings saw.\n\n");
    text.push_str(&spent(method, outcomes));
    Ok(text)
}

fn command(arm: &Arm) -> String {
    let profile = arm.profile.map(|profile| format!(" --profile {profile}")).unwrap_or_default();
    let set: String = arm.set.iter().map(|set| format!(" --set '{set}'")).collect();
    format!("flow exec {}{profile}{set}", arm.pipeline)
}

/// A row for each arm, step and measure, a column for each round that any of them has.
fn scores(method: &Method, outcomes: &[Outcome]) -> String {
    let last = |step: &str| outcomes.iter().map(|outcome| outcome.last_round(step)).max();
    let last = method.shown.iter().filter_map(|(step, _)| last(step)).max().unwrap_or(0);
    let heads: Vec<String> = match last {
        0 => vec!["value".to_owned()],
        last => (0..=last).map(|round| format!("round {round}")).collect(),
    };
    let rules = " --- |".repeat(heads.len());
    let mut text = format!("| arm | step | measure | {} |\n| --- | --- | --- |{rules}\n", heads.join(" | "));
    for arm in method.arms {
        let runs: Vec<&Outcome> = outcomes.iter().filter(|outcome| outcome.arm == arm.name).collect();
        let shown = method.shown.iter().flat_map(|(step, measures)| measures.iter().map(move |m| (step, *m)));
        for (step, measure) in shown {
            let cells: Vec<String> = (0..=last).map(|round| cell(&runs, step, round, measure)).collect();
            if cells.iter().any(|cell| !cell.is_empty()) {
                let name = measure.name();
                text.push_str(&format!("| {} | `{step}` | {name} | {} |\n", arm.name, cells.join(" | ")));
            }
        }
    }
    text + "\n"
}

fn cell(runs: &[&Outcome], step: &str, round: i64, measure: Measure) -> String {
    Summary::of(runs, step, round, measure).map_or_else(String::new, |Summary { mean, least, most }| {
        format!("{} ({} to {})", measure.told(mean), measure.told(least), measure.told(most))
    })
}

fn spent(method: &Method, outcomes: &[Outcome]) -> String {
    let mut text =
        "| arm | requests | tokens drawn | tokens trained |\n| --- | --- | --- | --- |\n".to_owned();
    for arm in method.arms {
        let runs: Vec<Spent> =
            outcomes.iter().filter(|outcome| outcome.arm == arm.name).map(Outcome::spent).collect();
        let mean = |of: fn(&Spent) -> i64| runs.iter().map(of).sum::<i64>() / runs.len().max(1) as i64;
        let spent = [mean(|run| run.requests), mean(|run| run.tokens_drawn), mean(|run| run.tokens_trained)];
        text.push_str(&format!("| {} | {} | {} | {} |\n", arm.name, spent[0], spent[1], spent[2]));
    }
    text
}
