//! Noticing that files have changed.
//!
//! A pipeline rests on a handful of files. Their names, sizes and times are looked at fifty times a second, which costs
//! next to nothing, works on every file system and sees a file that another one takes the place of.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// Files that changed are read when they have stayed as they are for so long: an editor writes more than once.
pub(super) const QUIET: Duration = Duration::from_millis(40);
/// A file that never rests is read after so long.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a look shows of a file: number, size, and time of the last change in seconds and nanoseconds. Writing to a file,
/// and putting another in its place, change it.
type Look = (u64, u64, i64, i64);

/// The same of a file, or of every file of a folder, by name; nothing where there is none.
type Looks = BTreeMap<PathBuf, Look>;

/// Files and folders as they were when they were last looked at.
#[derive(Default)]
pub(super) struct Files(BTreeMap<PathBuf, Looks>);

impl Files {
    /// Watches `paths` and nothing else. Those that were watched before keep the look that was taken then.
    pub(super) fn watch(&mut self, paths: impl IntoIterator<Item = PathBuf>) {
        let mut before = std::mem::take(&mut self.0);
        self.0 = paths
            .into_iter()
            .map(|path| {
                let looks = before.remove(&path).unwrap_or_else(|| look(&path));
                (path, looks)
            })
            .collect();
    }

    /// Waits until some have changed and rest again, and returns their paths; `None` once `stopped`.
    pub(super) fn wait(&mut self, stopped: impl Fn() -> bool) -> Option<Vec<PathBuf>> {
        while !stopped() {
            sleep(PAUSE);
            let now = self.look();
            if now != self.0 {
                let rested = rested(now, || self.look());
                let changed =
                    self.0.keys().filter(|path| self.0[*path] != rested[*path]).cloned().collect::<Vec<_>>();
                self.0 = rested;
                return Some(changed);
            }
        }
        None
    }

    fn look(&self) -> BTreeMap<PathBuf, Looks> {
        self.0.keys().map(|path| (path.clone(), look(path))).collect()
    }
}

/// What `look` shows when it has shown the same for a while.
fn rested<T: PartialEq>(mut now: T, look: impl Fn() -> T) -> T {
    let started = Instant::now();
    let mut since = started;
    while since.elapsed() < QUIET && started.elapsed() < PATIENCE {
        sleep(PAUSE);
        let next = look();
        if next != now {
            (now, since) = (next, Instant::now());
        }
    }
    now
}

fn look(path: &Path) -> Looks {
    let Ok(found) = fs::metadata(path) else { return Looks::new() };
    if !found.is_dir() {
        return Looks::from([(PathBuf::new(), seen(&found))]);
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| Some((entry.path(), fs::metadata(entry.path()).ok()?)));
    files.filter(|(_, found)| found.is_file()).map(|(path, found)| (path, seen(&found))).collect()
}

fn seen(found: &Metadata) -> Look {
    (found.ino(), found.len(), found.ctime(), found.ctime_nsec())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(files: &mut Files) -> Vec<PathBuf> {
        files.wait(|| false).expect("nobody stops it")
    }

    #[test]
    fn files_that_change_come_and_go_are_noticed_once() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [one, other, model] = ["one", "other", "model"].map(|name| folder.path().join(name));
        fs::write(&one, "1").expect("writes");
        let mut files = Files::default();
        files.watch([one.clone(), other.clone(), model.clone()]);

        fs::write(&other, "1").expect("writes");
        assert_eq!(changed(&mut files), std::slice::from_ref(&other), "a file that was not there");
        fs::write(folder.path().join("new"), "2").expect("writes");
        fs::rename(folder.path().join("new"), &one).expect("renames");
        fs::remove_file(&other).expect("removes");
        assert_eq!(changed(&mut files), [one, other], "another in its place; gone");
        fs::create_dir(&model).expect("makes");
        fs::write(model.join("weights"), "1").expect("writes");
        assert_eq!(changed(&mut files), std::slice::from_ref(&model));
        fs::write(model.join("weights"), "2").expect("writes");
        assert_eq!(changed(&mut files), [model], "same size, within the folder");
        assert_eq!(files.wait(|| true), None);
    }
}
