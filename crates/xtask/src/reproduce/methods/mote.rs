//! Mixture of ternary experts (arXiv 2506.14435).

use crate::reproduce::claim::{Aim, At, Claim, Test, When};
use crate::reproduce::{Arm, Measure, Method};

const fn loss(step: &'static str) -> At {
    of_arm("mote", step)
}

const fn int4(step: &'static str) -> At {
    of_arm("int4", step)
}

const fn of_arm(arm: &'static str, step: &'static str) -> At {
    At { arm, step, round: When::Last, measure: Measure::Loss }
}

const fn tried(of: &'static str, from: &'static str, aim: Aim) -> Test {
    Test::Difference { of: loss(of), from: loss(from), level: None, aim }
}

pub(super) static METHOD: Method = Method {
    name: "mote",
    title: "MoTE: a mixture of ternary experts",
    paper: "arXiv 2506.14435",
    setting: "\
A dense model (0.5 M parameters, four domains of problems, 600 steps) goes on for 200 steps on the same tokens in six ways; loss on 250
held-out solutions of each domain. `mote_4` and `mote_8`: the dense block, frozen, and 4 or 8 ternary experts, of which a token
visits one; in the arm `int4` the frozen block has four bits a weight. `full_2` and `full_4`: copies in full precision, two visited. Feed-forward bytes at rest, dense in bf16 being 1: mote_4 1.5,
mote_8 2, full_2 2, full_4 4; with four bits mote_4 0.76 and mote_8 1.26. The paper upcycles Qwen2.5 of 0.5 to 3 B parameters in a vision-language model.",
    needs: &[],
    arms: &[
        Arm { name: "mote", pipeline: "pipelines/mote.yaml", profile: None, set: &[] },
        Arm {
            name: "int4",
            pipeline: "pipelines/mote.yaml",
            profile: None,
            set: &["steps.mote_4.moe.shared_expert_bits=4", "steps.mote_8.moe.shared_expert_bits=4"],
        },
    ],
    shown: &[
        ("ppl_base", &[Measure::Loss]),
        ("ppl_dense", &[Measure::Loss]),
        ("ppl_full_2", &[Measure::Loss]),
        ("ppl_full_4", &[Measure::Loss]),
        ("ppl_frozen_4", &[Measure::Loss]),
        ("ppl_mote_4", &[Measure::Loss]),
        ("ppl_mote_8", &[Measure::Loss]),
    ],
    claims: &[
        Claim {
            says: "at .375 of the bytes MoTE is about as good as full-precision experts",
            paper: "comparable at 3 B; below at 0.5 B",
            test: tried("ppl_mote_4", "ppl_full_4", Aim::Near(0.01)),
        },
        Claim {
            says: "at equal bytes MoTE is better",
            paper: "+4.3 points of accuracy at 3.4 GB",
            test: tried("ppl_mote_8", "ppl_full_2", Aim::Below(0.0)),
        },
        Claim {
            says: "MoTE learns: it is better than the dense model it came from",
            paper: "control",
            test: tried("ppl_mote_4", "ppl_base", Aim::Below(0.0)),
        },
        Claim {
            says: "MoTE is better than the dense model that goes on learning on the same tokens",
            paper: "control",
            test: tried("ppl_mote_4", "ppl_dense", Aim::Below(0.0)),
        },
        Claim {
            says: "with the rest frozen, ternary experts are about as good as full-precision ones",
            paper: "control",
            test: tried("ppl_mote_4", "ppl_frozen_4", Aim::Near(0.01)),
        },
        Claim {
            says: "a shared expert of four bits is as good as one of sixteen",
            paper: "used at equal memory",
            test: Test::Difference { of: int4("ppl_mote_4"), from: loss("ppl_mote_4"), level: None, aim: Aim::Near(0.01) },
        },
        Claim {
            says: "with four bits in the shared expert, MoTE is better than full-precision experts of 1.6 times the bytes",
            paper: "better at equal bytes, the more the fewer there are",
            test: Test::Difference { of: int4("ppl_mote_8"), from: loss("ppl_full_2"), level: None, aim: Aim::Below(0.0) },
        },
    ],
};
