//! One run at a time from one store, and into one published folder.

use std::fs::{self, File, Metadata, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::{Error, disk};

/// Held while a run uses a folder; the operating system releases it when the process ends, however it ends.
#[derive(Debug)]
pub struct RunLock {
    file: File,
    path: PathBuf,
}

impl RunLock {
    /// Takes the lock that the file `path` stands for (created where missing, with its folder), noting this process's
    /// id and `command` for those who find it taken. Never waits.
    ///
    /// Errs with [`Error::Locked`] when another process, or another lock in this one, holds it.
    pub fn acquire(path: &Path, command: &str) -> Result<Self, Error> {
        disk::create_folder(path.parent().unwrap_or(path))?;
        let options = File::options().read(true).write(true).create(true).truncate(false).to_owned();
        let mut file = options.open(path).map_err(Error::io("open the lock", path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let holder = holder(&mut file);
                return Err(Error::Locked { path: path.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(Error::io("lock", path)(source)),
        }
        let note = format!("process {}: {command}", std::process::id());
        let noted = file.set_len(0).and_then(|()| file.write_all(note.as_bytes()));
        noted.map_err(Error::io("write", path))?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The file it stands for.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file is still there: where it was removed, with its folder or alone, another run may take the lock.
    pub fn stands(&self) -> bool {
        let inode = |file: Metadata| (file.dev(), file.ino());
        let own = self.file.metadata().map(inode);
        own.is_ok_and(|own| fs::metadata(&self.path).is_ok_and(|found| inode(found) == own))
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        // Only the note is cleared here. The file stays: removing it would let two processes lock two files of one name.
        let _ = self.file.set_len(0);
    }
}

fn holder(file: &mut File) -> String {
    let mut note = String::new();
    match file.read_to_string(&mut note) {
        Ok(1..) => note,
        // Taken a moment ago, or on a file system that hides it.
        _ => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_learns_who_holds_it() {
        let store = tempfile::tempdir().unwrap();
        let path = store.path().join("new/lock");
        let first = RunLock::acquire(&path, "flow exec a.yaml").unwrap();
        let error = RunLock::acquire(&path, "flow exec b.yaml").unwrap_err().to_string();
        let expected = format!("is locked by process {}: flow exec a.yaml", std::process::id());
        assert!(error.ends_with(&expected), "{error}");
        drop(first);
        let second = RunLock::acquire(&path, "flow exec b.yaml").unwrap();
        assert!(second.stands());
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        assert!(!second.stands(), "it is gone");
        let _third = RunLock::acquire(&path, "flow exec c.yaml").unwrap();
        assert!(!second.stands(), "another stands there");
    }

    #[test]
    fn a_note_left_by_a_killed_process_locks_nothing() {
        let store = tempfile::tempdir().unwrap();
        let path = store.path().join("lock");
        std::fs::write(&path, "process 1: a much longer command than the next").unwrap();
        let lock = RunLock::acquire(&path, "short").unwrap();
        let note = std::fs::read_to_string(&path).unwrap();
        assert_eq!(note, format!("process {}: short", std::process::id()));
        drop(lock);
    }
}
