//! How a model draws: the keys that every step with completions of a model shares.

/// A config that has the keys of drawing after its own; `temperature` names the function of its default.
macro_rules! with_sampling {
    (temperature: $temperature:literal, $(#[$meta:meta])* pub(crate) struct $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        #[derive(serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub(crate) struct $name {
            $($own)*
            /// Divides the scores; 0 always takes the likeliest token.
            #[serde(default = $temperature)]
            #[schemars(range(min = 0.0, max = 100.0))]
            temperature: f64,
            /// Keeps the fewest likeliest tokens whose probabilities reach this sum, above 0 to 1.
            #[serde(default = "crate::defaults::unit")]
            #[schemars(range(min = 0.000_001, max = 1.0))]
            top_p: f64,
            /// Keeps this many likeliest tokens; 0 keeps all.
            #[serde(default)]
            top_k: u32,
            /// Keeps tokens at least this fraction as likely as the likeliest; 0 keeps all.
            #[serde(default)]
            #[schemars(range(min = 0.0, max = 1.0))]
            min_p: f64,
            /// Divides the positive scores of tokens that prompt or completion already has, and multiplies the negative ones.
            #[serde(default = "crate::defaults::unit")]
            #[schemars(range(min = 0.01, max = 100.0))]
            repetition_penalty: f64,
            /// Most tokens of a completion, at least 1.
            #[serde(default = "crate::defaults::max_tokens")]
            #[schemars(range(min = 1))]
            max_tokens: u32,
            /// Texts, none of them empty, that end a completion and are cut from it.
            #[serde(default)]
            #[schemars(inner(length(min = 1)))]
            stop: Vec<String>,
            /// Names the random streams, and resamples where there are any; by default the pipeline's seed.
            seed: Option<u64>,
        }

        impl $name {
            /// The keys as the sampler takes them.
            fn params(&self) -> flow_sampler::Params {
                flow_sampler::Params {
                    temperature: self.temperature,
                    top_p: self.top_p,
                    top_k: self.top_k as usize,
                    min_p: self.min_p,
                    repetition_penalty: self.repetition_penalty,
                    max_tokens: self.max_tokens as usize,
                    stop: self.stop.clone(),
                    ..flow_sampler::Params::default()
                }
            }
        }
    };
}

pub(crate) use with_sampling;
