//! Weights of four bits, rounded to nearest, for matrices that do not learn.
//!
//! Each 128 weights of a row are a group, and so is what is left of the row, as in the files of GPTQ (arXiv 2210.17323) and AWQ
//! (arXiv 2306.00978). A group becomes s·clip(round(w / s), -7, 7) with s = max |w| / 7, rounded to f16; halves round to even. The
//! range is symmetric, so that -w becomes the opposite of what w becomes and the largest |w| is not cut off on either side, as
//! -8 to 7 would do on one. A product of such an s and such a whole number has no rounding in f32.
//!
//! Two weights are in a byte, the first in the low four bits: 1 to 15 for -7·s to 7·s. Rows are padded to whole bytes.

use crate::half::{from_f16, is_scale, to_f16};

/// Weights with one scale.
pub const GROUP: usize = 128;

/// The largest whole number that a scale is multiplied by.
const MOST: i8 = 7;
/// What is added to a whole number to store it.
const OFFSET: i8 = 8;
/// Weights in a byte.
const PER_BYTE: usize = 2;

/// The whole number that stands for `weight`: 0 for all where the scale is 0, and for what is no number.
fn code(weight: f32, scale: f32) -> i8 {
    if scale == 0.0 {
        return 0;
    }
    let most = f32::from(MOST);
    (weight / scale).round_ties_even().clamp(-most, most) as i8
}

fn value(code: i8, scale: f32) -> f32 {
    f32::from(code) * scale
}

fn largest(group: &[f32]) -> f32 {
    group.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()))
}

/// The groups of a matrix with rows of `width`, one after another.
fn groups(weights: &[f32], width: usize) -> impl Iterator<Item = &[f32]> {
    weights.chunks(width).flat_map(|row| row.chunks(GROUP))
}

/// The weights that a matrix with rows of `width` computes with.
pub fn quantised(weights: &[f32], width: usize) -> Vec<f32> {
    let group = |group: &[f32]| -> Vec<f32> {
        let scale = from_f16(to_f16(largest(group) / f32::from(MOST)));
        group.iter().map(|weight| value(code(*weight, scale), scale)).collect()
    };
    groups(weights, width).flat_map(group).collect()
}

/// Bytes of a packed row of `width` weights.
pub fn packed_width(width: usize) -> usize {
    width.div_ceil(PER_BYTE)
}

/// Scales of a row of `width` weights.
pub fn scales(width: usize) -> usize {
    width.div_ceil(GROUP)
}

/// The first of a group's values that is no value with this scale.
fn misfit(group: &[f32], scale: f32) -> Option<f32> {
    let fits = |x: f32| value(code(x, scale), scale).to_bits() == x.to_bits();
    group.iter().copied().find(|x| !fits(*x))
}

/// A scale that all values of a quantised group have, as f16: the largest of them is as a rule seven times it, or less often where
/// there was no f16 close to a seventh.
fn scale(group: &[f32]) -> Result<u16, f32> {
    let largest = largest(group);
    let mut candidates = (1..=MOST).rev().map(|code| to_f16(largest / f32::from(code)));
    let usual = to_f16(largest / f32::from(MOST));
    let found = candidates.find(|scale| misfit(group, from_f16(*scale)).is_none());
    found.ok_or_else(|| misfit(group, from_f16(usual)).unwrap_or(largest))
}

/// The codes, -7 to 7, of a quantised matrix with rows of `width`, and the scales of its groups, as f16.
///
/// # Errors
/// The first value that no scale of its group gives.
pub(crate) fn codes(values: &[f32], width: usize) -> Result<(Vec<i8>, Vec<u16>), f32> {
    let scales = groups(values, width).map(scale).collect::<Result<Vec<_>, _>>()?;
    let codes = groups(values, width).zip(&scales).flat_map(|(group, scale)| {
        let scale = from_f16(*scale);
        group.iter().map(move |value| code(*value, scale))
    });
    Ok((codes.collect(), scales))
}

/// Four bits for each weight of a quantised matrix with rows of `width`, and the scales of its groups, as f16.
///
/// # Errors
/// The first value that no scale of its group gives.
pub(crate) fn pack(values: &[f32], width: usize) -> Result<(Vec<u8>, Vec<u16>), f32> {
    let (codes, scales) = codes(values, width)?;
    let byte = |codes: &[i8]| codes.iter().rev().fold(0, |byte, code| byte << 4 | (code + OFFSET) as u8);
    let bytes = codes.chunks(width).flat_map(|row| row.chunks(PER_BYTE).map(byte)).collect();
    Ok((bytes, scales))
}

