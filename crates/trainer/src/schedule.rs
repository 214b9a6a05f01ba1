//! The learning rate by step.

use std::f64::consts::PI;

use crate::{Schedule, TrainConfig};

impl TrainConfig {
    /// The learning rate of `step`, counted from 0, of `steps`. It rises from peak / warm-up steps to the peak, then
    /// falls so that the step after the last would be 0.
    pub(crate) fn rate(&self, step: usize, steps: usize) -> f64 {
        let warmup = (self.warmup_ratio * steps as f64).ceil() as usize;
        if step < warmup {
            return self.learning_rate * (step + 1) as f64 / warmup as f64;
        }
        let progress = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
        self.learning_rate
            * match self.schedule {
                Schedule::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
                Schedule::Linear => 1.0 - progress,
                Schedule::Constant => 1.0,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(schedule: Schedule, warmup_ratio: f64) -> Vec<f64> {
        let config = TrainConfig { learning_rate: 1.0, warmup_ratio, schedule, ..TrainConfig::default() };
        (0..4).map(|step| config.rate(step, 4)).collect()
    }

    #[test]
    fn rates_rise_then_fall() {
        assert_eq!(rates(Schedule::Linear, 0.0), [1.0, 0.75, 0.5, 0.25]);
        assert_eq!(rates(Schedule::Linear, 0.5), [0.5, 1.0, 1.0, 0.5]);
        assert_eq!(rates(Schedule::Constant, 0.25), [1.0; 4]);
        assert!((rates(Schedule::Cosine, 0.0)[2] - 0.5).abs() < 1e-12);
    }
}
