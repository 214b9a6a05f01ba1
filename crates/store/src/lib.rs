//! Where bytes rest: Parquet parts, manifests, snapshots, memo, locks.
//!
//! Nothing a reader can see is ever half written. A file is written under a temporary name, synced and renamed; a
//! snapshot is a folder of hard links whose manifest is written last, and a symlink switches readers to it. Published
//! bytes are a function of what is published: no clock, no absolute path and no order of arrival enters them.
//!
//! Unix only: it relies on hard links, symlinks and positioned reads.

mod disk;
mod error;
mod guard;
mod jsonl;
mod lock;
mod memo;
pub mod parallel;
mod records;
mod scratch;
mod shelf;
mod snapshot;
mod table;
mod uses;

pub use disk::write_whole;
pub use error::Error;
pub use guard::is_guarding;
pub use jsonl::{JsonLines, LineBlock, LineBlocks, LineError, read_jsonl};
pub use lock::RunLock;
pub use memo::{Answers, Memo, Swept};
pub use records::Records;
pub use scratch::scratch_file;
pub use shelf::{discard, shelf};
pub use snapshot::{Manifest, Part, Parts, Published, Publisher, Snapshot};
pub use table::{Cells, Layout, TableReader, encode_part, read_table, write_table};
pub use uses::{Use, User, Uses};
