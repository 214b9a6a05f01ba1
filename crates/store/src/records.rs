//! What runs said of themselves, for the runs after them: one file for each pipeline, replaced whole.
//!
//! ```text
//! magic [8] | number of parts u32 LE | (length u64 LE | bytes) of each part | checksum [16]
//! ```

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use flow_data::Id;

use crate::{Error, disk};

const MAGIC: [u8; 8] = *b"flow-r\x01\n";
const CHECKSUM_BYTES: usize = 16;
const SUFFIX: &str = ".record";

/// The records of a store, by pipeline.
#[derive(Clone, Debug)]
pub struct Records {
    folder: PathBuf,
}

impl Records {
    /// The records in `folder`. Touches nothing.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Replaces the record of `pipeline` by `parts`. A crash leaves the old one or the new one.
    pub fn save(&self, pipeline: &Id, parts: &[Vec<u8>]) -> Result<(), Error> {
        disk::create_folder(&self.folder)?;
        disk::write_whole(&self.path(pipeline), &encoded(parts))
    }

    /// The parts of the record of `pipeline`; `None` when there is none or it is damaged: then nothing is known of
    /// earlier runs, which costs an explanation and no answer.
    pub fn load(&self, pipeline: &Id) -> Result<Option<Vec<Vec<u8>>>, Error> {
        let path = self.path(pipeline);
        match fs::read(&path) {
            Ok(bytes) => Ok(decoded(&bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read the record", &path)(error)),
        }
    }

    /// Whether there is a record of `pipeline`, damaged or not.
    pub fn has(&self, pipeline: &Id) -> bool {
        self.path(pipeline).exists()
    }

    /// The pipelines that have a record, in order.
    pub fn pipelines(&self) -> Result<Vec<Id>, Error> {
        let names = if self.folder.exists() { disk::names(&self.folder)? } else { Vec::new() };
        Ok(names.iter().filter_map(|name| name.strip_suffix(SUFFIX)?.parse().ok()).collect())
    }

    /// Removes the record of `pipeline`.
    pub fn remove(&self, pipeline: &Id) -> Result<(), Error> {
        disk::remove_file(&self.path(pipeline))
    }

    /// The file of the record of `pipeline`, whether it is there or not.
    pub(crate) fn path(&self, pipeline: &Id) -> PathBuf {
        self.folder.join(format!("{pipeline}{SUFFIX}"))
    }
}

fn encoded(parts: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    let count = u32::try_from(parts.len()).expect("a record has a handful of parts");
    bytes.extend(count.to_le_bytes());
    for part in parts {
        bytes.extend((part.len() as u64).to_le_bytes());
        bytes.extend(part);
    }
    let checksum = Id::of("record file", [&*bytes]);
    bytes.extend(checksum.0);
    bytes
}

fn decoded(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (content, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM_BYTES)?)?;
    if Id::of("record file", [content]).0 != checksum {
        return None;
    }
    let (count, mut rest) = content.strip_prefix(&MAGIC)?.split_first_chunk::<4>()?;
    let mut parts = Vec::new();
    for _ in 0..u32::from_le_bytes(*count) {
        let (len, after) = rest.split_first_chunk::<8>()?;
        let (part, after) = after.split_at_checked(usize::try_from(u64::from_le_bytes(*len)).ok()?)?;
        parts.push(part.to_vec());
        rest = after;
    }
    rest.is_empty().then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_replaced_whole_and_damage_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(&dir.path().join("records"));
        let pipeline = Id::of("pipeline", []);
        assert_eq!(records.load(&pipeline).unwrap(), None);
        for parts in [vec![], vec![b"one".to_vec(), Vec::new()], vec![b"two".to_vec()]] {
            records.save(&pipeline, &parts).unwrap();
            assert_eq!(records.load(&pipeline).unwrap(), Some(parts));
        }
        let path = records.path(&pipeline);
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(decoded(&damaged), None, "byte {at}");
            assert_eq!(decoded(&whole[..at]), None, "cut at {at}");
        }
    }
}
