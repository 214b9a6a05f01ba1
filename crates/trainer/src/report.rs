//! What a training run tells about itself.

use flow_model::Checkpoint;

use crate::Adapter;
use crate::batch::Grouped;
use crate::loss::Preference;
use crate::ops::router::Routing;

/// The result of [`crate::train`].
#[derive(Clone, Debug)]
pub struct Trained {
    /// The model after the last step; with [`crate::Validation`] after the one with the least validation loss.
    pub checkpoint: Checkpoint,
    /// With [`crate::TrainConfig::lora`]: the adapters, which are merged into the checkpoint.
    pub adapter: Option<Adapter>,
    /// How it got there.
    pub report: TrainReport,
}

/// The course of a training run.
#[derive(Clone, Debug, Default)]
pub struct TrainReport {
    /// Every step, in order.
    pub steps: Vec<StepReport>,
    /// Examples given to learn from.
    pub examples: usize,
    /// Examples left out because a completion has no token within `max_length`, or their weight is 0.
    pub skipped: usize,
    /// Examples cut at `max_length`, those left out included.
    pub truncated: usize,
    /// Tokens computed, prompts included, over all steps.
    pub tokens: u64,
    /// The examples that the checkpoint learned from in each step, as indices of those given. With [`crate::Validation`] up to the step
    /// with the least validation loss.
    pub learned: Vec<Vec<usize>>,
    /// Whether the observer stopped the run early.
    pub stopped: bool,
}

/// One optimiser step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Counted from 1.
    pub step: usize,
    /// Steps planned.
    pub steps: usize,
    /// The [`crate::Loss`], nats, before the update: mean cross-entropy of the completion tokens, or that of the preferences.
    pub loss: f64,
    /// Learning rate of the update.
    pub learning_rate: f64,
    /// Norm of the gradient of all parameters before clipping.
    pub grad_norm: f64,
    /// Tokens computed, prompts included.
    pub tokens: usize,
    /// Tokens that counted in the loss.
    pub scored_tokens: usize,
    /// With [`crate::Loss::Dpo`]: how the preferences stand to the start's, before the update.
    pub preference: Option<Preference>,
    /// The experts of each layer, in a layer without experts visited by nothing; empty for a dense model.
    pub layers: Vec<LayerLoad>,
    /// The loss of the validation examples, nats, after the update; none where it was not
    /// measured.
    pub validation: Option<f64>,
}

/// The step with the least validation loss, the first of equals, as an index.
pub(crate) fn best(steps: &[StepReport]) -> Option<usize> {
    let measured = steps.iter().enumerate().filter_map(|(at, step)| Some((at, step.validation?)));
    measured.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at)
}

/// The use of one layer's experts in one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerLoad {
    /// Visits of each routed expert; with top-k and no null experts they sum to tokens · experts per token.
    pub tokens_per_expert: Vec<u64>,
    /// Choices of null experts, which compute nothing.
    pub null_visits: u64,
    /// Mean entropy of the router's distribution, nats; when indifferent the logarithm of the number of experts, null ones included.
    pub router_entropy: f64,
    /// Load-balance loss, unweighted: E · Σ f·P, 1 when the load is even.
    pub balance_loss: f64,
    /// Router z-loss, unweighted.
    pub z_loss: f64,
    /// The use by the tokens of each group of [`crate::Example::groups`]; the last groups are missing where the step has none of their tokens.
    pub groups: Vec<GroupLoad>,
}

/// The use of one layer's experts by the tokens of one group of examples in one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupLoad {
    /// Tokens of the group.
    pub tokens: u64,
    /// Visits of each routed expert; empty where there are no tokens.
    pub tokens_per_expert: Vec<u64>,
    /// Choices of null experts.
    pub null_visits: u64,
    /// Entropy of the router's distribution, nats, summed over the tokens.
    pub router_entropy: f64,
}

impl LayerLoad {
    /// Adds what one slice of the step saw; `share` is its part of the step's tokens.
    pub(crate) fn add(&mut self, routing: &Routing, share: f64) {
        for (sum, visits) in self.tokens_per_expert.iter_mut().zip(routing.load()) {
            *sum += visits;
        }
        self.null_visits += routing.null_visits();
        self.router_entropy += share * routing.entropy();
        self.balance_loss += share * routing.balance();
        self.z_loss += share * routing.z_loss();
    }

    /// Adds what the rows of one slice saw that are in groups.
    pub(crate) fn add_groups(&mut self, routing: &Routing, groups: &Grouped) {
        for (rows, groups) in groups.iter() {
            let load = routing.of_rows(rows.clone());
            for group in groups.iter().map(|group| *group as usize) {
                self.groups.resize_with(self.groups.len().max(group + 1), GroupLoad::default);
                self.groups[group].add(&load);
            }
        }
    }
}

impl GroupLoad {
    /// Adds the use by further tokens.
    pub fn add(&mut self, other: &Self) {
        self.tokens += other.tokens;
        let experts = self.tokens_per_expert.len().max(other.tokens_per_expert.len());
        self.tokens_per_expert.resize(experts, 0);
        self.tokens_per_expert
            .iter_mut()
            .zip(&other.tokens_per_expert)
            .for_each(|(sum, visits)| *sum += visits);
        self.null_visits += other.null_visits;
        self.router_entropy += other.router_entropy;
    }
}
