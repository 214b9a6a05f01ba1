//! Digests of declared models, noted with what tells their files apart without reading them: a large model that did not
//! change is known at once, and loaded when something is drawn from it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use flow_data::Id;

/// Notes of models, one small file each.
pub(crate) struct Notes {
    /// `None`: nothing is noted.
    folder: Option<PathBuf>,
}

impl Notes {
    /// Notes beside the folder of trained models.
    pub(crate) fn beside(models: &Path) -> Self {
        let store = models.parent().filter(|store| !store.as_os_str().is_empty());
        Self { folder: store.map(|store| store.join("declared")) }
    }

    /// The digest of the model at `path`, if it was noted when its files had this stamp.
    pub(crate) fn find(&self, path: &Path, stamp: &Id) -> Option<Id> {
        let note = fs::read_to_string(self.file(path)?).ok()?;
        let (noted, digest) = note.trim().split_once(' ')?;
        (noted == stamp.to_string()).then(|| digest.parse().ok()).flatten()
    }

    /// Notes the digest. A note that cannot be written only costs time later.
    pub(crate) fn keep(&self, path: &Path, stamp: &Id, digest: &Id) {
        let (Some(file), Some(folder)) = (self.file(path), &self.folder) else { return };
        let fresh = file.with_extension(std::process::id().to_string());
        let written = fs::create_dir_all(folder)
            .and_then(|()| fs::write(&fresh, format!("{stamp} {digest}\n")))
            .and_then(|()| fs::rename(&fresh, &file));
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
        }
    }

    fn file(&self, path: &Path) -> Option<PathBuf> {
        let path = fs::canonicalize(path).ok()?;
        let name = Id::of("declared model", [path.as_os_str().as_encoded_bytes()]);
        Some(self.folder.as_ref()?.join(name.to_string()))
    }
}

/// Names, sizes, inodes and times of the files in a model's folder, in one digest; `None` where the folder cannot be listed.
pub(crate) fn stamp(path: &Path) -> Option<Id> {
    let mut files = Vec::new();
    for entry in fs::read_dir(path).ok()? {
        let entry = entry.ok()?;
        // Links are followed: folders of downloaded models consist of them.
        let is = fs::metadata(entry.path()).ok()?;
        let times = [is.mtime(), is.mtime_nsec(), is.ctime(), is.ctime_nsec()];
        files.push(format!("{:?} {} {} {times:?}", entry.file_name(), is.len(), is.ino()));
    }
    files.sort();
    Some(Id::of("files of a model", files.iter().map(String::as_bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_holds_until_a_file_changes() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let model = dir.path().join("policy");
        fs::create_dir(&model).expect("creates");
        fs::write(model.join("config.json"), "{}").expect("writes");
        let (notes, digest) = (Notes::beside(&dir.path().join("store/models")), Id([7; 16]));
        let first = stamp(&model).expect("lists");
        assert_eq!(notes.find(&model, &first), None);
        notes.keep(&model, &first, &digest);
        assert_eq!(notes.find(&model, &first), Some(digest));
        assert_eq!(stamp(&model), Some(first));

        fs::write(model.join("config.json"), "[]").expect("writes");
        let second = stamp(&model).expect("lists");
        assert_ne!(second, first, "the size is the same, the time is not");
        assert_eq!(notes.find(&model, &second), None);
        assert_eq!(notes.find(&dir.path().join("other"), &first), None);
    }
}
