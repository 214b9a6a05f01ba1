//! The methods, one file each.

mod critique_in_the_loop;
mod self_moa;
mod think_prune_train;

use super::Method;

/// In the order in which they run.
pub(super) static METHODS: &[&Method] =
    &[&think_prune_train::METHOD, &critique_in_the_loop::METHOD, &self_moa::METHOD];
