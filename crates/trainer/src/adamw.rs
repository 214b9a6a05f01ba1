//! AdamW with decoupled weight decay, as plain loops over the parameters.

use candle_core::{Result, bail};
use flow_kernels::gpu::AdamWStep;

use crate::TrainConfig;
use crate::device::Array;
use crate::gradient::{Block, Gradient};
use crate::ops::change;
use crate::simd::vectorised;
use crate::tensor::Tensor;
use crate::workers::Workers;

/// The moments of all parameters, beside them: twice their memory.
pub(crate) struct AdamW {
    moments: Vec<Moments>,
    step: i32,
}

/// First and second moments of a parameter.
enum Moments {
    Host([Vec<f32>; 2]),
    Device([Array; 2]),
}

impl Moments {
    /// Beside `parameter`.
    fn new(parameter: &Tensor, moments: [Vec<f32>; 2]) -> Result<Self> {
        let Tensor::Device(array) = parameter else { return Ok(Self::Host(moments)) };
        let [first, second] = moments.map(|numbers| array.device().upload(&numbers, &[numbers.len()]));
        Ok(Self::Device([first?, second?]))
    }
}

impl AdamW {
    /// Moments of zero of so many numbers each, beside the parameters.
    pub(crate) fn new<'a>(parameters: impl IntoIterator<Item = (&'a Tensor, usize)>) -> Result<Self> {
        let zeros = |(parameter, n): (&Tensor, usize)| match parameter {
            Tensor::Host(_) => Ok(Moments::Host([vec![0.0; n], vec![0.0; n]])),
            Tensor::Device(array) => {
                Ok(Moments::Device([array.device().zeros(n)?, array.device().zeros(n)?]))
            }
        };
        Ok(Self { moments: parameters.into_iter().map(zeros).collect::<Result<_>>()?, step: 0 })
    }

    /// Copies of the first and second moments of parameter `i`.
    pub(crate) fn moments(&self, i: usize) -> Result<[Vec<f32>; 2]> {
        match &self.moments[i] {
            Moments::Host(moments) => Ok(moments.clone()),
            Moments::Device([first, second]) => Ok([first.to_vec()?, second.to_vec()?]),
        }
    }

    /// Goes on after `step` steps that left these moments of `parameter`, the one of number `i`.
    pub(crate) fn restore(
        &mut self,
        step: usize,
        (i, parameter): (usize, &Tensor),
        moments: [Vec<f32>; 2],
    ) -> Result<()> {
        self.step = i32::try_from(step).unwrap_or(i32::MAX);
        self.moments[i] = Moments::new(parameter, moments)?;
        Ok(())
    }

    /// Begins a step, in which gradients count `scale` times; every parameter is then updated once with the result.
    pub(crate) fn begin<'a>(
        &'a mut self,
        config: &TrainConfig,
        rate: f64,
        scale: f32,
        workers: &'a Workers,
    ) -> Step<'a> {
        self.step += 1;
        let (b1, b2) = config.betas;
        let (c1, c2) = (1.0 - b1.powi(self.step), 1.0 - b2.powi(self.step));
        let update = Update {
            betas: (b1 as f32, b2 as f32),
            rest: ((1.0 - b1) as f32, (1.0 - b2) as f32),
            rate: (rate / c1) as f32,
            second_scale: (1.0 / c2).sqrt() as f32,
            eps: config.eps as f32,
            decay: (1.0 - rate * config.weight_decay) as f32,
            scale,
        };
        Step { moments: &mut self.moments, update, workers }
    }
}

/// One step under way.
pub(crate) struct Step<'a> {
    moments: &'a mut [Moments],
    update: Update,
    workers: &'a Workers,
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
    /// What a parameter is multiplied by first.
    decay: f32,
    /// What a gradient is multiplied by.
    scale: f32,
}

/// Numbers that one thread updates at a time: with moments and gradients, they fit into its cache.
const STRETCH: usize = 1 << 14;

/// The gradient of numbers that the loss does not depend on.
static ZEROS: [f32; STRETCH] = [0.0; STRETCH];

