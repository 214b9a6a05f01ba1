//! Switching readers from one whole snapshot to the next.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flow_data::Id;

use super::{CURRENT, Manifest, Part, Parts, SNAPSHOTS, manifest};
use crate::{Error, disk};

/// Publishes the snapshots of one folder. One at a time may be open for a folder: a [`crate::RunLock`]
/// on a file in it keeps other runs out.
#[derive(Debug)]
pub struct Publisher {
    dir: PathBuf,
    parts: Parts,
    /// Snapshots that lacked a part, or held one with other bytes, when the folder was opened.
    damaged: Mutex<BTreeSet<String>>,
    /// The sorted parts of the two newest snapshots that were published here, by name: so many parts take longer to read than
    /// an edit may.
    known: Mutex<BTreeMap<String, Arc<[Part]>>>,
}

/// What [`Publisher::publish`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Digest of the manifest, and so of everything published.
    pub digest: Id,
    /// The snapshot's folder.
    pub folder: PathBuf,
    /// Whether readers were switched; false when this snapshot was the current one already.
    pub changed: bool,
}

impl Publisher {
    /// Opens the folder `dir`, creating it where missing, and removes what a killed run left behind. A snapshot that was
    /// damaged since it was published stays until another, or the same made anew, takes its place.
    ///
    /// Errs when something that was not published here is in the way, or the folder cannot be written.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let (dir, parts) = (dir.to_owned(), Parts::new(dir));
        let current = dir.join(CURRENT);
        expect(&dir, fs::metadata(&dir), Metadata::is_dir, "a folder")?;
        expect(&current, fs::symlink_metadata(&current), Metadata::is_symlink, "a symlink")?;
        disk::create_folder(&dir.join(SNAPSHOTS))?;
        disk::create_folder(parts.folder())?;
        disk::sync(&dir)?;
        let publisher = Self { dir, parts, damaged: Mutex::default(), known: Mutex::default() };
        publisher.clean()?;
        *publisher.damaged() = publisher.inspect()?;
        Ok(publisher)
    }

    /// The damaged snapshots, found by reading all that they hold. Parts that share the damage are removed.
    fn inspect(&self) -> Result<BTreeSet<String>, Error> {
        let (mut damaged, mut whole) = (BTreeSet::new(), HashSet::new());
        for name in disk::names(&self.snapshots())? {
            let folder = self.snapshots().join(&name);
            let Ok(manifest) = Manifest::of(&folder) else {
                damaged.insert(name);
                continue;
            };
            for part in &manifest.parts {
                // Snapshots share their parts, and share them with those to publish from, unless they were copied.
                let [shown, kept] = [folder.join(&part.path), self.parts.path(&part.digest)];
                let shown_as = identity(&shown);
                if !shown_as.is_some_and(|file| whole.contains(&file)) {
                    match Parts::is_whole(&shown, &part.digest)? {
                        true => whole.extend(shown_as),
                        false => _ = damaged.insert(name.clone()),
                    }
                }
                if !identity(&kept).is_some_and(|file| whole.contains(&file)) {
                    self.parts.remove_damaged(&part.digest)?;
                }
            }
        }
        Ok(damaged)
    }

    /// The parts to publish from.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// Publishes the staged parts that `manifest` names: readers of `current` see either the snapshot before or this
    /// one, whatever happens meanwhile. Keeps the snapshot before, for those still reading it, and removes older ones.
    ///
    /// Errs when a part was not staged, when a path leaves the snapshot, and when the disk refuses; readers then keep
    /// the snapshot they have.
    pub fn publish(&self, manifest: &Manifest) -> Result<Published, Error> {
        manifest.check()?;
        let bytes = manifest.bytes();
        let digest = Id::of("manifest", [bytes.as_slice()]);
        let name = digest.to_string();
        let folder = self.snapshots().join(&name);

        let before = self.current_name();
        let is_damaged = self.damaged().contains(&name);
        let present = folder.exists() && !is_damaged;
        let changed = !present || before.as_ref() != Some(&name);
        if changed {
            if !present {
                if is_damaged && folder.exists() {
                    disk::rename(&folder, &self.snapshots().join(disk::temporary("damaged")))?;
                }
                self.build(&folder, manifest, &bytes, before.as_deref())?;
                self.damaged().remove(&name);
            }
            disk::sync(&self.snapshots())?;
            disk::switch_link(&Path::new(SNAPSHOTS).join(&name), &self.dir.join(CURRENT))?;
            let kept = [Some(name.clone()), before];
            self.remove_all_but(&kept);
            let mut known = locked(&self.known);
            known.retain(|name, _| kept.contains(&Some(name.clone())));
            known.insert(name, manifest.parts.as_slice().into());
        }
        Ok(Published { digest, folder, changed })
    }

    /// The sorted parts of the snapshot that readers see; none before the first, and of one whose manifest cannot be read.
    pub fn current(&self) -> Option<Arc<[Part]>> {
        self.parts_of(&self.current_name()?)
    }

    /// Removes staged parts that no snapshot holds. Not to be called while parts are being staged.
    pub fn clean(&self) -> Result<(), Error> {
        for folder in [&self.dir, &self.snapshots()] {
            for name in disk::names(folder)?.iter().filter(|name| name.starts_with(disk::TEMPORARY)) {
                let path = folder.join(name);
                if path.is_symlink() { disk::remove_file(&path) } else { disk::remove_folder(&path) }?;
            }
        }
        let mut named = BTreeSet::new();
        for name in disk::names(&self.snapshots())? {
            // One that cannot be read names nothing.
            let manifest = Manifest::of(&self.snapshots().join(name));
            named.extend(manifest.into_iter().flat_map(|manifest| manifest.parts).map(|part| part.digest));
        }
        self.parts.clean(&named)
    }

    /// Makes the snapshot under a temporary name and gives it its own when all of it is on the disk.
    fn build(
        &self,
        folder: &Path,
        manifest: &Manifest,
        bytes: &[u8],
        current: Option<&str>,
    ) -> Result<(), Error> {
        let temporary = self.snapshots().join(disk::temporary("snapshot"));
        let held = self.recycle(&temporary, manifest, current)?;
        let built =
            self.fill(&temporary, manifest, bytes, &held).and_then(|()| disk::rename(&temporary, folder));
        if built.is_err() {
            // The first error is the one to report; what stays behind bears a temporary name.
            let _ = disk::remove_folder(&temporary);
        }
        built
    }

    /// Lets the snapshot before the current one become `temporary`, without what `manifest` has no more, so that an edit
    /// costs what it changes. Returns the parts it had, sorted; none where there is no such snapshot.
    fn recycle(
        &self,
        temporary: &Path,
        manifest: &Manifest,
        current: Option<&str>,
    ) -> Result<Arc<[Part]>, Error> {
        let names = disk::names(&self.snapshots())?;
        let is_older = |name: &&String| {
            let is_other = Some(name.as_str()) != current && !name.starts_with(disk::TEMPORARY);
            is_other && !self.damaged().contains(*name)
        };
        let older = names.iter().find(is_older);
        let Some((older, held)) = older.and_then(|name| Some((name, self.parts_of(name)?))) else {
            return Ok(Arc::default());
        };
        disk::rename(&self.snapshots().join(older), temporary)?;
        for part in without(&held, &manifest.parts) {
            disk::remove_file(&temporary.join(&part.path))?;
        }
        let wanted = folders(&manifest.parts);
        for emptied in folders(&held).difference(&wanted).filter(|folder| !folder.is_empty()) {
            disk::remove_folder(&temporary.join(emptied))?;
        }
        Ok(held)
    }

    /// The sorted parts of the snapshot `name`; none where its manifest cannot be read.
    fn parts_of(&self, name: &str) -> Option<Arc<[Part]>> {
        let known = locked(&self.known).get(name).cloned();
        known.or_else(|| {
            let mut parts = Manifest::of(&self.snapshots().join(name)).ok()?.parts;
            parts.sort();
            Some(parts.into())
        })
    }

    /// Links the parts that are not among those `held`, writes the manifest, and brings all of it to the disk.
    fn fill(&self, folder: &Path, manifest: &Manifest, bytes: &[u8], held: &[Part]) -> Result<(), Error> {
        disk::create_folder(folder)?;
        let mut folders = BTreeSet::from([folder.to_owned()]);
        let mut unsynced = Vec::new();
        for part in without(&manifest.parts, held) {
            let link = folder.join(&part.path);
            let above = link.ancestors().skip(1).take_while(|above| above != &folder).map(Path::to_owned);
            for above in above {
                if folders.insert(above.clone()) {
                    disk::create_folder(&above)?;
                }
            }
            let kept = self.parts.path(&part.digest);
            // A part that no snapshot holds yet has not been synced.
            if fs::metadata(&kept).is_ok_and(|file| file.nlink() == 1) {
                unsynced.push(kept.clone());
            }
            disk::hard_link(&kept, &link)?;
        }
        let manifest = folder.join(manifest::NAME);
        disk::create(&manifest, bytes)?;
        unsynced.push(manifest);
        unsynced.extend(folders);
        disk::sync_all(&unsynced)
    }

    fn damaged(&self) -> MutexGuard<'_, BTreeSet<String>> {
        locked(&self.damaged)
    }

    fn snapshots(&self) -> PathBuf {
        self.dir.join(SNAPSHOTS)
    }

    /// The name of the snapshot that readers see.
    fn current_name(&self) -> Option<String> {
        let target = fs::read_link(self.dir.join(CURRENT)).ok()?;
        Some(target.file_name()?.to_str()?.to_owned())
    }

    /// Removes older snapshots. What cannot be removed harms nobody and is tried again with the next snapshot.
    fn remove_all_but(&self, kept: &[Option<String>]) {
        let names = disk::names(&self.snapshots()).unwrap_or_default();
        for name in names.into_iter().filter(|name| !kept.contains(&Some(name.clone()))) {
            let _ = disk::remove_folder(&self.snapshots().join(name));
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The parts of `these` that `those` lack. Both are sorted.
fn without<'a>(these: &'a [Part], those: &'a [Part]) -> impl Iterator<Item = &'a Part> {
    let mut those = those.iter().peekable();
    these.iter().filter(move |part| {
        while those.next_if(|other| other < part).is_some() {}
        those.peek() != Some(part)
    })
}

/// The folders within a snapshot that hold `parts`; the empty one for those at the top.
fn folders(parts: &[Part]) -> BTreeSet<&str> {
    parts.iter().map(|part| part.path.rsplit_once('/').map_or("", |(folder, _)| folder)).collect()
}

/// Errs when `path` is there and is something else.
fn expect(
    path: &Path,
    found: io::Result<Metadata>,
    is: fn(&Metadata) -> bool,
    expected: &'static str,
) -> Result<(), Error> {
    match found {
        Ok(found) if !is(&found) => Err(Error::InTheWay { path: path.to_owned(), expected }),
        _ => Ok(()),
    }
}

/// What a file is, by whatever name; none where there is none.
fn identity(path: &Path) -> Option<(u64, u64)> {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}
