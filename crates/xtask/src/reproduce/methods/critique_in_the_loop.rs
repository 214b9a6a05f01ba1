//! AutoMathCritique and critique-in-the-loop self-improvement (arXiv 2411.16579).

use crate::reproduce::claim::{Aim, At, Claim, Runs, Test, When};
use crate::reproduce::{Arm, Measure, Method, Need};

const REFINE: &str = "pipelines/refine-with-critic.yaml";
const LOOP: &str = "pipelines/critique-in-the-loop.yaml";
const CRITIC: &str = "pipelines/critic-data.yaml";
const PASS_1: Measure = Measure::Pass(1);
const PASS_8: Measure = Measure::Pass(8);

/// A critic that makes no mistake, in the steps of `refine-with-critic` and of the loop.
const EXACT: &str = "steps.reviewed={op: critique, from: before, by: equations}";
const EXACT_AGAIN: &str =
    "steps.again={op: critique, from: [refined.equal, refined.different, refined.unknown], by: equations}";
const LOOP_EXACT: &str = "steps.reviewed={op: critique, from: wrong, by: equations}";
/// Refinement without what the critic says.
const BLANK: &str = r#"steps.second.template="{{prompt}}Try:\n{{completion}}\nCritique:\n\nSolve:\n""#;
const QUESTIONS: &str = "steps.questions.n=800";
const ROUNDS: &str = "rounds.count=2";

const fn refine(name: &'static str, set: &'static [&'static str]) -> Arm {
    Arm { name, pipeline: REFINE, profile: None, set }
}

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
by a mistake), criticised exactly by their equations and kept where 3 of 10 refinements are right: 10,923 critiques, six times each; the
unfiltered critic learns from all 17,803 in as many steps. At test time 600 held-out problems
are drawn four times, criticised and refined; as many tokens buy about 24 plain draws. `believed` takes a
refinement only where the critic found a mistake, `parallel` always, `oracle` only where there is one. In the loop: 800 questions, 4 draws,
wrong ones criticised and refined, two rounds, training from the base each round. `exact` critiques come from checking the equations. The paper has Llama 3 8B and GPT-4o as annotator.",
    needs: &[
        Need { pipeline: CRITIC, set: &[] },
        Need {
            pipeline: CRITIC,
            set: &[
                "name=unfiltered",
                "steps.chosen.from=asked",
                "steps.critic.max_steps=2052",
                "steps.critic.path=target/reproduce/unfiltered-critic",
            ],
        },
    ],
    arms: &[
        refine("critic", &[]),
        refine("exact", &[EXACT, EXACT_AGAIN]),
        refine("blank", &[EXACT, EXACT_AGAIN, BLANK]),
        refine("untaught", &["models.critic.path=models/arith-instruct"]),
        refine("unfiltered", &["models.critic.path=target/reproduce/unfiltered-critic"]),
        Arm { name: "loop", pipeline: LOOP, profile: None, set: &[QUESTIONS, ROUNDS] },
        Arm { name: "loop-exact", pipeline: LOOP, profile: None, set: &[QUESTIONS, ROUNDS, LOOP_EXACT] },
        Arm {
            name: "loop-without",
            pipeline: LOOP,
            profile: None,
            set: &[QUESTIONS, ROUNDS, "steps.gained.from=graded.equal"],
        },
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
            says: "critique and refinement raise accuracy, with a critic that makes no mistake",
            paper: "test-time accuracy rises (figure)",
            test: more(refined("exact", "believed", PASS_1), refined("exact", "four", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "they do on the hardest level",
            paper: "the gain rises with level (figure)",
            test: more(refined("exact", "believed", PASS_1), refined("exact", "four", PASS_1), Some(6), Aim::Above(0.0)),
        },
        Claim {
            says: "nothing is gained on the easiest level",
            paper: "about 0",
            test: more(refined("exact", "believed", PASS_1), refined("exact", "four", PASS_1), Some(1), Aim::Near(0.02)),
        },
        Claim {
            says: "a vote over four refined draws is better than over as many plain ones as the same tokens buy",
            paper: "Maj@K with critic above Maj@K without, for all K (figure)",
            test: more(refined("exact", "believed", Measure::Majority), refined("exact", "plain", Measure::Majority), None, Aim::Above(0.0)),
        },
        Claim {
            says: "it is the critique that helps: refinement with it is better than after a blank one",
            paper: "control",
            test: more(refined("exact", "believed", PASS_1), refined("blank", "believed", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "refining right answers does harm: only wrong ones refined (oracle) is better than all",
            paper: "control",
            test: more(refined("exact", "oracle", PASS_1), refined("exact", "parallel", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "a critic that was taught raises accuracy",
            paper: "the paper's critic does (figure)",
            test: more(refined("critic", "believed", PASS_1), refined("critic", "four", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "teaching makes it better than an untaught one",
            paper: "control",
            test: more(refined("critic", "believed", PASS_1), refined("untaught", "believed", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "the soft filter of critiques matters",
            paper: "about 3 points (second-hand)",
            test: more(refined("critic", "believed", PASS_1), refined("unfiltered", "believed", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "self-improvement ends higher with critiques than without (exact critic)",
            paper: "higher final accuracy at equal rounds (figure)",
            test: more(trained("loop-exact", PASS_1), trained("loop-without", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "so it does with the taught critic",
            paper: "the same",
            test: more(trained("loop", PASS_1), trained("loop-without", PASS_1), None, Aim::Above(0.0)),
        },
        Claim {
            says: "critiques cover more of the hardest problems (pass@8 of level 6, exact critic)",
            paper: "more hard queries covered",
            test: more(trained("loop-exact", PASS_8), trained("loop-without", PASS_8), Some(6), Aim::Above(0.0)),
        },
        Claim {
            says: "the last data hold more solutions of the hardest level (exact critic, times those without)",
            paper: "hard queries yield more right samples",
            test: Test::Each { quantity: hard_rows, aim: Aim::Above(1.0) },
        },
    ],
};

/// Rows of level 6 in the last round's data, with exact critiques over without.
fn hard_rows(runs: &Runs<'_>) -> Result<f64, String> {
    let rows = |arm| {
        let run = runs.arm(arm)?;
        let rows = run.published("shards", run.last_round("scores"))?;
        Ok::<_, String>(rows.iter().filter(|(_, level)| *level == Some(6)).count() as f64)
    };
    Ok(rows("loop-exact")? / rows("loop-without")?)
}
