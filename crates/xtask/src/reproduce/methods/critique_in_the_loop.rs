//! AutoMathCritique and critique-in-the-loop self-improvement (arXiv 2411.16579).

use crate::reproduce::claim::{Aim, At, Claim, Runs, Test, When};
use crate::reproduce::{Arm, Measure, Method, Need};

const REFINE: &str = "pipelines/refine-with-critic.yaml";
const LOOP: &str = "pipelines/critique-in-the-loop.yaml";
const CRITIC: &str = "pipelines/critic-data.yaml";
const PASS_1: Measure = Measure::Pass(1);
const PASS_8: Measure = Measure::Pass(8);

/// A measure of a run of `refine-with-critic`.
const fn refined(arm: &'static str, step: &'static str, measure: Measure) -> At {
    At { arm, step, round: When::Last, measure }
}

/// A measure after the last round of a run of `critique-in-the-loop`.
const fn trained(arm: &'static str, measure: Measure) -> At {
    At { arm, step: "scores", round: When::Last, measure }
}

const fn more(of: At, from: At, level: Option<i64>, aim: Aim) -> Test {
    Test::Difference { of, from, level, aim }
}

pub(super) static METHOD: Method = Method {
    name: "critique-in-the-loop",
    title: "AutoMathCritique: critique at test time and in the loop",
    paper: "arXiv 2411.16579",
    setting: "\
Actor: `models/arith-instruct` (0.87 M parameters). The critic learns from its flawed solutions (drawn, drawn hot from a step on, led
by a mistake), criticised exactly by their equations and kept where 3 of 10 refinements are right. At test time 600 held-out problems
are drawn four times, criticised and refined; as many tokens buy about 24 plain draws. In the loop: 1,500 questions, 4 draws,
wrong ones criticised and refined, three rounds, training from the base each round. The paper has Llama 3 8B and GPT-4o as annotator.",
    needs: &[
        Need { path: "models/arith-critic", pipeline: CRITIC, set: &[] },
        Need {
            path: "target/reproduce/unfiltered-critic",
            pipeline: CRITIC,
            set: &[
                "name=unfiltered",
                "steps.chosen.from=asked",
                "steps.critic.path=target/reproduce/unfiltered-critic",
            ],
        },
    ],
    arms: &[
        Arm { name: "critic", pipeline: REFINE, profile: None, set: &[] },
        Arm {
            name: "no-critique",
            pipeline: REFINE,
            profile: None,
            set: &[r#"steps.second.template="{{prompt}}Try:\n{{completion}}\nCritique:\n\nSolve:\n""#],
        },
        Arm {
            name: "untaught",
            pipeline: REFINE,
            profile: None,
            set: &["models.critic.path=models/arith-instruct"],
        },
        Arm {
            name: "unfiltered",
            pipeline: REFINE,
            profile: None,
            set: &["models.critic.path=target/reproduce/unfiltered-critic"],
        },
        Arm { name: "loop", pipeline: LOOP, profile: None, set: &[] },
        Arm { name: "loop-without", pipeline: LOOP, profile: None, set: &["steps.gained.from=graded.equal"] },
    ],
    shown: &[
        ("four", &[PASS_1, Measure::Majority]),
        ("parallel", &[PASS_1, Measure::Majority]),
        ("sequential", &[PASS_1, Measure::Majority]),
        ("plain", &[PASS_1, Measure::Majority]),
        ("believed", &[PASS_1, Measure::Majority]),
        ("oracle", &[PASS_1]),
        ("discriminability", &[PASS_1]),
        ("scores", &[PASS_1, PASS_8, Measure::Majority]),
    ],
    claims: &[
        Claim {
            says: "critique and refinement raise accuracy on the hardest level",
            paper: "gain by level rises with level (figure)",
            test: more(refined("critic", "parallel", PASS_1), refined("critic", "four", PASS_1), Some(6), Aim::Above(0.0)),
        },
        Claim {
            says: "nothing is gained on the easiest level",
            paper: "about 0",
            test: more(refined("critic", "parallel", PASS_1), refined("critic", "four", PASS_1), Some(1), Aim::Near(0.02)),
        },
        Claim {
            says: "a vote over four refined draws is better than over four plain ones",
            paper: "Maj@K with critic above Maj@K without, for all K (figure)",
            test: more(
                refined("critic", "parallel", Measure::Majority),
                refined("critic", "four", Measure::Majority),
                None,
                Aim::Above(0.0),
            ),
        },
        Claim {
            says: "and than over as many plain draws as the same tokens buy",
            paper: "not told",
            test: more(
                refined("critic", "parallel", Measure::Majority),
                refined("critic", "plain", Measure::Majority),
                None,
                Aim::Above(0.0),
            ),
        },
        Claim {
            says: "a second turn helps further",
            paper: "accuracy rises with turns (figure)",
            test: more(refined("critic", "sequential", PASS_1), refined("critic", "parallel", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "it is the critique that helps: refinement with it is better than without one",
            paper: "control",
            test: more(refined("critic", "parallel", PASS_1), refined("no-critique", "parallel", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "and better than with the words of an untaught critic",
            paper: "control",
            test: more(refined("critic", "parallel", PASS_1), refined("untaught", "parallel", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "the soft filter of critiques matters",
            paper: "about 3 points (second-hand)",
            test: more(refined("critic", "parallel", PASS_1), refined("unfiltered", "parallel", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "refining right answers does harm: only wrong ones refined (oracle) is better",
            paper: "control",
            test: more(refined("critic", "oracle", PASS_1), refined("critic", "parallel", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "self-improvement with the critic ends higher than without",
            paper: "higher final accuracy at equal rounds (figure)",
            test: more(trained("loop", PASS_1), trained("loop-without", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "it covers more of the hardest problems (pass@8 of level 6)",
            paper: "more hard queries covered",
            test: more(trained("loop", PASS_8), trained("loop-without", PASS_8), Some(6), Aim::Above(0.0)),
        },
        Claim {
            says: "the last round's data hold more solutions of the hardest level (times those without)",
            paper: "hard queries yield more correct samples",
            test: Test::Each { quantity: hard_rows, aim: Aim::Above(1.0) },
        },
    ],
};

/// Rows of level 6 in the last round's data, with the critic over without.
fn hard_rows(runs: &Runs<'_>) -> Result<f64, String> {
    let rows = |arm| {
        let run = runs.arm(arm)?;
        let rows = run.published("shards", run.last_round("scores"))?;
        Ok::<_, String>(rows.iter().filter(|(_, level)| *level == Some(6)).count() as f64)
    };
    Ok(rows("loop")? / rows("loop-without")?)
}
