//! AdamW with decoupled weight decay, as plain loops over the parameters.

use candle_core::{CpuStorage, InplaceOp1, Layout, Result, Tensor, bail};

use crate::TrainConfig;
use crate::simd::vectorised;

/// The moments of all parameters: twice their memory.
pub(crate) struct AdamW {
    moments: Vec<Moments>,
    step: i32,
}

#[derive(Default)]
struct Moments {
    first: Vec<f32>,
    second: Vec<f32>,
}

impl AdamW {
    /// Moments of zero for parameters of these numbers of elements.
    pub(crate) fn new(sizes: impl IntoIterator<Item = usize>) -> Self {
        let zeros = |n| Moments { first: vec![0.0; n], second: vec![0.0; n] };
        Self { moments: sizes.into_iter().map(zeros).collect(), step: 0 }
    }

    /// First and second moments of each parameter.
    pub(crate) fn moments(&self) -> impl Iterator<Item = [&[f32]; 2]> {
        self.moments.iter().map(|moments| [&moments.first[..], &moments.second[..]])
    }

    /// Goes on after `step` steps that left these moments of parameter `i`.
    pub(crate) fn restore(&mut self, step: usize, i: usize, [first, second]: [Vec<f32>; 2]) {
        self.step = i32::try_from(step).unwrap_or(i32::MAX);
        self.moments[i] = Moments { first, second };
    }

    /// Begins a step; every parameter is then updated once with the result.
    pub(crate) fn begin(&mut self, config: &TrainConfig, rate: f64) -> Step<'_> {
        self.step += 1;
        let (b1, b2) = config.betas;
        let (c1, c2) = (1.0 - b1.powi(self.step), 1.0 - b2.powi(self.step));
        let update = Update {
            betas: (b1 as f32, b2 as f32),
            rest: ((1.0 - b1) as f32, (1.0 - b2) as f32),
            rate: (rate / c1) as f32,
            second_scale: (1.0 / c2).sqrt() as f32,
            eps: config.eps as f32,
        };
        Step { moments: &mut self.moments, update, decay: (1.0 - rate * config.weight_decay) as f32 }
    }
}

/// One step under way.
pub(crate) struct Step<'a> {
    moments: &'a mut [Moments],
    update: Update,
    decay: f32,
}

#[derive(Clone, Copy)]
struct Update {
    betas: (f32, f32),
    /// 1 − betas, subtracted before rounding.
    rest: (f32, f32),
    /// Learning rate over the bias correction of the first moment.
    rate: f32,
    /// Root of the bias correction of the second moment.
    second_scale: f32,
    eps: f32,
}

impl Step<'_> {
    /// Updates parameter `i` by its gradient times `scale`.
    pub(crate) fn apply(
        &mut self,
        i: usize,
        parameter: &Tensor,
        decays: bool,
        gradient: &[f32],
        scale: f32,
    ) -> Result<()> {
        let (moments, update) = (&mut self.moments[i], self.update);
        vectorised(
            #[inline(always)]
            || update.absorb(moments, gradient, scale),
        );
        let decay = if decays { self.decay } else { 1.0 };
        parameter.inplace_op1(&Apply { moments, update, decay })
    }
}

impl Update {
    #[inline(always)]
    fn absorb(self, moments: &mut Moments, gradient: &[f32], scale: f32) {
        let ((b1, b2), (r1, r2)) = (self.betas, self.rest);
        for ((m, v), g) in moments.first.iter_mut().zip(&mut moments.second).zip(gradient) {
            let g = g * scale;
            *m = b1 * *m + r1 * g;
            *v = b2 * *v + r2 * g * g;
        }
    }

    #[inline(always)]
    fn apply(self, moments: &Moments, decay: f32, parameters: &mut [f32]) {
        for ((p, m), v) in parameters.iter_mut().zip(&moments.first).zip(&moments.second) {
            *p = *p * decay - self.rate * m / (v.sqrt() * self.second_scale + self.eps);
        }
    }
}

struct Apply<'a> {
    moments: &'a Moments,
    update: Update,
    decay: f32,
}

impl InplaceOp1 for Apply<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(data), Some((start, end))) => {
                let parameters = &mut data[start..end];
                vectorised(
                    #[inline(always)]
                    || self.update.apply(self.moments, self.decay, parameters),
                );
                Ok(())
            }
            _ => bail!("a parameter is not contiguous f32"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::{elements, tensor};

    /// The update as the paper writes it, in f64.
    fn expected(config: &TrainConfig, gradients: &[f64], decays: bool) -> f64 {
        let (mut p, mut m, mut v, rate) = (0.5, 0.0, 0.0, 0.1);
        for (t, g) in (1..).zip(gradients) {
            let (b1, b2) = config.betas;
            (m, v) = (b1 * m + (1.0 - b1) * g, b2 * v + (1.0 - b2) * g * g);
            let (m, v) = (m / (1.0 - b1.powi(t)), v / (1.0 - b2.powi(t)));
            p -= if decays { rate * config.weight_decay * p } else { 0.0 };
            p -= rate * m / (v.sqrt() + config.eps);
        }
        p
    }

    #[test]
    fn steps_follow_the_formula() {
        let config = TrainConfig { weight_decay: 0.3, eps: 1e-3, ..TrainConfig::default() };
        let gradients = [0.2, -0.4, 1.5, 0.01];
        for decays in [false, true] {
            let parameter = tensor(vec![0.5], 1).expect("a tensor");
            let mut adamw = AdamW::new([1]);
            for g in gradients {
                adamw
                    .begin(&config, 0.1)
                    .apply(0, &parameter, decays, &[2.0 * g as f32], 0.5)
                    .expect("applies");
            }
            let value = f64::from(elements(&parameter).expect("elements")[0]);
            assert!((value - expected(&config, &gradients, decays)).abs() < 1e-6);
        }
    }
}
