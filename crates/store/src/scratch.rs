//! Files without a name, for what a run need not keep.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use crate::{Error, disk};

/// A file in `folder` that nobody else can open and that is gone with its last handle, however the process ends.
///
/// The folder is created where it is missing. Errs when it cannot be written.
pub fn scratch_file(folder: &Path) -> Result<File, Error> {
    disk::create_folder(folder)?;
    let path = folder.join(disk::temporary("scratch"));
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
    let file = file.map_err(Error::io("create", &path))?;
    fs::remove_file(&path).map_err(Error::io("remove", &path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn it_can_be_used_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = scratch_file(&dir.path().join("store")).expect("is made");
        file.write_all_at(b"abc", 5).expect("can be written");
        let mut bytes = [0; 3];
        file.read_exact_at(&mut bytes, 5).expect("can be read");
        assert_eq!(&bytes, b"abc");
        assert_eq!(disk::names(&dir.path().join("store")).expect("lists"), Vec::<String>::new());
    }
}
