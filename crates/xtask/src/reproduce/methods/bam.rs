//! Branch-Attend-Mix (arXiv 2408.08274), its tables 1 and 6.

use crate::reproduce::claim::{Aim, At, Claim, Test, When};
use crate::reproduce::{Arm, Measure, Method};

const fn loss(step: &'static str) -> At {
    At { arm: "bam", step, round: When::Last, measure: Measure::Loss }
}

/// Whether `of` predicts better than `from`.
const fn better(of: &'static str, from: &'static str) -> Test {
    Test::Difference { of: loss(of), from: loss(from), level: None, aim: Aim::Below(0.0) }
}

pub(super) static METHOD: Method = Method {
    name: "bam",
    title: "BAM: Branch-Attend-Mix",
    paper: "arXiv 2408.08274",
    setting: "\
A seed model (0.5 M parameters, parallel attention blocks) learns arithmetic; copies of it learn equations, orderings and units for
300 steps each; the four are joined and learn from a quarter of each domain for 250 steps. Loss on 250 held-out solutions of
each domain. The paper has 590 M and 2 B parameters and domains of text.",
    needs: &[],
    arms: &[Arm { name: "bam", pipeline: "pipelines/bam.yaml", profile: None, set: &[] }],
    shown: &[
        ("ppl_seed", &[Measure::Loss]),
        ("ppl_dense", &[Measure::Loss]),
        ("ppl_btx", &[Measure::Loss]),
        ("ppl_top_1", &[Measure::Loss]),
        ("ppl_shared_kv", &[Measure::Loss]),
        ("ppl_expert_kv", &[Measure::Loss]),
    ],
    claims: &[
        Claim {
            says: "BAM with keys and values of each expert predicts better than BTX",
            paper: "perplexity 9.70 against 10.72 (times 0.905)",
            test: better("ppl_expert_kv", "ppl_btx"),
        },
        Claim {
            says: "BAM with shared keys and values predicts better than BTX",
            paper: "10.32 against 10.72 (times 0.963)",
            test: better("ppl_shared_kv", "ppl_btx"),
        },
        Claim {
            says: "keys and values of each expert are better than shared ones",
            paper: "9.70 against 10.32",
            test: better("ppl_expert_kv", "ppl_shared_kv"),
        },
        Claim {
            says: "soft attention over experts is better than the first one alone",
            paper: "10.47 against 10.81",
            test: better("ppl_shared_kv", "ppl_top_1"),
        },
        Claim {
            says: "a mixture is better than the dense model on the same data",
            paper: "10.72 against 13.91 of the best dense one",
            test: better("ppl_btx", "ppl_dense"),
        },
    ],
};
