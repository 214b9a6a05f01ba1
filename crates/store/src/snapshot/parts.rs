//! Parquet parts by content: written once, linked into every snapshot that holds them.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::{fs, io};

use flow_data::{Id, IdHasher};

use crate::{Error, disk};

/// What the digests of parts are told apart by from others.
const PART: &str = "part";

/// The parts of a published folder, by digest. Any number of threads and processes may stage.
#[derive(Clone, Debug)]
pub struct Parts {
    folder: PathBuf,
}

impl Parts {
    /// The parts of the published folder `dir`. Touches nothing.
    pub fn new(dir: &Path) -> Self {
        Self { folder: dir.join(".parts") }
    }

    /// Keeps a part for publishing and returns its digest. Once this returns, [`Parts::path`] holds these bytes; a power
    /// cut takes them away unless they were published. A part already kept is not written again.
    pub fn stage(&self, bytes: &[u8]) -> Result<Id, Error> {
        let digest = Self::digest(bytes);
        let path = self.path(&digest);
        let kept = fs::metadata(&path).is_ok_and(|file| file.len() == bytes.len() as u64);
        if !kept {
            disk::create_folder(&self.folder)?;
            disk::write_loosely(&path, bytes)?;
        }
        Ok(digest)
    }

    /// The digest of a part.
    pub fn digest(bytes: &[u8]) -> Id {
        Id::of(PART, [bytes])
    }

    /// Where the part `digest` is read, from when it was staged until it is in no snapshot any more.
    pub fn path(&self, digest: &Id) -> PathBuf {
        self.folder.join(format!("{digest}.parquet"))
    }

    /// The folder they lie in.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the parts that no snapshot holds and files that a crash left half written. Parts that were copied with their
    /// snapshots share no bytes with them: those of the digests `named` stay.
    pub(super) fn clean(&self, named: &BTreeSet<Id>) -> Result<(), Error> {
        let named: BTreeSet<PathBuf> = named.iter().map(|digest| self.path(digest)).collect();
        for name in disk::names(&self.folder)? {
            let path = self.folder.join(&name);
            let links = fs::metadata(&path).map_err(Error::io("inspect", &path))?.nlink();
            if name.starts_with(disk::TEMPORARY) || links == 1 && !named.contains(&path) {
                disk::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Whether there is a file at `path`, with the bytes of the part `digest`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn is_whole(path: &Path, digest: &Id) -> Result<bool, Error> {
        Ok(Self::digest_of(path)? == Some(*digest))
    }

    /// The digest of the part at `path`, which is read a piece at a time; `None` where there is no file.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn digest_of(path: &Path) -> Result<Option<Id>, Error> {
        let digest = || -> io::Result<Id> {
            let file = fs::File::open(path)?;
            let mut hasher = IdHasher::new(PART);
            hasher.part_of(file.metadata()?.len(), file)?;
            Ok(hasher.finish())
        };
        match digest() {
            Ok(digest) => Ok(Some(digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("read", path)(error)),
        }
    }

    /// Removes a part that has other bytes than its digest says, so that it is staged anew or missed.
    pub(super) fn remove_damaged(&self, digest: &Id) -> Result<(), Error> {
        let path = self.path(digest);
        if path.exists() && !Self::is_whole(&path, digest)? { disk::remove_file(&path) } else { Ok(()) }
    }
}
