//! Where bytes rest: Parquet parts, manifests, snapshots, memo, locks.
