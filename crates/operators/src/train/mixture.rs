//! How a dense start becomes a mixture of experts: the key `moe`.

use flow_model::{Checkpoint, Config};
use flow_plan::Problem;
use flow_trainer::{MoeUpcycle, Part, Prompts};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How a dense start becomes a mixture of experts.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Moe {
    /// Where the experts come from; those of several models come from a step `merge` by `btx` or `bam`.
    #[serde(default)]
    from: From,
    /// Routed experts per layer, at least 2.
    #[schemars(range(min = 2, max = 1024))]
    experts: u32,
    /// Routed experts each token visits, at least 1; by default 2, with `mote` 1, with `fine_grained` one of each routed slice.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    experts_per_token: Option<u32>,
    /// In place of `experts_per_token`: a token visits the fewest most probable experts whose probabilities reach this sum, above 0 to 1 (arXiv
    /// 2403.07652). The checkpoint says so, and is drawn from the same way. Not with `fine_grained`, of which whole sets are visited.
    #[schemars(range(min = 0.000_001, max = 1.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    /// Further experts of the router that compute nothing, so that tokens visit different numbers of experts (AdaMoE, arXiv 2406.13233). The
    /// checkpoint says so, and is drawn from the same way. Not with `fine_grained`.
    #[schemars(range(max = 1024))]
    #[serde(default, skip_serializing_if = "is_none")]
    null_experts: u32,
    /// Experts are chosen by their probabilities plus a bias of each, which begins at 0 and after each step rises or falls by this much towards an
    /// even load, 0 to 1, such as 0.001: balance without a loss (arXiv 2408.15664; then `router_aux_loss_coef: 0`). The checkpoint says so,
    /// and is drawn from the same way. Not with `top_p` and `null_experts`.
    #[schemars(range(min = 0.0, max = 1.0))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bias_update_rate: Option<f64>,
    /// With `fine_grained`: slices that the dense block is cut into, at least 2, by default 4.
    #[schemars(range(min = 2))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slices: Option<u32>,
    /// What routers begin with.
    #[serde(default, skip_serializing_if = "Gate::is_random")]
    gate: Gate,
    /// With `gate: hidden` and `cheap_embed`: for each expert a list of texts that it is for, with `fine_grained` for each set of slices.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    positive_prompts: Vec<Vec<String>>,
    /// The same of texts that it is not for; their mean is taken off that of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    negative_prompts: Vec<Vec<String>>,
    /// Whether every token also visits a shared expert; with `mote` it always does.
    #[serde(default)]
    shared_expert: bool,
    /// With `mote`: bits a weight of the shared expert, which is then rounded once to 4 bits in groups of 128 along a row. By default it stays as it is.
    #[schemars(range(min = 4, max = 4))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shared_expert_bits: Option<u32>,
    /// Whether the chosen probabilities are divided by their sum: by default yes, with `mote` no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    norm_topk_prob: Option<bool>,
    /// Weight of the load-balance loss.
    #[serde(default = "aux_loss")]
    #[schemars(range(min = 0.0))]
    router_aux_loss_coef: f64,
    /// Weight of the router z-loss.
    #[serde(default = "z_loss")]
    #[schemars(range(min = 0.0))]
    router_z_loss_coef: f64,
}

/// Where experts come from.
#[derive(Clone, Copy, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum From {
    /// Every expert is a copy of the dense block.
    #[default]
    Copy,
    /// Every expert is a slice of the dense block; sets of them make copies of it.
    FineGrained,
    /// Every expert is the dense block with weights of three values, beside the block itself, which is frozen.
    Mote,
}

/// What is wrong with a `freeze` that leaves out a shared expert of four bits a weight.
pub(super) fn int4_mistake(freeze: Option<&[Part]>) -> Option<Problem> {
    let learns = freeze.is_some_and(|parts| !parts.contains(&Part::SharedExpert));
    let problem = || Problem::new("freeze", "the shared expert has weights of four bits, which do not learn");
    learns.then(|| problem().with_help("add `shared_expert` to `freeze`, or leave `freeze` out"))
}

