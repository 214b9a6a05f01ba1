//! What can go wrong with bytes at rest.

use std::io;
use std::path::{Path, PathBuf};

/// A failed attempt, with the path it was made on; the chain of sources says why.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused: disk full, no permission, no such file.
    #[error("cannot {attempt} `{path}`")]
    Io {
        /// What was tried.
        attempt: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Something of another kind stands where a file or folder is to be made; it was left alone.
    #[error("cannot publish at `{path}`: it exists and is not {expected}")]
    InTheWay {
        /// What is in the way.
        path: PathBuf,
        /// What was expected there.
        expected: &'static str,
    },
    /// Another run holds the lock of a store or of a published folder.
    #[error("`{path}` is locked by {holder}")]
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The process id and command that the holder wrote into it.
        holder: String,
    },
    /// A cell does not fit the declared type of its column.
    #[error("row {row} does not fit column `{column}`: expected {expected}, found {found}")]
    Misfit {
        /// Name of the column.
        column: String,
        /// Position among the rows given, from 0.
        row: usize,
        /// The declared type.
        expected: String,
        /// What the cell holds.
        found: String,
    },
    /// The encoder refused the rows.
    #[error("cannot encode the rows as Parquet")]
    Encode(#[source] parquet::errors::ParquetError),
    /// The file is cut short, damaged or no Parquet at all.
    #[error("cannot read `{path}` as Parquet")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A column of a Parquet file has a type that no value can hold.
    #[error("cannot read column `{column}` of `{path}`: its type {found} is not supported")]
    ColumnType {
        /// The file.
        path: PathBuf,
        /// Name of the column.
        column: String,
        /// Its Arrow type.
        found: String,
    },
    /// A Parquet file has no column of this name.
    #[error("no column `{column}` in `{path}`; it has {known}")]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        column: String,
        /// The names there are.
        known: String,
    },
    /// A cell of a Parquet file cannot be held by a value of its column's type.
    #[error("cannot read row {row} of column `{column}` of `{path}`: {reason}")]
    Cell {
        /// The file.
        path: PathBuf,
        /// Name of the column.
        column: String,
        /// Row in the file, from 0.
        row: usize,
        /// Why not.
        reason: String,
    },
    /// A manifest is no JSON of the expected shape.
    #[error("cannot read `{path}` as a manifest")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Where it departs.
        source: serde_json::Error,
    },
    /// A manifest was written by another version of this program.
    #[error("cannot read the manifest `{path}`: its version is {found}, this program reads {expected}")]
    ManifestVersion {
        /// The manifest.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The version this program reads and writes.
        expected: u32,
    },
    /// A part's name leaves the snapshot folder, is taken twice or is the manifest's.
    #[error("cannot publish a part under the name `{name}`: {reason}")]
    PartName {
        /// The name.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl Error {
    /// Wraps an I/O error with what was tried on which path.
    pub(crate) fn io<'a>(attempt: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
        move |source| Error::Io { attempt, path: path.to_owned(), source }
    }
}
