//! Numbers of 16 bits.

/// The largest finite number of half precision.
const LARGEST: u16 = 0x7bff;

pub(crate) fn from_bf16(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

/// IEEE half precision: 1 sign, 5 exponent (bias 15), 10 fraction bits.
pub(crate) fn from_f16(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff);
    match (bits >> 10) & 0x1f {
        0 => sign * fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => sign * f32::INFINITY,
        31 => f32::NAN,
        exponent => sign * (1.0 + fraction / 1024.0) * 2f32.powi(i32::from(exponent) - 15),
    }
}

/// The nearest half precision has to a number of 0 or more, of two the even one; above the largest the largest.
pub(crate) fn to_f16(x: f32) -> u16 {
    if x < 2f32.powi(-14) {
        // Subnormal: multiples of 2^-24.
        return (x * 2f32.powi(24)).round_ties_even() as u16;
    }
    let bits = x.to_bits() - ((127 - 15) << 23);
    let rounded = (bits + 0xfff + (bits >> 13 & 1)) >> 13;
    u16::try_from(rounded).unwrap_or(LARGEST).min(LARGEST)
}

/// Whether these bits of half precision are a number of 0 or more.
pub(crate) fn is_scale(bits: u16) -> bool {
    bits <= LARGEST
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_values_are_exact() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2f32.powi(-24)),
            (0x3555, 0.33325195),
        ];
        for (bits, value) in cases {
            assert_eq!(from_f16(bits), value, "{bits:#x}");
        }
        assert_eq!(from_f16(0xfc00), f32::NEG_INFINITY);
        assert!(from_f16(0x7e00).is_nan());
        assert_eq!(from_bf16(0x3f80), 1.0);
        assert_eq!(from_bf16(0xc049), -3.140625);
    }

    #[test]
    fn rounding_to_half_precision_finds_the_nearest_number() {
        for bits in 0..LARGEST {
            let (below, above) = (from_f16(bits), from_f16(bits + 1));
            let middle = (below + above) / 2.0;
            let even = bits + bits % 2;
            assert_eq!([to_f16(below), to_f16(middle), to_f16(above)], [bits, even, bits + 1]);
            assert_eq!([to_f16(middle.next_down()), to_f16(middle.next_up())], [bits, bits + 1]);
        }
        assert_eq!([to_f16(65519.0), to_f16(1e6), to_f16(f32::INFINITY)], [LARGEST; 3]);
        assert!(is_scale(LARGEST) && !is_scale(LARGEST + 1) && !is_scale(0x8000));
    }
}
