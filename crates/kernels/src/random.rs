//! Random numbers that are a function of where they are used: (stream, position) in, a uniform number out.
//!
//! The generator is Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011).
//! It has no state, so a draw cannot depend on what was drawn before it, elsewhere, or in another process.

/// Names one stream of random numbers: everything that tells this draw from all others, hashed to 128 bits.
pub type Stream = [u8; 16];

/// The uniform number in [0, 1) at `position` of `stream`; a multiple of 2^-53.
pub fn uniform(stream: &Stream, position: u32) -> f64 {
    let word = |i: usize| u32::from_le_bytes([stream[i], stream[i + 1], stream[i + 2], stream[i + 3]]);
    let block = philox([position, 0, word(8), word(12)], [word(0), word(4)]);
    let bits = u64::from(block[0]) << 32 | u64::from(block[1]);
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Philox4x32 with ten rounds: a keyed bijection of 128 bits.
fn philox(mut counter: [u32; 4], mut key: [u32; 2]) -> [u32; 4] {
    const MULTIPLIER: [u64; 2] = [0xD251_1F53, 0xCD9E_8D57];
    const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
    for _ in 0..10 {
        let a = MULTIPLIER[0] * u64::from(counter[0]);
        let b = MULTIPLIER[1] * u64::from(counter[2]);
        counter = [
            (b >> 32) as u32 ^ counter[1] ^ key[0],
            b as u32,
            (a >> 32) as u32 ^ counter[3] ^ key[1],
            a as u32,
        ];
        key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
    }
    counter
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers published with the Random123 library.
    #[test]
    fn philox_gives_the_published_answers() {
        let ones = u32::MAX;
        let cases = [
            ([0; 4], [0; 2], [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]),
            ([ones; 4], [ones; 2], [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]),
            (
                [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
                [0xa409_3822, 0x299f_31d0],
                [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
            ),
        ];
        for (counter, key, answer) in cases {
            assert_eq!(philox(counter, key), answer);
        }
    }

    #[test]
    fn uniform_numbers_fill_the_interval_evenly() {
        let mut buckets = [0u32; 10];
        for position in 0..10_000 {
            let u = uniform(&[7; 16], position);
            assert!((0.0..1.0).contains(&u));
            buckets[(u * 10.0) as usize] += 1;
        }
        let chi2: f64 = buckets.iter().map(|&n| (f64::from(n) - 1000.0).powi(2) / 1000.0).sum();
        assert!(chi2 < 27.9, "chi-square of 9 degrees of freedom at p = 0.001: {chi2}");
    }

    #[test]
    fn every_byte_of_the_stream_and_the_position_matter() {
        let base = uniform(&[0; 16], 0);
        assert_ne!(base, uniform(&[0; 16], 1));
        for i in 0..16 {
            let mut stream = [0; 16];
            stream[i] = 1;
            assert_ne!(base, uniform(&stream, 0), "byte {i}");
        }
    }
}