/// What routers begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Gate {
    /// Chance.
    #[default]
    Random,
    /// In each layer the mean of what its feed-forward block reads of an expert's prompts, for a router of attentions of what attention reads.
    Hidden,
    /// In all layers the mean embedding of the tokens of an expert's prompts: no pass through the model.
    CheapEmbed,
}

impl Gate {
    /// Whether it asks for no prompts.
    pub(crate) fn is_random(&self) -> bool {
        *self == Self::Random
    }

    /// As the trainer wants it, with the prompts by expert.
    pub(crate) fn gate(self, prompts: Vec<flow_trainer::Prompts>) -> flow_trainer::Gate {
        match self {
            Self::Random => flow_trainer::Gate::Random,
            Self::Hidden => flow_trainer::Gate::Hidden(prompts),
            Self::CheapEmbed => flow_trainer::Gate::CheapEmbed(prompts),
        }
    }

    /// What is wrong with having prompts, or none, which stand at `key`.
    pub(crate) fn mistake(self, has_prompts: bool, key: &str) -> Option<Problem> {
        match (self.is_random(), has_prompts) {
            (true, true) => {
                let problem = Problem::new(key, "routers that begin by chance read no prompts");
                Some(problem.with_help("say `gate: hidden` or `gate: cheap_embed` beside them"))
            }
            (false, false) => {
                let gate = key.replace("positive_prompts", "gate");
                Some(Problem::new(&gate, "it reads `positive_prompts`, texts that each expert is for; found none"))
            }
            _ => None,
        }
    }
}

pub(crate) fn aux_loss() -> f64 {
    0.01
}

pub(crate) fn z_loss() -> f64 {
    0.001
}

/// Whether there are none.
pub(crate) fn is_none(count: &u32) -> bool {
    *count == 0
}

/// Which ways of choosing experts are asked for.
pub(crate) struct Ways {
    pub(crate) experts_per_token: bool,
    pub(crate) top_p: bool,
    pub(crate) null_experts: bool,
    pub(crate) bias: bool,
}

impl Ways {
    /// Those that do not go together; their keys stand behind `prefix`.
    pub(crate) fn mistakes(&self, prefix: &str) -> impl Iterator<Item = Problem> {
        let decide = "with `top_p` probabilities decide how many experts a token visits";
        let count = "a bias evens out the load of experts that are chosen by number and all compute";
        let wrong = [
            (self.top_p && self.experts_per_token, "experts_per_token", decide),
            (self.bias && (self.top_p || self.null_experts), "bias_update_rate", count),
        ];
        let problem = move |(wrong, key, words): (bool, &str, &str)| {
            wrong.then(|| Problem::new(&format!("{prefix}{key}"), words))
        };
        wrong.map(problem).into_iter().flatten()
    }
}

impl Moe {
    /// Slices of the dense block that are routed.
    fn routed_slices(&self) -> u32 {
        self.slices.unwrap_or(4) - u32::from(self.shared_expert)
    }

    fn is_sliced(&self) -> bool {
        matches!(self.from, From::FineGrained)
    }

    /// Whether the shared expert has weights of four bits.
    pub(super) fn has_int4_shared_expert(&self) -> bool {
        self.shared_expert_bits.is_some()
    }

    fn per_token(&self) -> u32 {
        self.experts_per_token.unwrap_or(match self.from {
            From::Copy => 2,
            From::FineGrained => self.routed_slices(),
            From::Mote => 1,
        })
    }

