//! Published data sets: a folder that always shows one whole snapshot under `current`.
//!
//! ```text
//! DIR/current                            symlink to the newest snapshot
//! DIR/snapshots/DIGEST/_manifest.json    what the snapshot holds; DIGEST is its content's
//! DIR/snapshots/DIGEST/round-001/...     hard links of the parts
//! DIR/.parts/DIGEST.parquet              parts by content: staged, or named by a snapshot
//! DIR/.lock                              held by the run that publishes here
//! ```
//!
//! Readers open `current`: a glob over DIR itself would find a part once for each of its names.

mod manifest;
mod parts;
mod publish;
#[cfg(test)]
mod tests;

pub use manifest::{Manifest, Part, Snapshot};
pub use parts::Parts;
pub use publish::{Published, Publisher};

const CURRENT: &str = "current";
const SNAPSHOTS: &str = "snapshots";
