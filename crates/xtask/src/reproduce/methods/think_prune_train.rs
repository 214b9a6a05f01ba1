//! Think, Prune, Train (arXiv 2504.18116), its tables 3 and 5.

use crate::reproduce::claim::{Aim, At, Claim, Runs, Test, When};
use crate::reproduce::{Arm, Measure, Method};

const PIPELINE: &str = "pipelines/think-prune-train.yaml";
const PASS_1: Measure = Measure::Pass(1);
const PASS_8: Measure = Measure::Pass(8);

const fn at(arm: &'static str, measure: Measure, round: When) -> At {
    At { arm, step: "scores", round, measure }
}

const fn gain(arm: &'static str, measure: Measure, from: i64, to: When, aim: Aim) -> Test {
    Test::Difference { of: at(arm, measure, to), from: at(arm, measure, When::Round(from)), level: None, aim }
}

pub(super) static METHOD: Method = Method {
    name: "think-prune-train",
    title: "Think, Prune, Train",
    paper: "arXiv 2504.18116",
    setting: "\
Three rounds from `models/arith-tiny` (0.85 M parameters): 6,000 questions with 4 draws each at T = 0.8, pruned by equations and answers,
one solution a question, 2,000 rows a round; each round goes on from the last model, upcycled to 4 experts (top 2). 600 held-out
problems, 8 draws each at T = 0.7. The paper trains Gemma 2 2B and 9B for one epoch on 2,000 rows; this model is small and takes 12.",
    needs: &[],
    arms: &[
        Arm { name: "pruned", pipeline: PIPELINE, profile: None, set: &[] },
        Arm { name: "unpruned", pipeline: PIPELINE, profile: None, set: &["steps.chosen.from=attempts"] },
    ],
    shown: &[("scores", &[PASS_1, PASS_8, Measure::Majority])],
    claims: &[
        Claim {
            says: "pass@1 rises in round 1",
            paper: "2B: 41.9 to 52.5; 9B: 66.4 to 81.1",
            test: gain("pruned", PASS_1, 0, When::Round(1), Aim::Above(0.0)),
        },
        Claim {
            says: "pass@1 rises in round 2",
            paper: "52.5 to 56.0; 81.1 to 82.3",
            test: gain("pruned", PASS_1, 1, When::Round(2), Aim::Above(0.0)),
        },
        Claim {
            says: "pass@1 rises in round 3",
            paper: "56.0 to 56.9; 82.3 to 82.4",
            test: gain("pruned", PASS_1, 2, When::Round(3), Aim::Above(0.0)),
        },
        Claim {
            says: "most of the gain comes in round 1 (its share of the gain)",
            paper: "68 %; 92 %",
            test: Test::Each { quantity: share_of_round_1, aim: Aim::Above(0.5) },
        },
        Claim {
            says: "pass@k does not fall below the base",
            paper: "pass@20, 2B: 76.0 to 83.2",
            test: gain("pruned", PASS_8, 0, When::Last, Aim::Above(0.0)),
        },
        Claim {
            says: "pass@k rises once and is flat then",
            paper: "pass@20 +7.0 in round 1, +0.2 afterwards",
            test: gain("pruned", PASS_8, 1, When::Last, Aim::Near(0.02)),
        },
        Claim {
            says: "pruning is what matters: pass@1 after round 1, pruned less unpruned",
            paper: "52.5 against 45.1",
            test: Test::Difference {
                of: at("pruned", PASS_1, When::Round(1)),
                from: at("unpruned", PASS_1, When::Round(1)),
                level: None,
                aim: Aim::Above(0.0),
            },
        },
        Claim {
            says: "unpruned data still raise pass@1",
            paper: "41.9 to 45.1",
            test: gain("unpruned", PASS_1, 0, When::Round(1), Aim::Above(0.0)),
        },
        Claim {
            says: "unpruned data lower pass@k below the base",
            paper: "pass@20 76.0 to 71.6",
            test: gain("unpruned", PASS_8, 0, When::Round(1), Aim::Below(0.0)),
        },
    ],
};

fn share_of_round_1(runs: &Runs<'_>) -> Result<f64, String> {
    let run = runs.arm("pruned")?;
    let mean = |round| {
        let values = run.values("scores", round, PASS_1, None);
        values.values().sum::<f64>() / values.len().max(1) as f64
    };
    Ok((mean(1) - mean(0)) / (mean(run.last_round("scores")) - mean(0)))
}
