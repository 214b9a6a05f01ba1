//! Which rows a port holds, in a few bytes: how many, a digest of the multiset, and a sample of them.

use flow_data::Row;
use serde::{Deserialize, Serialize};

use crate::pile::Pile;

/// Most rows a sample holds; above, it is thinned by half.
const MOST: usize = 1 << 18;

/// The census of one port while rows come and go.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    rows: i64,
    digest: u128,
    thinned: u32,
    members: Pile<Member>,
}

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
    /// The members in order, each once: their multiplicity is 1 once a tick has settled.
    members: Vec<Member>,
}

/// Hashes of a row's identity and of its content.
type Member = (u64, u64);

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

impl Tally {
    /// Changes the multiplicity of `row` by `diff`.
    pub(crate) fn add(&mut self, row: &Row, diff: isize) {
        self.rows += diff as i64;
        let (identity, content) = hashes(row);
        let hash = u128::from(identity) << 64 | u128::from(content);
        self.digest = self.digest.wrapping_add(spread(hash).wrapping_mul(diff as i128 as u128));
        if is_taken(identity, self.thinned) {
            self.members.add((identity, content), diff);
            if self.members.is_due() {
                self.thin();
            }
        }
    }

    /// Adds what another process has seen of the same port.
    pub(crate) fn absorb(&mut self, other: Tally) {
        self.rows += other.rows;
        self.digest = self.digest.wrapping_add(other.digest);
        self.thinned = self.thinned.max(other.thinned);
        for (member, diff) in other.members.into_updates() {
            self.members.add(member, diff);
        }
        let thinned = self.thinned;
        self.members.retain(|(identity, _)| is_taken(*identity, thinned));
        self.thin();
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> i64 {
        self.rows
    }

    /// The rows as they are now.
    pub(crate) fn census(&mut self) -> Census {
        self.thin();
        let members = self.members.tidy().iter().map(|(member, _)| *member).collect();
        Census { rows: self.rows, digest: self.digest, sample: Sample { thinned: self.thinned, members } }
    }

    /// Halves the members until they are few enough.
    fn thin(&mut self) {
        while self.members.tidy().len() > MOST {
            self.thinned += 1;
            let thinned = self.thinned;
            self.members.retain(|(identity, _)| is_taken(*identity, thinned));
        }
    }
}

impl Census {
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
    /// Whether `row` is a member; `None` where rows like it are thinned out.
    pub fn contains(&self, row: &Row) -> Option<bool> {
        let member = hashes(row);
        is_taken(member.0, self.thinned).then(|| self.has(&member))
    }

    fn has(&self, member: &Member) -> bool {
        self.members.binary_search(member).is_ok()
    }

    /// Whether a row with this identity is a member, whatever it says.
    fn knows(&self, identity: u64) -> bool {
        let at = self.members.partition_point(|member| member.0 < identity);
        self.members.get(at).is_some_and(|member| member.0 == identity)
    }

    /// The sample as bytes: `thinned` as u32, then both hashes of each member as u64, all little-endian.
    pub fn to_bytes(&self) -> Vec<u8> {
        let members = self.members.iter().flat_map(|(identity, content)| [*identity, *content]);
        self.thinned.to_le_bytes().into_iter().chain(members.flat_map(u64::to_le_bytes)).collect()
    }

    /// The sample that [`Sample::to_bytes`] wrote; `None` when the bytes are something else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (thinned, members) = bytes.split_first_chunk::<4>()?;
        let (members, rest) = members.as_chunks::<16>();
        let member = |bytes: &[u8; 16]| {
            let both = u128::from_le_bytes(*bytes);
            (both as u64, (both >> 64) as u64)
        };
        let members: Vec<Member> = members.iter().map(member).collect();
        let is_whole = rest.is_empty() && members.is_sorted();
        is_whole.then_some(Self { thinned: u32::from_le_bytes(*thinned), members })
    }

    /// How the rows of `earlier` became these.
    pub fn since(&self, earlier: &Sample) -> Turnover {
        let thinned = self.thinned.max(earlier.thinned);
        let sampled = |member: &&Member| is_taken(member.0, thinned);
        let here = || self.members.iter().filter(sampled);
        let there = || earlier.members.iter().filter(sampled);
        let kept = here().filter(|member| earlier.has(member)).count();
        let new = here().filter(|member| !earlier.has(member));
        let (changed, added): (Vec<&Member>, Vec<_>) = new.partition(|member| earlier.knows(member.0));
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

/// Whether rows with this identity are sampled. Identity alone decides, so that a changed row is seen as such.
fn is_taken(identity: u64, thinned: u32) -> bool {
    identity.trailing_zeros() >= thinned
}

/// Hashes of a row's identity (its round included) and of its content. Both are made of hashes already.
fn hashes(row: &Row) -> Member {
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
        tally(rows).census()
    }

    fn tally(rows: impl IntoIterator<Item = Row>) -> Tally {
        let mut tally = Tally::default();
        rows.into_iter().for_each(|row| tally.add(&row, 1));
        tally
    }

    #[test]
    fn neither_order_nor_detours_leave_a_trace() {
        let mut detour = tally((0..100).rev().map(|n| row(n, n)));
        detour.add(&row(7, 1), -1);
        detour.add(&row(7, 1), 1);
        let detour = detour.census();
        assert_eq!(detour, census((0..100).map(|n| row(n, n))));
        assert_ne!(detour.digest(), census((0..100).map(|n| row(n, n.max(1)))).digest());
    }

    #[test]
    fn shares_add_up() {
        let tally = |rows: std::ops::Range<u32>, diff: isize| {
            let mut tally = Tally::default();
            rows.for_each(|n| tally.add(&row(n, 0), diff));
            tally
        };
        let mut sum = tally(0..300_000, 1);
        sum.absorb(tally(300_000..400_000, 1));
        assert_eq!(sum.census(), tally(0..400_000, 1).census());
        sum.absorb(tally(0..300_000, -1));
        assert_eq!(
            (sum.census().rows(), sum.census().digest()),
            (100_000, tally(300_000..400_000, 1).census().digest())
        );
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
