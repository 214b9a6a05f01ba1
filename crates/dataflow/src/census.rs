//! Which rows a port holds, in a few bytes: how many, a digest of the multiset, and a sample of them.

use std::collections::BTreeMap;

use flow_data::Row;

/// Most rows a sample holds; above, it is thinned by half.
const MOST: usize = 1 << 18;

/// The rows of one port. A sum of differences: neither order nor batching of updates, nor workers, leave a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    rows: i64,
    digest: u128,
    sample: Sample,
}

/// The rows whose hash ends in `thinned` zero bits: all of them up to 262,144, a fixed fraction of more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Each member stands for 2^`thinned` rows.
    thinned: u32,
    /// Hashes of identity and of content, with their multiplicities: none is zero, and all are 1 once a tick has settled.
    members: BTreeMap<(u64, u64), i64>,
}

/// How the rows of one sample became those of another, in rows, estimated where a sample is thinned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turnover {
    /// Rows of both.
    pub kept: u64,
    /// Rows of the later alone, changed ones included.
    pub new: u64,
    /// Rows of the earlier alone, changed ones included.
    pub gone: u64,
    /// Rows of both that say something else.
    pub changed: u64,
    /// Whether the numbers are estimates.
    pub estimated: bool,
}

impl Census {
    /// Changes the multiplicity of `row` by `diff`.
    pub(crate) fn add(&mut self, row: &Row, diff: isize) {
        self.rows += diff as i64;
        let (identity, content) = hashes(row);
        let hash = u128::from(identity) << 64 | u128::from(content);
        self.digest = self.digest.wrapping_add(spread(hash).wrapping_mul(diff as i128 as u128));
        self.sample.add((identity, content), diff);
    }

    /// Number of rows.
    pub fn rows(&self) -> i64 {
        self.rows
    }

    /// Equal for equal multisets of rows; different for different ones, but for chance of about 2^-64.
    pub fn digest(&self) -> u128 {
        self.digest
    }

    /// The sample.
    pub fn sample(&self) -> &Sample {
        &self.sample
    }
}

impl Sample {
    fn add(&mut self, member: (u64, u64), diff: isize) {
        if !self.takes(&member) {
            return;
        }
        let count = self.members.entry(member).or_default();
        *count += diff as i64;
        if *count == 0 {
            self.members.remove(&member);
        }
        while self.members.len() > MOST {
            self.thin();
        }
    }

    /// Whether rows with this identity are sampled. Identity alone decides, so that a changed row is seen as such.
    fn takes(&self, (identity, _): &(u64, u64)) -> bool {
        identity.trailing_zeros() >= self.thinned
    }

    fn thin(&mut self) {
        self.thinned += 1;
        let thinned = self.thinned;
        self.members.retain(|(identity, _), _| identity.trailing_zeros() >= thinned);
    }

    /// Whether `row` is a member; `None` where rows like it are thinned out.
    pub fn contains(&self, row: &Row) -> Option<bool> {
        let member = hashes(row);
        self.takes(&member).then(|| self.members.contains_key(&member))
    }

    /// The sample as bytes: `thinned` as u32, then both hashes of each member as u64, all little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let members = self.members.keys().flat_map(|(identity, content)| [*identity, *content]);
        self.thinned.to_le_bytes().into_iter().chain(members.flat_map(u64::to_le_bytes)).collect()
    }

    /// The sample that [`Sample::to_bytes`] wrote; `None` when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (thinned, members) = bytes.split_first_chunk::<4>()?;
        let (members, rest) = members.as_chunks::<16>();
        let member = |bytes: &[u8; 16]| {
            let both = u128::from_le_bytes(*bytes);
            ((both as u64, (both >> 64) as u64), 1)
        };
        let members = members.iter().map(member).collect();
        rest.is_empty().then_some(Self { thinned: u32::from_le_bytes(*thinned), members })
    }

    /// How the rows of `earlier` became these.
    pub fn since(&self, earlier: &Sample) -> Turnover {
        let thinned = self.thinned.max(earlier.thinned);
        let sampled = |member: &&(u64, u64)| member.0.trailing_zeros() >= thinned;
        let here = || self.members.keys().filter(sampled);
        let there = || earlier.members.keys().filter(sampled);
        let kept = here().filter(|member| earlier.members.contains_key(member)).count();
        let said =
            |identity: u64| earlier.members.range((identity, 0)..=(identity, u64::MAX)).next().is_some();
        let new = here().filter(|member| !earlier.members.contains_key(member));
        let (changed, added): (Vec<&(u64, u64)>, Vec<_>) = new.partition(|member| said(member.0));
        let rows = |members: usize| (members as u64) << thinned;
        Turnover {
            kept: rows(kept),
            new: rows(changed.len() + added.len()),
            gone: rows(there().count() - kept),
            changed: rows(changed.len()),
            estimated: thinned > 0,
        }
    }
}

/// Hashes of a row's identity (its round included) and of its content. Both are made of hashes already.
fn hashes(row: &Row) -> (u64, u64) {
    let identity =
        row.id.leading() ^ u64::from(row.round).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
    (identity, row.body.leading())
}

/// Mixes the halves, so that sums over rows do not cancel.
fn spread(hash: u128) -> u128 {
    let mixed = (hash ^ (hash >> 67)).wrapping_mul(0xDA94_2042_E4DD_58B5_2545_F491_4F6C_DD1D);
    mixed ^ (mixed >> 61)
}

#[cfg(test)]
mod tests {
    use flow_data::Id;

    use super::*;

    fn row(id: u32, body: u32) -> Row {
        let hash = |n: u32| Id::of("test", [n.to_le_bytes().as_slice()]);
        Row { round: 1, id: hash(id), body: hash(body) }
    }

    fn census(rows: impl IntoIterator<Item = Row>) -> Census {
        let mut census = Census::default();
        rows.into_iter().for_each(|row| census.add(&row, 1));
        census
    }

    #[test]
    fn neither_order_nor_detours_leave_a_trace() {
        let mut detour = census((0..100).rev().map(|n| row(n, n)));
        detour.add(&row(7, 1), -1);
        detour.add(&row(7, 1), 1);
        assert_eq!(detour, census((0..100).map(|n| row(n, n))));
        assert_ne!(detour.digest(), census((0..100).map(|n| row(n, n.max(1)))).digest());
    }

    #[test]
    fn turnover_tells_new_gone_and_changed_rows() {
        let before = census((0..100).map(|n| row(n, n)));
        let after = census((10..110).map(|n| row(n, if n == 50 { 0 } else { n })));
        let turnover = after.sample().since(before.sample());
        assert_eq!(turnover, Turnover { kept: 89, new: 11, gone: 11, changed: 1, estimated: false });
    }

    #[test]
    fn a_sample_survives_its_bytes() {
        let sample = census((0..100).map(|n| row(n, n))).sample().clone();
        assert_eq!(Sample::from_bytes(&sample.to_bytes()), Some(sample));
        assert_eq!(Sample::from_bytes(&[1, 2, 3, 4, 5]), None);
    }

    #[test]
    fn many_rows_are_estimated() {
        let before = census((0..600_000).map(|n| row(n, 0)));
        let after = census((300_000..600_000).map(|n| row(n, 0)));
        assert!(before.sample().members.len() <= MOST);
        let turnover = after.sample().since(before.sample());
        assert!(turnover.estimated && turnover.new == 0);
        assert!(turnover.kept.abs_diff(300_000) < 6_000, "{turnover:?}");
    }
}
