//! Rotary frequencies: how fast each pair of dims turns with the position, plain and stretched to longer contexts.

use std::f64::consts::TAU;

/// Rotary positions of a kind of layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the frequencies; more than 0.
    pub theta: f64,
    /// How the frequencies are stretched.
    pub scaling: RopeScaling,
}

/// How rotary frequencies are changed for sequences longer than those of pretraining. `factor` is how many times longer.
/// The formulas are those of `transformers`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum RopeScaling {
    /// `theta^(-2i / head_dim)`.
    #[default]
    Default,
    /// All frequencies divided by `factor` (arXiv 2306.15595).
    Linear {
        /// More than 0.
        factor: f64,
    },
    /// A larger base as soon as the sequence is longer than `original` positions.
    Dynamic {
        /// At least 1.
        factor: f64,
        /// Positions of pretraining.
        original: usize,
    },
    /// Low frequencies divided by `factor`, high ones kept, those between blended (Llama 3.1).
    Llama3 {
        /// At least 1.
        factor: f64,
        /// Turns in `original` positions below which a frequency is low.
        low_freq_factor: f64,
        /// Turns in `original` positions above which a frequency is high.
        high_freq_factor: f64,
        /// Positions of pretraining.
        original: usize,
    },
    /// As Llama 3, blended along the index of the dim, with hotter attention (arXiv 2309.00071).
    Yarn {
        /// More than 0.
        factor: f64,
        /// Positions of pretraining.
        original: usize,
        /// Cosines and sines are multiplied by this.
        attention_factor: f64,
        /// Turns in `original` positions from which on a dim is kept.
        beta_fast: f64,
        /// Turns in `original` positions up to which a dim is divided.
        beta_slow: f64,
        /// Whether the borders of the blend are whole dims.
        truncate: bool,
    },
}

impl Rope {
    /// Plain frequencies of base `theta`.
    pub fn plain(theta: f64) -> Self {
        Self { theta, scaling: RopeScaling::Default }
    }

    /// Radians per position of the `head_dim / 2` pairs of dims, fastest first, in a sequence of `span` positions. Only
    /// [`RopeScaling::Dynamic`] looks at `span`.
    pub fn frequencies(&self, head_dim: usize, span: usize) -> Vec<f64> {
        let plain =
            |theta: f64| (0..head_dim / 2).map(move |i| theta.powf(-((2 * i) as f64) / head_dim as f64));
        let each = |change: &dyn Fn(usize, f64) -> f64| {
            plain(self.theta).enumerate().map(|(i, f)| change(i, f)).collect()
        };
        match self.scaling {
            RopeScaling::Default => plain(self.theta).collect(),
            RopeScaling::Linear { factor } => each(&|_, f| f / factor),
            RopeScaling::Dynamic { factor, original } => {
                let longer = span.max(original) as f64 / original as f64;
                let dims = head_dim as f64;
                plain(self.theta * (factor * longer - (factor - 1.0)).powf(dims / (dims - 2.0))).collect()
            }
            RopeScaling::Llama3 { factor, low_freq_factor, high_freq_factor, original } => each(&|_, f| {
                let turns = f * original as f64 / TAU;
                let kept = (turns - low_freq_factor) / (high_freq_factor - low_freq_factor);
                blend(f, factor, kept.clamp(0.0, 1.0))
            }),
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, truncate, .. } => {
                let dim = |turns: f64| {
                    head_dim as f64 * (original as f64 / (turns * TAU)).ln() / (2.0 * self.theta.ln())
                };
                let (low, high) = (dim(beta_fast), dim(beta_slow));
                let (low, high) = if truncate { (low.floor(), high.ceil()) } else { (low, high) };
                let (low, high) = (low.max(0.0), high.min(head_dim as f64 - 1.0));
                let width = if low == high { 0.001 } else { high - low };
                each(&|i, f| blend(f, factor, 1.0 - ((i as f64 - low) / width).clamp(0.0, 1.0)))
            }
        }
    }

    /// What cosines and sines are multiplied by.
    pub fn amplitude(&self) -> f64 {
        match self.scaling {
            RopeScaling::Yarn { attention_factor, .. } => attention_factor,
            _ => 1.0,
        }
    }

    /// How many positions the frequencies do not depend on the length of the sequence; `None`: all.
    pub fn fixed_until(&self) -> Option<usize> {
        match self.scaling {
            RopeScaling::Dynamic { original, .. } => Some(original),
            _ => None,
        }
    }
}

/// The share `kept` of a frequency and the rest of it divided by `factor`.
fn blend(frequency: f64, factor: f64, kept: f64) -> f64 {
    frequency * kept + frequency / factor * (1.0 - kept)
}

/// The factor of yarn's attention where a config names none: `0.1 mscale ln(factor) + 1`.
pub(crate) fn yarn_mscale(factor: f64, mscale: f64) -> f64 {
    if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frequencies(scaling: RopeScaling, span: usize) -> Vec<f64> {
        Rope { theta: 10_000.0, scaling }.frequencies(64, span)
    }

    #[test]
    fn llama3_keeps_fast_dims_divides_slow_ones_and_is_between_elsewhere() {
        let plain = frequencies(RopeScaling::Default, 0);
        let scaling =
            RopeScaling::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original: 1024 };
        let scaled = frequencies(scaling, 0);
        let ratio: Vec<f64> = plain.iter().zip(&scaled).map(|(p, s)| p / s).collect();
        assert_eq!(ratio[0], 1.0);
        assert!((ratio[31] - 8.0).abs() < 1e-9);
        assert!(ratio.windows(2).all(|pair| pair[0] <= pair[1] + 1e-12), "{ratio:?}");
        assert!(ratio.iter().any(|r| (1.5..7.0).contains(r)), "{ratio:?}");
    }

    #[test]
    fn yarn_keeps_the_first_dims_and_divides_the_last() {
        let scaling = RopeScaling::Yarn {
            factor: 4.0,
            original: 2048,
            attention_factor: 1.1,
            beta_fast: 32.0,
            beta_slow: 1.0,
            truncate: true,
        };
        let (plain, scaled) = (frequencies(RopeScaling::Default, 0), frequencies(scaling, 0));
        // 64 ln(2048 / (32 · 2π)) / (2 ln 10000) = 8.06, 64 ln(2048 / 2π) / (2 ln 10000) = 20.1.
        assert!(plain[..9].iter().zip(&scaled).all(|(p, s)| p == s));
        assert!(plain[9..21].iter().zip(&scaled[9..21]).all(|(p, s)| s < p && *s > p / 4.0));
        assert!(plain[21..].iter().zip(&scaled[21..]).all(|(p, s)| (s * 4.0 - p).abs() < 1e-12));
    }

    #[test]
    fn dynamic_begins_to_stretch_where_the_original_context_ends() {
        let scaling = RopeScaling::Dynamic { factor: 2.0, original: 100 };
        let plain = frequencies(RopeScaling::Default, 0);
        assert_eq!(frequencies(scaling, 100), plain);
        let longer = frequencies(scaling, 200);
        let theta = 10_000.0 * 3f64.powf(64.0 / 62.0);
        assert!((longer[1] - theta.powf(-2.0 / 64.0)).abs() < 1e-12);
        assert!(longer[31] < plain[31]);
    }
}