/// Adds the rows that [`pack`] made `bytes` and `scales` of to `out`.
///
/// # Errors
/// What stands there and cannot be.
pub(crate) fn unpack(bytes: &[u8], scales: &[u16], width: usize, out: &mut Vec<f32>) -> Result<(), String> {
    if let Some(bits) = scales.iter().find(|bits| !is_scale(**bits)) {
        return Err(format!("the scale {}", from_f16(*bits)));
    }
    let rows = bytes.chunks(packed_width(width)).zip(scales.chunks(self::scales(width)));
    for (row, scales) in rows {
        for i in 0..width {
            let code = row[i / PER_BYTE] >> (4 * (i % PER_BYTE)) & 15;
            if code == 0 {
                return Err("the four bits 0000".into());
            }
            out.push(value(code as i8 - OFFSET, from_f16(scales[i / GROUP])));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Tensor;

    fn weights(rows: usize, width: usize, std: f64) -> Vec<f32> {
        Tensor::normal(3, "weights", vec![rows, width], std).data.to_vec()
    }

    fn unpacked(bytes: &[u8], scales: &[u16], width: usize) -> Result<Vec<f32>, String> {
        let mut out = Vec::new();
        unpack(bytes, scales, width, &mut out).map(|()| out)
    }

    /// The definition, in f64: the nearest multiple of the scale, of two the even one.
    fn plain(w: f32, largest: f32) -> f32 {
        let scale = f64::from(from_f16(to_f16(largest / 7.0)));
        let near = |k: &i32| ((f64::from(w) - f64::from(*k) * scale).abs(), k % 2 != 0);
        let nearest = (-7..=7).min_by(|a, b| near(a).partial_cmp(&near(b)).expect("numbers"));
        (f64::from(nearest.expect("fifteen")) * scale) as f32
    }

    #[test]
    fn weights_are_rounded_to_the_nearest_of_fifteen() {
        // A scale of 0.5: halves of it go to the even multiple.
        let weights = [3.5, -3.5, 0.25, 0.75, -1.25, 0.3, -0.2, 0.0];
        assert_eq!(quantised(&weights, 8), [3.5, -3.5, 0.0, 1.0, -1.0, 0.5, 0.0, 0.0]);
        assert!(quantised(&weights, 8).iter().all(|x| *x != 0.0 || x.is_sign_positive()));
    }

    #[test]
    fn each_group_of_a_row_has_its_own_scale() {
        for (rows, width) in [(3, 300), (5, 128), (4, 129), (7, 20), (1, 1)] {
            let mut weights = weights(rows, width, 0.4);
            // Rows and groups of different sizes, and one of nothing.
            weights.iter_mut().enumerate().for_each(|(i, w)| *w *= (1 + i / 64 % 5) as f32);
            weights[..width.min(GROUP)].fill(0.0);
            let found = quantised(&weights, width);
            for (r, row) in weights.chunks(width).enumerate() {
                for (i, w) in row.iter().enumerate() {
                    let first = i / 128 * 128;
                    let group = &row[first..width.min(first + 128)];
                    let most = group.iter().fold(0.0f32, |most, w| most.max(w.abs()));
                    let expected = if most == 0.0 { 0.0 } else { plain(*w, most) };
                    assert_eq!(found[r * width + i], expected, "{rows} x {width}: {r} {i}");
                }
            }
        }
    }

    #[test]
    fn packing_loses_nothing() {
        // Down to scales that f16 hardly has, where a seventh of the largest is far from any, and to none.
        for std in [1e5, 0.4, 1e-4, 3e-6, 1e-6, 3e-7, 1e-8] {
            for (rows, width) in [(3, 300), (2, 128), (4, 129), (7, 20), (1, 1)] {
                let values = quantised(&weights(rows, width, std), width);
                let (bytes, scales) = pack(&values, width).expect("quantised");
                assert_eq!(bytes.len(), rows * width.div_ceil(2));
                assert_eq!(scales.len(), rows * width.div_ceil(128));
                let again = unpacked(&bytes, &scales, width).expect("unpacks");
                let bits = |all: &[f32]| all.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&again), bits(&values), "{std} {rows} x {width}");
            }
        }
    }

    #[test]
    fn what_four_bits_cannot_say_is_told() {
        let mut values = quantised(&weights(2, 130, 0.4), 130);
        values[200] = 0.123;
        assert_eq!(pack(&values, 130), Err(0.123));
        assert_eq!(pack(&[f32::NAN], 1).expect_err("no number").to_string(), "NaN");
        assert!(pack(&[7.0, -0.0], 2).is_err(), "there is one zero only");
        assert_eq!(unpacked(&[0x19, 0x08], &[0x3c00], 3), Ok(vec![1.0, -7.0, 0.0]));
        assert!(unpacked(&[0x10, 0x08], &[0x3c00], 3).expect_err("no weight").contains("0000"));
        for (scale, words) in [(0xbc00, "-1"), (0x7c00, "inf"), (0x7e00, "NaN")] {
            assert_eq!(unpacked(&[0x19, 0x08], &[scale], 3), Err(format!("the scale {words}")));
        }
    }
}
