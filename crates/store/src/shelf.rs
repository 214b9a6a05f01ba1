//! Folders that lie side by side, each to be had whole or not at all, such as the trained models of a store.

use std::fs;
use std::path::Path;

use crate::{Error, disk};

/// The names in `folder` with the bytes of all that is below each; none where it is missing.
pub fn shelf(folder: &Path) -> Result<Vec<(String, u64)>, Error> {
    let names = if folder.exists() { disk::names(folder)? } else { Vec::new() };
    let measured = |name: String| n_bytes(&folder.join(&name)).map(|n| (name, n));
    names.into_iter().map(measured).collect()
}

/// Removes what stands at `path`: whatever happens meanwhile, nobody sees a part of it there.
pub fn discard(path: &Path) -> Result<(), Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let hidden = path.with_file_name(match name.starts_with(disk::TEMPORARY) {
        true => name.into_owned(),
        false => disk::temporary(&name),
    });
    if hidden != path {
        disk::rename(path, &hidden)?;
    }
    if hidden.is_dir() { disk::remove_folder(&hidden) } else { disk::remove_file(&hidden) }
}

fn n_bytes(path: &Path) -> Result<u64, Error> {
    let metadata = fs::symlink_metadata(path).map_err(Error::io("inspect", path))?;
    if !metadata.is_dir() {
        return Ok(metadata.len());
    }
    disk::names(path)?.iter().map(|name| n_bytes(&path.join(name))).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::faults::{Fault, strike};

    #[test]
    fn what_is_discarded_is_never_seen_in_part() {
        for spared in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let model = folder.path().join("model");
            fs::create_dir(&model).unwrap();
            for (name, bytes) in [("a", "12345"), ("b", "678")] {
                fs::write(model.join(name), bytes).unwrap();
            }
            assert_eq!(shelf(folder.path()).unwrap(), [("model".to_owned(), 8)]);
            let (done, struck) = strike(Fault::Dead, spared, || discard(&model));
            assert_eq!(done.is_err(), struck);
            assert!(!model.exists() || n_bytes(&model).unwrap() == 8, "{spared}");
            for (name, _) in shelf(folder.path()).unwrap() {
                discard(&folder.path().join(name)).unwrap();
            }
            assert_eq!(shelf(folder.path()).unwrap(), []);
            if !struck {
                break;
            }
        }
        assert_eq!(shelf(Path::new("no/such/folder")).unwrap(), []);
    }
}
