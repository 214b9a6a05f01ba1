//! Three-valued weights and 8-bit activations (BitNet b1.58, as MoTE uses them, arXiv 2506.14435).
//!
//! A matrix W becomes s·clip(round(W / s), -1, 1) with s the mean of |W|; a row x of activations becomes round(127·x / m) · m / 127
//! with m the largest |x|. Halves round to even, as `torch.round` does. Two bits hold a weight: 0, 1 and 2 for -s, 0 and s,
//! four to a byte from the lowest bits, rows padded to whole bytes.

/// Weights in a byte.
const PER_BYTE: usize = 4;

/// The scale of a matrix: the mean of |w|; 0 of nothing.
pub fn scale(weights: &[f32]) -> f32 {
    let sum: f64 = weights.iter().map(|w| f64::from(w.abs())).sum();
    (sum / weights.len().max(1) as f64) as f32
}

/// The weights that a matrix computes with: -s, 0 and s.
pub fn quantised(weights: &[f32]) -> Vec<f32> {
    let scale = scale(weights);
    if scale == 0.0 {
        return vec![0.0; weights.len()];
    }
    // Adding zero leaves no negative zero behind.
    weights.iter().map(|w| (w / scale).round_ties_even().clamp(-1.0, 1.0) * scale + 0.0).collect()
}

/// Latent weights of a quantised matrix to go on training from: its values, enlarged so that quantising gives them again, the
/// scale up to rounding.
pub fn latent(values: &[f32]) -> Vec<f32> {
    let filled = values.iter().filter(|value| **value != 0.0).count();
    let factor = values.len() as f64 / filled.max(1) as f64;
    values.iter().map(|value| (f64::from(*value) * factor) as f32).collect()
}

/// Rounds a row of activations to 8 bits, in place.
pub fn round_activations(row: &mut [f32]) {
    let largest = row.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    if largest == 0.0 {
        return;
    }
    let (up, down) = (127.0 / largest, largest / 127.0);
    row.iter_mut().for_each(|x| *x = (*x * up).round_ties_even().clamp(-128.0, 127.0) * down);
}

/// The codes, -1 to 1, of a quantised matrix with rows of `width`, and the scale of each row: 0 of one without other weights.
pub(crate) fn codes(values: &[f32], width: usize) -> (Vec<i8>, Vec<f32>) {
    let code = |value: &f32| if *value == 0.0 { 0 } else { value.signum() as i8 };
    let scale = |row: &[f32]| row.iter().fold(0.0f32, |scale, value| value.abs().max(scale));
    (values.iter().map(code).collect(), values.chunks(width).map(scale).collect())
}

/// Bytes of a packed row of `width` weights.
pub fn packed_width(width: usize) -> usize {
    width.div_ceil(PER_BYTE)
}

/// Two bits for each weight of a quantised matrix with rows of `width`, and its scale.
pub(crate) fn pack(values: &[f32], width: usize) -> (Vec<u8>, f32) {
    let (codes, scales) = codes(values, width);
    let byte = |codes: &[i8]| codes.iter().rev().fold(0, |byte, code| byte << 2 | (code + 1) as u8);
    let bytes = codes.chunks(width).flat_map(|row| row.chunks(PER_BYTE).map(byte)).collect();
    (bytes, scales.into_iter().fold(0.0, f32::max))
}

/// The matrix that [`pack`] made `bytes` of.
pub(crate) fn unpack(bytes: &[u8], width: usize, scale: f32) -> Vec<f32> {
    let value = |byte: u8, at: usize| (f32::from(byte >> (2 * at) & 3) - 1.0) * scale;
    let row =
        |row: &[u8]| -> Vec<f32> { (0..width).map(|i| value(row[i / PER_BYTE], i % PER_BYTE)).collect() };
    bytes.chunks(packed_width(width)).flat_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    fn weights() -> Vec<f32> {
        Tensor::normal(3, "weights", vec![7 * 10], 0.4).data.to_vec()
    }

    #[test]
    fn weights_take_three_values_by_their_mean() {
        assert_eq!(quantised(&[0.2, -0.5, 1.1, -0.2]), [0.0, -0.5, 0.5, 0.0]);
        assert_eq!(quantised(&[0.0; 3]), [0.0; 3]);
        // Half of the scale rounds to even, which is zero.
        assert_eq!(quantised(&[0.5, -1.5, 1.0, 1.0]), [0.0, -1.0, 1.0, 1.0]);
    }

    #[test]
    fn packing_loses_nothing() {
        let values = quantised(&weights());
        for width in [10, 7, 70] {
            let (bytes, scale) = pack(&values, width);
            assert_eq!(bytes.len(), values.len() / width * width.div_ceil(4));
            assert_eq!(unpack(&bytes, width, scale), values);
        }
    }

    #[test]
    fn latent_weights_are_quantised_to_what_they_come_from() {
        let values = quantised(&weights());
        for (again, value) in quantised(&latent(&values)).iter().zip(&values) {
            assert!((again - value).abs() <= 1e-6 * value.abs(), "{again} {value}");
        }
    }

    #[test]
    fn activations_keep_their_largest_and_round_the_rest() {
        let mut row = [-127.0, 63.4, 0.5, 0.0];
        round_activations(&mut row);
        assert_eq!(row, [-127.0, 63.0, 0.0, 0.0]);
    }
}
