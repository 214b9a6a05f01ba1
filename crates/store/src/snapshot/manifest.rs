//! What a snapshot holds, written as its last file and read as the first.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use flow_data::{Column, Columns, Id};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{CURRENT, Parts};
use crate::Error;

/// The manifest's name in its snapshot. Readers that are given a folder skip names with an underscore.
pub(super) const NAME: &str = "_manifest.json";

const VERSION: u32 = 1;

/// One Parquet file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Path within the snapshot, with `/` between names, such as `round-001/part-00.DIGEST.parquet`. A folder named
    /// like `round=001` would make readers derive a column of that name, at odds with one in the file.
    pub path: String,
    /// Digest of the file's bytes, as [`super::Parts::stage`] returned it.
    #[serde(with = "hex")]
    pub digest: Id,
    /// Rows.
    pub n_rows: u64,
    /// Size of the file in bytes.
    pub n_bytes: u64,
}

/// What a snapshot holds. Says nothing of when or where it was written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    version: u32,
    /// The columns of every part.
    pub columns: Vec<Column>,
    /// The `list<text>` column that the parts hold as a list of `{role, content}`.
    pub chat: Option<String>,
    /// Rows of all parts.
    pub n_rows: u64,
    /// The parts, sorted by path.
    pub parts: Vec<Part>,
    /// What the data was made from, in the caller's words.
    pub lineage: Map<String, Value>,
}

impl Manifest {
    /// The manifest of `parts` with the visible `columns`. Equal arguments give equal bytes: `lineage` keeps its order
    /// of keys, and belongs without clocks and paths of the machine.
    pub fn new(
        columns: &Columns,
        chat: Option<&str>,
        mut parts: Vec<Part>,
        lineage: Map<String, Value>,
    ) -> Self {
        parts.sort();
        let columns = columns.visible().map(|(_, column)| column.clone()).collect();
        let n_rows = parts.iter().map(|part| part.n_rows).sum();
        Self { version: VERSION, columns, chat: chat.map(str::to_owned), n_rows, parts, lineage }
    }

    /// The file's bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec_pretty(self).expect("a manifest is maps with text keys");
        bytes.push(b'\n');
        bytes
    }

    /// Errs unless every part has a path of its own that stays in the snapshot. The parts are sorted by path.
    pub(super) fn check(&self) -> Result<(), Error> {
        let mut before = NAME;
        for part in &self.parts {
            let is_plain = part.path.split('/').all(|name| !["", ".", ".."].contains(&name));
            let reason = match is_plain {
                false => "it leaves the snapshot",
                true if [before, NAME].contains(&&*part.path) => "it is taken",
                true => {
                    before = &part.path;
                    continue;
                }
            };
            return Err(Error::PartName { name: part.path.clone(), reason });
        }
        Ok(())
    }

    /// The manifest of the snapshot in `folder`.
    pub(super) fn of(folder: &Path) -> Result<Self, Error> {
        Self::read(&folder.join(NAME))
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let bytes = fs::read(path).map_err(Error::io("read the manifest", path))?;
        let manifest = serde_json::from_slice::<Self>(&bytes);
        // One of another version may have other fields: then the version is what is to be told.
        let version = match &manifest {
            Ok(manifest) => Some(manifest.version.into()),
            Err(_) => {
                serde_json::from_slice(&bytes).ok().and_then(|json: Value| json.get("version")?.as_u64())
            }
        };
        match version {
            Some(found) if found != u64::from(VERSION) => {
                let found = u32::try_from(found).unwrap_or(u32::MAX);
                Err(Error::ManifestVersion { path: path.to_owned(), found, expected: VERSION })
            }
            _ => manifest.map_err(|source| Error::Manifest { path: path.to_owned(), source }),
        }
    }
}

/// A published snapshot, for reading. Its files stay while no two newer snapshots are published.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The snapshot's own folder, not the symlink that moves on.
    pub folder: PathBuf,
    /// What it holds.
    pub manifest: Manifest,
}

impl Snapshot {
    /// The newest snapshot published in `dir`; `None` before the first.
    ///
    /// Errs when what `current` points to has no manifest that can be read.
    pub fn current(dir: &Path) -> Result<Option<Self>, Error> {
        let link = dir.join(CURRENT);
        let folder = match fs::read_link(&link) {
            Ok(target) => dir.join(target),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("follow the symlink", &link)(error)),
        };
        let manifest = Manifest::read(&folder.join(NAME))?;
        Ok(Some(Self { folder, manifest }))
    }

    /// Whether every part is there with the bytes that the manifest says; reads them all.
    pub fn is_whole(&self) -> bool {
        self.parts().all(|(path, digest)| Parts::is_whole(&path, &digest).unwrap_or(false))
    }

    /// Path and digest of each part, in the manifest's order.
    pub fn parts(&self) -> impl Iterator<Item = (PathBuf, Id)> {
        self.manifest.parts.iter().map(|part| (self.folder.join(&part.path), part.digest))
    }

    /// The paths of the parts, in the manifest's order.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        self.parts().map(|(path, _)| path)
    }
}

mod hex {
    //! Digests as 32 hexadecimal digits.

    use flow_data::Id;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(id: &Id, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Id, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}
