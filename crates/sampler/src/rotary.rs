//! Rotary positions: pairs of dims of queries and keys are turned by an angle that grows with the position.

use std::ops::Range;

use flow_model::Rope;

/// Cosines and sines of the positions that turn alike in sequences of any length: `[position][head_dim / 2]`.
pub(crate) struct Rotary {
    rope: Rope,
    cos: Vec<f32>,
    sin: Vec<f32>,
    half: usize,
    /// Positions above.
    positions: usize,
}

impl Rotary {
    /// For sequences of up to `context` positions.
    pub(crate) fn new(context: usize, head_dim: usize, rope: Rope) -> Self {
        let positions = rope.fixed_until().map_or(context, |fixed| fixed.min(context));
        let (cos, sin) = turns(&rope, head_dim, 0..positions, 0);
        Self { rope, cos, sin, half: head_dim / 2, positions }
    }

    /// Cosines and sines of the positions that turn alike in sequences of any length, [`Rotary::half`] each.
    pub(crate) fn table(&self) -> (&[f32], &[f32]) {
        (&self.cos, &self.sin)
    }

    /// Pairs of a head.
    pub(crate) fn half(&self) -> usize {
        self.half
    }

    /// Cosines and sines of a position that turns otherwise than the table says, in a sequence of `span` positions.
    pub(crate) fn stretched(&self, position: usize, span: usize) -> Option<(Vec<f32>, Vec<f32>)> {
        let beyond = span > self.positions;
        beyond.then(|| turns(&self.rope, 2 * self.half, position..position + 1, span))
    }

    /// Bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.cos) + size_of_val(&*self.sin)
    }

    /// Rotates each head of `row`, pairing dim i with dim i + head_dim / 2. `span` is how long the sequence is that is
    /// being read: positions may turn otherwise in long ones.
    pub(crate) fn rotate(&self, position: usize, span: usize, row: &mut [f32]) {
        if let Some((cos, sin)) = self.stretched(position, span) {
            return self.turn(&cos, &sin, row);
        }
        let at = position * self.half..(position + 1) * self.half;
        self.turn(&self.cos[at.clone()], &self.sin[at], row);
    }

    fn turn(&self, cos: &[f32], sin: &[f32], row: &mut [f32]) {
        for head in row.chunks_exact_mut(2 * self.half) {
            let (first, second) = head.split_at_mut(self.half);
            for (((a, b), cos), sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

/// Cosines and sines. Angles are the position times a frequency, both rounded to f32, as in `transformers`.
fn turns(rope: &Rope, head_dim: usize, positions: Range<usize>, span: usize) -> (Vec<f32>, Vec<f32>) {
    let frequencies: Vec<f32> = rope.frequencies(head_dim, span).into_iter().map(|f| f as f32).collect();
    let amplitude = rope.amplitude();
    let angles = || positions.clone().flat_map(|p| frequencies.iter().map(move |f| f64::from(p as f32 * f)));
    let cos = angles().map(|a| (a.cos() * amplitude) as f32).collect();
    (cos, angles().map(|a| (a.sin() * amplitude) as f32).collect())
}

#[cfg(test)]
mod tests {
    use flow_model::RopeScaling;

    use super::*;

    #[test]
    fn a_sequence_beyond_the_table_turns_as_its_length_says() {
        let scaling = RopeScaling::Dynamic { factor: 2.0, original: 10 };
        let rope = Rope { theta: 100.0, scaling };
        let rotary = Rotary::new(20, 4, rope.clone());
        let turned = |position, span| {
            let mut row = [1.0, 1.0, 0.0, 0.0];
            rotary.rotate(position, span, &mut row);
            row
        };
        assert_eq!(turned(7, 8), turned(7, 10));
        for span in [10, 15, 20] {
            let slow = 7.0 * rope.frequencies(4, span)[1] as f32;
            assert!((turned(7, span)[1] - slow.cos()).abs() < 1e-6, "{span}");
        }
        assert_ne!(turned(7, 10), turned(7, 20));
    }

    #[test]
    fn each_pair_turns_by_its_own_angle_in_every_head() {
        let rotary = Rotary::new(100, 4, Rope::plain(100.0));
        let mut row = [1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 4.0];
        rotary.rotate(7, 8, &mut row);
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
