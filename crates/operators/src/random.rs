//! Uniform indices from a small generator, for resampling and generated problems; seeds apart from each other.

use flow_data::Id;

/// A uniform index below `n` from a SplitMix64 state.
pub(crate) fn below(state: &mut u64, n: usize) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((u128::from(z ^ (z >> 31)) * n as u128) >> 64) as usize
}

/// A seed of its own for `purpose`, so that it does not share random streams with other uses of `seed`.
pub(crate) fn seed_for(purpose: &str, seed: u64) -> u64 {
    Id::of(purpose, [seed.to_le_bytes().as_slice()]).leading()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_are_uniform() {
        let mut state = 7;
        let mut seen = [0; 10];
        (0..10_000).for_each(|_| seen[below(&mut state, 10)] += 1);
        assert!(seen.iter().all(|count| (900..1100).contains(count)), "{seen:?}");
    }
}