    /// Keys that do not go together.
    pub(super) fn mistakes(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut mistake = |wrong: bool, key: &str, words: String| {
            problems.extend(wrong.then(|| Problem::new(key, words)));
        };
        let (experts, per_token, set) = (self.experts, self.per_token(), self.routed_slices());
        let most = format!("expected at most {experts} experts, found {per_token}");
        mistake(per_token > experts, "moe.experts_per_token", most);
        match self.from {
            From::FineGrained => {
                let routed = [("moe.top_p", self.top_p.is_some()), ("moe.null_experts", self.null_experts > 0)];
                for (key, given) in routed {
                    mistake(given, key, "`fine_grained` slices are visited in whole sets".into());
                }
                let sets = |found: u32| format!("expected a multiple of the {set} routed slices, found {found}");
                mistake(!experts.is_multiple_of(set), "moe.experts", sets(experts));
                mistake(!per_token.is_multiple_of(set), "moe.experts_per_token", sets(per_token));
            }
            _ => mistake(self.slices.is_some(), "moe.slices", "slices are cut by `from: fine_grained` only".into()),
        }
        let is_mote = matches!(self.from, From::Mote);
        let full = "the shared expert of `from: mote` alone is frozen and can have fewer bits";
        mistake(self.has_int4_shared_expert() && !is_mote, "moe.shared_expert_bits", full.into());
        let (found, alike) = (self.positive_prompts.len(), if self.is_sliced() { set } else { 1 });
        let expected = experts / alike;
        let miscounted = found > 0 && found as u32 != expected;
        mistake(miscounted, "moe.positive_prompts", format!("expected a list of texts for each of {expected}, found {found}"));
        for (at, texts) in self.positive_prompts.iter().enumerate() {
            let key = format!("moe.positive_prompts.{at}");
            mistake(texts.is_empty(), &key, "expected at least one text, found none".into());
        }
        let against = self.negative_prompts.len();
        let unlike = against > 0 && found > 0 && against != found;
        mistake(unlike, "moe.negative_prompts", format!("expected as many lists as `positive_prompts` has, {found}, found {against}"));
        let has_prompts = found > 0 || (self.gate.is_random() && against > 0);
        problems.extend(self.gate.mistake(has_prompts, "moe.positive_prompts"));
        problems.extend(self.ways().mistakes("moe."));
        problems
    }

    fn ways(&self) -> Ways {
        Ways {
            experts_per_token: self.experts_per_token.is_some(),
            top_p: self.top_p.is_some(),
            null_experts: self.null_experts > 0,
            bias: self.bias_update_rate.is_some(),
        }
    }

    /// A mixture that was made before, with the rate of its biases and the bits of its shared expert as these keys say.
    pub(super) fn going_on(&self, mut mixture: Checkpoint) -> Checkpoint {
        let block = &mut mixture.config.block;
        if block.router_bias_update_rate.is_some() && self.bias_update_rate.is_some() {
            block.router_bias_update_rate = self.bias_update_rate;
        }
        match self.has_int4_shared_expert() && mixture.config.block.plain_shared_expert {
            true => mixture.with_int4_shared_expert(),
            false => mixture,
        }
    }

    /// What to say of keys that ask for another mixture than the one that was made before; nothing where none does.
    pub(super) fn left_aside(&self, mixture: &Config) -> Option<String> {
        let made = mixture.moe.as_ref()?;
        let same = [("experts", made.num_experts), ("experts_per_token", made.experts_per_token)];
        let heeded = [
            ("bias_update_rate", mixture.block.router_bias_update_rate.is_some()),
            ("shared_expert_bits", mixture.block.plain_shared_expert),
        ];
        let is_met = |key: &str, value: &Value| {
            same.iter().any(|(name, count)| key == *name && value == *count) || heeded.contains(&(key, true))
        };
        let mut written = self.keys();
        written.retain(|key, value| !is_met(key, value));
        let keys: Vec<String> = written.keys().map(|key| format!("`moe.{key}`")).collect();
        let words = format!(
            "starts from a model that has {} experts already, and leaves aside what a dense start would heed: {}",
            made.num_experts,
            keys.join(", ")
        );
        (!keys.is_empty()).then_some(words)
    }