impl Step<'_> {
    /// Updates parameter `i` by its gradient.
    pub(crate) fn apply(
        &mut self,
        i: usize,
        parameter: &Tensor,
        decays: bool,
        gradient: &Gradient,
    ) -> Result<()> {
        let update = Update { decay: if decays { self.update.decay } else { 1.0 }, ..self.update };
        let [first, second] = match &mut self.moments[i] {
            Moments::Host(moments) => moments,
            Moments::Device(moments) => return update.launch(parameter, moments, gradient),
        };
        let sums = gradient.blocks.iter().map(Block::values).collect::<Result<Vec<_>>>()?;
        change(parameter, |values| {
            let length = values.len() / sums.len();
            let moments = first.chunks_mut(length).zip(second.chunks_mut(length));
            let blocks = values.chunks_mut(length).zip(moments).zip(&sums);
            let stretches = blocks.flat_map(|((values, (first, second)), sum)| {
                let moments = first.chunks_mut(STRETCH).zip(second.chunks_mut(STRETCH));
                let gradient = |from: usize| sum.as_ref().map_or(&ZEROS[..], |values| &values[from..]);
                values.chunks_mut(STRETCH).zip(moments).zip((0..).step_by(STRETCH).map(gradient))
            });
            self.workers.map(stretches, |((values, (first, second)), gradient)| {
                vectorised(
                    #[inline(always)]
                    || update.apply(values, first, second, gradient),
                )
            });
        })
    }
}

impl Update {
    /// Updates a parameter on a device, whose gradient is in one block.
    fn launch(self, parameter: &Tensor, [first, second]: &[Array; 2], gradient: &Gradient) -> Result<()> {
        let Tensor::Device(values) = parameter else { bail!("moments on a device, a parameter on the host") };
        let (b1, b2) = self.betas;
        let (r1, r2) = self.rest;
        let Self { rate, second_scale, eps, decay, scale, .. } = self;
        let step = AdamWStep { betas: [b1, b2], rest: [r1, r2], rate, second_scale, eps, decay, scale };
        let gradient = gradient.blocks[0].array().map(Array::numbers);
        values.change(|gpu, values| {
            let (mut first, mut second) = (first.numbers_mut(), second.numbers_mut());
            gpu.adamw(parameter.elem_count(), &step, values, &mut first, &mut second, gradient.as_deref())
        })
    }

    /// In one pass: most of the cost is bringing the numbers in and out.
    #[inline(always)]
    fn apply(self, parameters: &mut [f32], first: &mut [f32], second: &mut [f32], gradient: &[f32]) {
        let ((b1, b2), (r1, r2)) = (self.betas, self.rest);
        for (((p, m), v), g) in parameters.iter_mut().zip(first).zip(second).zip(gradient) {
            let g = g * self.scale;
            *m = b1 * *m + r1 * g;
            *v = b2 * *v + r2 * g * g;
            *p = *p * self.decay - self.rate * *m / (v.sqrt() * self.second_scale + self.eps);
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
    fn a_block_without_gradient_moves_on_as_with_zeros() {
        let config = TrainConfig::default();
        let ends = [false, true].map(|zeros| {
            let parameter = tensor(vec![0.5; 2 * STRETCH + 2], 2 * STRETCH + 2).expect("a tensor");
            let (mut adamw, workers) =
                (AdamW::new([(&parameter, 2 * STRETCH + 2)]).expect("moments"), Workers::none());
            for step in 0..3 {
                let mut gradient = Gradient::new(2);
                let mut add = |block: usize, x: f32| {
                    let part = tensor(vec![x; STRETCH + 1], STRETCH + 1).expect("a tensor");
                    gradient.blocks[block].add(part).expect("adds");
                };
                add(0, 0.1);
                match step {
                    0 => add(1, 0.3),
                    _ if zeros => add(1, 0.0),
                    _ => {}
                }
                adamw
                    .begin(&config, 0.1, 1.0, &workers)
                    .apply(0, &parameter, true, &gradient)
                    .expect("applies");
            }
            elements(&parameter).expect("elements").to_vec()
        });
        assert_eq!(ends[0], ends[1]);
        assert!(ends[0].windows(2).filter(|two| two[0] != two[1]).count() == 1, "two blocks");
    }

    #[test]
    fn steps_follow_the_formula() {
        let config = TrainConfig { weight_decay: 0.3, eps: 1e-3, ..TrainConfig::default() };
        let gradients = [0.2, -0.4, 1.5, 0.01];
        for decays in [false, true] {
            let parameter = tensor(vec![0.5], 1).expect("a tensor");
            let mut adamw = AdamW::new([(&parameter, 1)]).expect("moments");
            for g in gradients {
                let mut gradient = Gradient::new(1);
                gradient.blocks[0].add(tensor(vec![2.0 * g as f32], 1).expect("a tensor")).expect("adds");
                let workers = Workers::none();
                let mut step = adamw.begin(&config, 0.1, 0.5, &workers);
                step.apply(0, &parameter, decays, &gradient).expect("applies");
            }
            let value = f64::from(elements(&parameter).expect("elements")[0]);
            assert!((value - expected(&config, &gradients, decays)).abs() < 1e-6);
        }
    }
}
