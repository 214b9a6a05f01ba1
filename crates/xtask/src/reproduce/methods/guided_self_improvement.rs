//! Guided Self-Improvement (arXiv 2411.00750).

use std::collections::BTreeSet;

use crate::reproduce::claim::{Aim, At, Claim, Runs, Test, When};
use crate::reproduce::{Arm, Measure, Method};

const PIPELINE: &str = "pipelines/guided-self-improvement.yaml";
const PASS_1: Measure = Measure::Pass(1);
const PASS_8: Measure = Measure::Pass(8);
/// Levels of the questions, as often each.
const LEVELS: f64 = 6.0;

const fn last(arm: &'static str, measure: Measure) -> At {
    At { arm, step: "scores", round: When::Last, measure }
}

const fn more(of: At, from: At, aim: Aim) -> Test {
    Test::Difference { of, from, level: None, aim }
}

/// One round with the form of guidance of a profile.
const fn form(name: &'static str, profile: Option<&'static str>) -> Arm {
    Arm { name, pipeline: PIPELINE, profile, set: &["rounds.count=1"] }
}

pub(super) static METHOD: Method = Method {
    name: "guided-self-improvement",
    title: "Guided Self-Improvement",
    paper: "arXiv 2411.00750",
    setting: "\
1,200 questions, as many of each level, 8 draws each at T = 0.7; questions with fewer than 4 right draws are drawn for again: up to 8
times with a growing part of their solution (`guided`), up to 56 times without (`brute-force`), or not at all (`plain`). Three rounds; each
trains `models/arith-instruct` (0.87 M parameters) anew on its own rows. The forms of guidance are
compared after one round. The paper trains Llama 2 7B, Llama 3 8B, Mistral 7B and DeepSeekMath 7B.",
    needs: &[],
    arms: &[
        Arm { name: "guided", pipeline: PIPELINE, profile: None, set: &[] },
        Arm { name: "brute-force", pipeline: PIPELINE, profile: Some("brute_force"), set: &[] },
        Arm { name: "plain", pipeline: PIPELINE, profile: Some("plain"), set: &[] },
        form("form-prefix", None),
        form("form-reference", Some("rationale")),
        form("form-answer", Some("answer")),
    ],
    shown: &[("scores", &[PASS_1, PASS_8, Measure::Majority])],
    claims: &[
        Claim {
            says: "the tail narrows: the hardest level's share of plain data, times its share of the questions",
            paper: "0.26 (MATH level 5)",
            test: Test::Each { quantity: |runs| share(runs, "plain", 6, When::Last), aim: Aim::Below(0.5) },
        },
        Claim {
            says: "and the easiest level's grows",
            paper: "3.1 (MATH level 1)",
            test: Test::Each { quantity: |runs| share(runs, "plain", 1, When::Last), aim: Aim::Above(1.5) },
        },
        Claim {
            says: "guidance at least doubles the hardest level's share of plain data",
            paper: "histograms only",
            test: Test::Each {
                quantity: |runs| Ok(share(runs, "guided", 6, When::Last)? / share(runs, "plain", 6, When::Last)?),
                aim: Aim::Above(2.0),
            },
        },
        Claim {
            says: "guidance takes at most half the tokens of brute force",
            paper: "about a third of the compute",
            test: Test::Each { quantity: tokens, aim: Aim::Below(0.5) },
        },
        Claim {
            says: "with at least its accuracy (no more than a point below)",
            paper: "equal or better",
            test: more(last("guided", PASS_1), last("brute-force", PASS_1), Aim::Above(-0.01)),
        },
        Claim {
            says: "guided self-improvement is better than plain",
            paper: "+5.7, +3.4, +2.2, +0.1 (balanced over vanilla, 8 draws)",
            test: more(last("guided", PASS_1), last("plain", PASS_1), Aim::Above(0.0)),
        },
        Claim {
            says: "it finds right solutions of more questions than brute force (times)",
            paper: "higher coverage",
            test: Test::Each {
                quantity: |runs| Ok(solved(runs, "guided")? / solved(runs, "brute-force")?),
                aim: Aim::Above(1.0),
            },
        },
        Claim {
            says: "a part of the solution helps more questions than a reference (times)",
            paper: "state reset is the best form",
            test: Test::Each {
                quantity: |runs| Ok(solved(runs, "form-prefix")? / solved(runs, "form-reference")?),
                aim: Aim::Above(1.0),
            },
        },
        Claim {
            says: "a reference helps more questions than the answer alone (times)",
            paper: "answers fail weak reasoners",
            test: Test::Each {
                quantity: |runs| Ok(solved(runs, "form-reference")? / solved(runs, "form-answer")?),
                aim: Aim::Above(1.0),
            },
        },
    ],
};

/// The share of a level in an arm's data, over its share of the questions.
fn share(runs: &Runs<'_>, arm: &str, level: i64, round: When) -> Result<f64, String> {
    let run = runs.arm(arm)?;
    let rows = run.published("shards", run.round("scores", round))?;
    let of_level = rows.iter().filter(|(_, found)| *found == Some(level)).count();
    Ok(LEVELS * of_level as f64 / rows.len().max(1) as f64)
}

/// Questions with a right solution in an arm's last data.
fn solved(runs: &Runs<'_>, arm: &str) -> Result<f64, String> {
    let run = runs.arm(arm)?;
    let rows = run.published("shards", run.last_round("scores"))?;
    Ok(rows.into_iter().map(|(question, _)| question).collect::<BTreeSet<_>>().len() as f64)
}

/// Tokens that guided runs draw for questions, over those of brute force.
fn tokens(runs: &Runs<'_>) -> Result<f64, String> {
    let drawn = |arm| Ok::<_, String>(runs.arm(arm)?.drawn("attempts") as f64);
    Ok(drawn("guided")? / drawn("brute-force")?)
}
