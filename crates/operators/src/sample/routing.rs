//! Which experts tokens visit while a model is drawn from.

use flow_plan::Problem;
use flow_sampler as sampler;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which experts a token visits, by the router's probabilities: one of the keys.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Routing {
    /// The so many most probable ones, at least 1.
    #[schemars(range(min = 1))]
    top_k: Option<u32>,
    /// Only the one of this rank, 1 being the most probable.
    #[schemars(range(min = 1))]
    rank: Option<u32>,
    /// The fewest most probable ones whose probabilities reach this sum, above 0 to 1.
    #[schemars(range(min = 0.000_001, max = 1.0))]
    top_p: Option<f64>,
}

impl Routing {
    /// As the sampler wants it.
    pub(super) fn read(&self) -> Result<sampler::Routing, Problem> {
        match (self.top_k, self.rank, self.top_p) {
            (Some(k), None, None) => Ok(sampler::Routing::TopK(k as usize)),
            (None, Some(rank), None) => Ok(sampler::Routing::Rank(rank as usize)),
            (None, None, Some(p)) => Ok(sampler::Routing::TopP(p)),
            _ => Err(Problem::new("routing", "expected one of `top_k`, `rank` and `top_p`")),
        }
    }
}
