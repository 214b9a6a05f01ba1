//! Rotary positions: pairs of dims of queries and keys are turned by an angle that grows with the position.

/// Cosines and sines of every position: `[position][head_dim / 2]`.
pub(crate) struct Rotary {
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
}

impl Rotary {
    /// Angles are `position * theta^(-2i / head_dim)` with both factors rounded to f32, as in `transformers`.
    pub(crate) fn new(positions: usize, head_dim: usize, theta: f64) -> Self {
        let half = head_dim / 2;
        let frequency = |i: usize| theta.powf(-((2 * i) as f64) / head_dim as f64) as f32;
        let frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let angles = || (0..positions).flat_map(|p| frequencies.iter().map(move |f| f64::from(p as f32 * f)));
        let cos = angles().map(|a| a.cos() as f32).collect();
        Self { cos, sin: angles().map(|a| a.sin() as f32).collect(), half }
    }

    /// Rotates each head of `row`, pairing dim i with dim i + head_dim / 2.
    pub(crate) fn rotate(&self, position: usize, row: &mut [f32]) {
        let cos = &self.cos[position * self.half..][..self.half];
        let sin = &self.sin[position * self.half..][..self.half];
        for head in row.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pair_turns_by_its_own_angle_in_every_head() {
        let rotary = Rotary::new(100, 4, 100.0);
        let mut row = [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0];
        rotary.rotate(7, &mut row);
        let (fast, slow) = (7.0f32, 0.7f32);
        let expected = [
            [fast.cos(), 2.0 * slow.cos(), fast.sin(), 2.0 * slow.sin()],
            [-3.0 * fast.sin(), -4.0 * slow.sin(), 3.0 * fast.cos(), 4.0 * slow.cos()],
        ];
        for (found, expected) in row.iter().zip(expected.as_flattened()) {
            assert!((found - expected).abs() < 1e-6, "{row:?}");
        }
    }
}