    /// The number of experts, and the keys whose values are not their defaults.
    fn keys(&self) -> Map<String, Value> {
        let keys = |moe: &Self| match serde_json::to_value(moe) {
            Ok(Value::Object(keys)) => keys,
            _ => unreachable!("keys are a map with text keys"),
        };
        let usual = serde_json::from_value(json!({"experts": self.experts})).map(|usual| keys(&usual));
        let usual = usual.expect("all keys but `experts` have defaults");
        let mut written = keys(self);
        written.retain(|key, value| key == "experts" || usual.get(key) != Some(value));
        written
    }

    /// The texts of each expert.
    fn prompts(&self) -> Vec<Prompts> {
        let negative = self.negative_prompts.iter().cloned().chain(std::iter::repeat(Vec::new()));
        let both = self.positive_prompts.iter().cloned().zip(negative);
        both.map(|(positive, negative)| Prompts { positive, negative }).collect()
    }

    pub(super) fn upcycling(&self) -> MoeUpcycle {
        MoeUpcycle {
            from: match self.from {
                From::Copy => flow_trainer::From::Copy,
                From::FineGrained => {
                    flow_trainer::From::FineGrained { slices: (self.routed_slices() + u32::from(self.shared_expert)) as usize }
                }
                From::Mote => flow_trainer::From::Mote { int4_shared_expert: self.has_int4_shared_expert() },
            },
            experts: self.experts as usize,
            experts_per_token: self.per_token() as usize,
            top_p: self.top_p,
            null_experts: self.null_experts as usize,
            bias_update_rate: self.bias_update_rate,
            gate: self.gate.gate(self.prompts()),
            shared_expert: self.shared_expert,
            norm_topk_prob: self.norm_topk_prob,
            router_aux_loss_coef: self.router_aux_loss_coef,
            router_z_loss_coef: self.router_z_loss_coef,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn moe(keys: &str) -> Moe {
        serde_json::from_str(&format!("{{\"experts\": 2{keys}}}")).expect("keys")
    }

    fn mixture(keys: &str) -> Checkpoint {
        let dense = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/arith-tiny");
        let dense = Checkpoint::load(&dense).expect("the checkpoint is part of the repository");
        flow_trainer::upcycle(&[&dense], &moe(keys).upcycling(), 1).expect("upcycles")
    }

    #[test]
    fn keys_that_ask_for_another_mixture_are_named() {
        let plain = mixture("").config;
        assert_eq!(moe("").left_aside(&plain), None, "it is what was made");
        let other: Moe = serde_json::from_str(r#"{"experts": 3, "gate": "hidden", "bias_update_rate": 0.1}"#).expect("keys");
        let words = other.left_aside(&plain).expect("three keys");
        for said in ["has 2 experts", "`moe.bias_update_rate`", "`moe.experts`", "`moe.gate`"] {
            assert!(words.contains(said), "{words}");
        }
        assert!(!words.contains("shared"), "{words}");
        let biased = mixture(r#", "bias_update_rate": 0.5"#).config;
        assert_eq!(moe(r#", "bias_update_rate": 0.1"#).left_aside(&biased), None, "the rate is heeded");
    }

    #[test]
    fn a_mixture_takes_over_the_rate_of_its_biases() {
        let biased = mixture(r#", "bias_update_rate": 0.5"#);
        let going_on = moe(r#", "bias_update_rate": 0.25"#).going_on(biased.clone());
        assert_eq!(going_on.config.block.router_bias_update_rate, Some(0.25));
        assert_eq!(moe("").going_on(biased.clone()).config.block, biased.config.block, "its bias stays");
        let plain = moe(r#", "bias_update_rate": 0.25"#).going_on(mixture(""));
        assert_eq!(plain.config.block.router_bias_update_rate, None, "without biases there is none to move");
    }
}
