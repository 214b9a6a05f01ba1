//! What training minimises: a sum over lessons of a function of their tokens' log-probabilities, over the sum of their weights.

use std::ops::Range;

/// What training minimises.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Loss {
    /// Cross-entropy of the completions: Σ w · −log π(token) / Σ w, over completion tokens, w the weight of the example.
    #[default]
    CrossEntropy,
    /// Direct preference optimisation (arXiv 2305.18290): Σ w · −log σ(beta · h) / Σ w over pairs, where h says by how much more than the
    /// start the model prefers the completion: log π/π_start of the completion less that of the rejected one.
    Dpo {
        /// How dear it is to leave the start, above 0.
        beta: f64,
    },
}

/// One example among the scored rows of a batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scored {
    /// Rows of the completion.
    pub(crate) completion: Range<usize>,
    /// Rows of the rejected completion; none without one.
    pub(crate) rejected: Range<usize>,
    /// What it counts.
    pub(crate) weight: f64,
    /// By how much the start prefers the completion, nats.
    pub(crate) reference: f64,
}

/// The loss of a batch.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// The sum, before it is divided.
    pub(crate) loss: f64,
    /// Its slope along each log-probability.
    pub(crate) slopes: Vec<f64>,
    /// What a model that learns preferences has learned, weighted and summed.
    pub(crate) preference: Preference,
}

/// How a model's preferences stand to those of its start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Preference {
    /// Mean of beta · h, the reward of the completion less that of the rejected one, nats.
    pub margin: f64,
    /// Share of the pairs with a margin above 0.
    pub accuracy: f64,
}

impl Loss {
    /// What an example of this weight with `n` scored tokens counts in the sum that the loss is divided by.
    pub(crate) fn share(self, weight: f64, n: usize) -> f64 {
        match self {
            Self::CrossEntropy => weight * n as f64,
            Self::Dpo { .. } => weight,
        }
    }

    /// The loss of examples whose scored tokens have these log-probabilities.
    pub(crate) fn measure(self, examples: &[Scored], log_probabilities: &[f32]) -> Measured {
        let mut measured = Measured { slopes: vec![0.0; log_probabilities.len()], ..Measured::default() };
        for example in examples {
            match self {
                Self::CrossEntropy => measured.learn(example, log_probabilities),
                Self::Dpo { beta } => measured.prefer(example, beta, log_probabilities),
            }
        }
        measured
    }
}

impl Measured {
    fn learn(&mut self, example: &Scored, log_probabilities: &[f32]) {
        let rows = example.completion.clone();
        self.loss -= example.weight * total(&log_probabilities[rows.clone()]);
        self.slopes[rows].fill(-example.weight);
    }

    /// ∂/∂h −log σ(beta·h) = −beta·σ(−beta·h).
    fn prefer(&mut self, example: &Scored, beta: f64, log_probabilities: &[f32]) {
        let margin = beta * (preference(example, log_probabilities) - example.reference);
        // −log σ(m) without overflow on either side.
        self.loss += example.weight * ((-margin.abs()).exp().ln_1p() - margin.min(0.0));
        let slope = example.weight * beta / (1.0 + margin.exp());
        self.slopes[example.completion.clone()].fill(-slope);
        self.slopes[example.rejected.clone()].fill(slope);
        self.preference.margin += example.weight * margin;
        self.preference.accuracy += if margin > 0.0 { example.weight } else { 0.0 };
    }
}

/// By how much a model with these log-probabilities prefers the completion, nats.
pub(crate) fn preference(example: &Scored, log_probabilities: &[f32]) -> f64 {
    let of = |rows: &Range<usize>| total(&log_probabilities[rows.clone()]);
    of(&example.completion) - of(&example.rejected)
}

fn total(log_probabilities: &[f32]) -> f64 {
    log_probabilities.iter().map(|x| f64::from(*x)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(weight: f64, reference: f64) -> Scored {
        Scored { completion: 0..2, rejected: 2..4, weight, reference }
    }

    #[test]
    fn losses_follow_their_formulas_and_slopes_their_differences() {
        let examples =
            [pair(1.5, 0.3), Scored { completion: 4..5, rejected: 5..6, weight: 0.5, reference: -1.0 }];
        let at = [-0.5, -1.0, -2.0, -0.25, -3.0, -0.75f32];
        let (first, second) = (0.5f64 * (0.75 - 0.3), 0.5f64 * (-2.25 + 1.0));
        let expected = 1.5 * (1.0 + (-first).exp()).ln() + 0.5 * (1.0 + (-second).exp()).ln();
        let dpo = Loss::Dpo { beta: 0.5 };
        let measured = dpo.measure(&examples, &at);
        assert!((measured.loss - expected).abs() < 1e-12);
        assert!((measured.preference.margin - (1.5 * first + 0.5 * second)).abs() < 1e-12);
        assert_eq!(measured.preference.accuracy, 1.5);
        assert_eq!(Loss::CrossEntropy.measure(&examples, &at).loss, 1.5 * 1.5 + 0.5 * 3.0);
        for loss in [dpo, Loss::CrossEntropy] {
            for i in 0..at.len() {
                let moved = |by: f32| {
                    let mut at = at;
                    at[i] += by;
                    loss.measure(&examples, &at).loss
                };
                let slope = (moved(0.125) - moved(-0.125)) / 0.25;
                assert!((slope - loss.measure(&examples, &at).slopes[i]).abs() < 1e-3, "{loss:?} {i}");
            }
        }
    }

    #[test]
    fn far_margins_are_finite() {
        for reference in [-1e6, 1e6] {
            let measured = Loss::Dpo { beta: 1.0 }.measure(&[pair(1.0, reference)], &[-1.0; 4]);
            assert!(measured.loss.is_finite() && measured.slopes.iter().all(|slope| slope.is_finite()));
        }
    }
}
