//! The methods, one file each.

mod bam;
mod critique_in_the_loop;
mod guided_self_improvement;
mod mote;
mod self_moa;
mod think_prune_train;

use super::Method;

/// In the order in which they run.
pub(super) static METHODS: &[&Method] = &[
    &think_prune_train::METHOD,
    &guided_self_improvement::METHOD,
    &critique_in_the_loop::METHOD,
    &self_moa::METHOD,
    &bam::METHOD,
    &mote::METHOD,
];
