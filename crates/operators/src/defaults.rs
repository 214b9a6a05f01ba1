//! Defaults of keys that mean the same in several operators.

/// `prompt`: the column of the record `prompt`.
pub(crate) fn prompt() -> String {
    "prompt".into()
}

/// `answer`: the column of the record `prompt`.
pub(crate) fn answer() -> String {
    "answer".into()
}

/// `completion`: the column of the record `draw`.
pub(crate) fn completion() -> String {
    "completion".into()
}

/// `extract`: whatever form the answer is stated in.
pub(crate) fn extract() -> String {
    "auto".into()
}

/// `compare`: by mathematical value.
pub(crate) fn compare() -> String {
    "math".into()
}

/// A count of one: `n` of `sample` and `refine`, `gradient_accumulation_steps` of `train`.
pub(crate) fn one() -> u32 {
    1
}

/// The number 1: a temperature or `top_p` that changes nothing, one epoch, a norm.
pub(crate) fn unit() -> f64 {
    1.0
}

/// `temperature` where answers should vary and mostly hold.
pub(crate) fn temperature() -> f64 {
    0.7
}

/// `max_tokens` of a completion.
pub(crate) fn max_tokens() -> u32 {
    256
}
