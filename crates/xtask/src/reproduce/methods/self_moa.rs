//! Self-MoA and Self-MoA-Seq (arXiv 2502.00674).

use crate::reproduce::claim::{Aim, At, Claim, Test, When};
use crate::reproduce::{Arm, Measure, Method, Need};

const PASS_1: Measure = Measure::Pass(1);

const fn at(step: &'static str, measure: Measure) -> At {
    At { arm: "six", step, round: When::Last, measure }
}

const fn seq(step: &'static str, measure: Measure) -> At {
    At { arm: "twelve", step, round: When::Last, measure }
}

const fn more(of: At, from: At, aim: Aim) -> Test {
    Test::Difference { of, from, level: None, aim }
}

pub(super) static METHOD: Method = Method {
    name: "self-moa",
    title: "Self-MoA",
    paper: "arXiv 2502.00674",
    setting: "\
One model (0.87 M parameters, taught to aggregate by `pipelines/aggregator-data.yaml`) answers 1,500 held-out problems six
times at T = 0.7 and writes one answer from the six, at T = 0. `single` holds the six draws (their majority is self-consistency), `greedy`
the answer at T = 0 without the draws, `universal` the draw that the model picks as the most consistent, `mixed` an answer from three draws
of it and three of `models/arith-tiny`. The paper aggregates with models of 7 B and more that were never taught to. An earlier
aggregator, taught on 8,000 questions instead of 40,000 and on sets without anything to choose too, was no better than a draw: -0.2 points
(-1.3 to +0.8, 600 problems, the same seeds).",
    needs: &[Need { pipeline: "pipelines/aggregator-data.yaml", set: &[] }],
    arms: &[
        Arm { name: "six", pipeline: "pipelines/self-moa.yaml", profile: None, set: &[] },
        Arm { name: "twelve", pipeline: "pipelines/self-moa-seq.yaml", profile: None, set: &[] },
    ],
    shown: &[
        ("single", &[PASS_1, Measure::Majority]),
        ("greedy", &[PASS_1]),
        ("self_moa", &[PASS_1]),
        ("universal", &[PASS_1]),
        ("mixed", &[PASS_1]),
        ("twelve", &[PASS_1, Measure::Majority]),
        ("sequence", &[PASS_1]),
        ("at_once", &[PASS_1]),
    ],
    claims: &[
        Claim {
            says: "Self-MoA is better than one draw",
            paper: "MMLU 66.2 to 69.0, CRUX 49.5 to 52.6, MATH 69.6 to 69.8",
            test: more(at("self_moa", PASS_1), at("single", PASS_1), Aim::Above(0.0)),
        },
        Claim {
            says: "Self-MoA is better than the greedy answer",
            paper: "not told",
            test: more(at("self_moa", PASS_1), at("greedy", PASS_1), Aim::Above(0.0)),
        },
        Claim {
            says: "Self-MoA is better than self-consistency",
            paper: "not told of answers that can be counted",
            test: more(at("self_moa", PASS_1), at("single", Measure::Majority), Aim::Above(0.0)),
        },
        Claim {
            says: "Self-MoA is better than universal self-consistency",
            paper: "60.2 (universal, of one model) below 63.8",
            test: more(at("self_moa", PASS_1), at("universal", PASS_1), Aim::Above(0.0)),
        },
        Claim {
            says: "Self-MoA is better than a mixture with a weaker model",
            paper: "AlpacaEval 65.7 against 59.1; +3.8 over three tasks",
            test: more(at("self_moa", PASS_1), at("mixed", PASS_1), Aim::Above(0.0)),
        },
        Claim {
            says: "Self-MoA-Seq over twelve draws is about as good as six at once",
            paper: "equal or above with the same draws",
            test: more(seq("sequence", PASS_1), seq("at_once", PASS_1), Aim::Near(0.03)),
        },
    ],
};
