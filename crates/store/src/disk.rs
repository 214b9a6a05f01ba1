//! Every change made to the file system, and the one place where tests make it fail.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;

/// Marks names that no reader looks at; what bears one is left over from a crash and may be removed.
pub(crate) const TEMPORARY: &str = ".tmp-";

/// Files that are synced at a time.
const SYNCS: usize = 16;

/// A name that no other thread or process uses.
pub(crate) fn temporary(name: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{TEMPORARY}{name}-{}-{n}", std::process::id())
}

/// Creates a folder and those above it; nothing happens where it exists.
pub(crate) fn create_folder(path: &Path) -> Result<(), Error> {
    change("create the folder", path, || fs::create_dir_all(path))
}

/// Writes the file at `path` so that it is seen whole or not at all, and survives a power cut once this returns.
/// What a crash left of the last attempt is overwritten; one writer at a time.
///
/// # Errors
/// Its folder is missing, or one of the steps fails; then nothing is left of it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    write_whole_by(path, |file| file.write_all(bytes))
}

/// The same where `content` writes the file piece by piece.
pub(crate) fn write_whole_by(
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Error> {
    write_through(&format!("{TEMPORARY}{}", name_of(path)), path, content)
}

/// Writes the file at `path` so that it is seen whole or not at all, by any number of writers of the same bytes at a
/// time. It survives a power cut only once it has been synced.
pub(crate) fn write_loosely(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = folder_of(path).join(temporary(&name_of(path)));
    let written = create(&temporary, bytes).and_then(|()| rename(&temporary, path));
    tidied(written, &temporary)
}

fn write_through(
    temporary: &str,
    path: &Path,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), Error> {
    let folder = folder_of(path);
    let temporary = folder.join(temporary);
    let written =
        write(&temporary, content).and_then(|()| rename(&temporary, path)).and_then(|()| sync(folder));
    tidied(written, &temporary)
}

/// The outcome of writing a file, whose temporary name is taken away where that failed.
fn tidied(written: Result<(), Error>, temporary: &Path) -> Result<(), Error> {
    if written.is_err() {
        // The first error is the one to report; what stays behind bears a temporary name.
        let _ = remove_file(temporary);
    }
    written
}

fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let file = change("create", path, || File::create(path))?;
    change("write", path, || {
        let mut buffer = BufWriter::with_capacity(1 << 20, &file);
        content(&mut buffer)?;
        buffer.flush()
    })?;
    change("sync", path, || file.sync_all())
}

/// Creates a file at a path that nobody looks at yet, without syncing it.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = change("create", path, || File::create(path))?;
    change("write", path, || file.write_all(bytes))
}

/// Moves `from` over `to` in one step.
pub(crate) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    change("rename a finished file to", to, || fs::rename(from, to))
}

/// Makes `link` another name of the file `original`.
pub(crate) fn hard_link(original: &Path, link: &Path) -> Result<(), Error> {
    change("hard-link", original, || fs::hard_link(original, link))
}

/// Lets the symlink at `link` point to `target` in one step, whether it existed or not.
pub(crate) fn switch_link(target: &Path, link: &Path) -> Result<(), Error> {
    let folder = folder_of(link);
    let temporary = folder.join(temporary("link"));
    change("create the symlink", &temporary, || symlink(target, &temporary))?;
    let switched = rename(&temporary, link).and_then(|()| sync(folder));
    if switched.is_err() {
        let _ = remove_file(&temporary);
    }
    switched
}

/// Writes a folder's entries to the disk.
pub(crate) fn sync(folder: &Path) -> Result<(), Error> {
    change("sync the folder", folder, || File::open(folder)?.sync_all())
}

/// Writes files and folders to the disk, many at a time: a disk syncs several together about as fast as one.
pub(crate) fn sync_all(paths: &[PathBuf]) -> Result<(), Error> {
    let share = paths.len().div_ceil(SYNCS).max(1);
    std::thread::scope(|threads| {
        let sync = |share| threads.spawn(move || <[PathBuf]>::iter(share).try_for_each(|path| sync(path)));
        let syncs: Vec<_> = paths.chunks(share).map(sync).collect();
        syncs.into_iter().try_for_each(|sync| sync.join().expect("syncing does not panic"))
    })
}

/// Removes a file or a symlink.
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    change("remove", path, || fs::remove_file(path))
}

/// Removes a folder and all in it.
pub(crate) fn remove_folder(path: &Path) -> Result<(), Error> {
    change("remove the folder", path, || fs::remove_dir_all(path))
}

/// The names in a folder, sorted. Names that are not UTF-8 were not made here and are left out.
pub(crate) fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let list = || fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>();
    let names = list().map_err(Error::io("list the folder", folder))?;
    let mut names: Vec<_> = names.into_iter().filter_map(|name| name.into_string().ok()).collect();
    names.sort();
    Ok(names)
}

fn name_of(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// The folder that `path` lies in.
fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

fn change<T>(attempt: &'static str, path: &Path, work: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
    faults::point().and_then(|()| work()).map_err(Error::io(attempt, path))
}

#[cfg(not(test))]
mod faults {
    /// Never fails outside tests.
    pub(crate) fn point() -> std::io::Result<()> {
        Ok(())
    }
}

/// Failures on demand, for the calling thread.
#[cfg(test)]
pub(crate) mod faults {
    use std::cell::Cell;
    use std::io;

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum Fault {
        /// One change fails, later ones succeed: a full disk that someone makes room on.
        Once,
        /// No change succeeds any more: the process was killed.
        Dead,
    }

    thread_local! {
        static PLAN: Cell<Option<(Fault, u32)>> = const { Cell::new(None) };
        static STRUCK: Cell<bool> = const { Cell::new(false) };
    }

    /// Does `work` while the change after the next `spared` ones fails; true when there was such a change.
    pub(crate) fn strike<T>(fault: Fault, spared: u32, work: impl FnOnce() -> T) -> (T, bool) {
        PLAN.set(Some((fault, spared)));
        let done = work();
        PLAN.set(None);
        (done, STRUCK.take())
    }

    pub(crate) fn point() -> io::Result<()> {
        match PLAN.get() {
            None => return Ok(()),
            Some((fault, left @ 1..)) => {
                PLAN.set(Some((fault, left - 1)));
                return Ok(());
            }
            Some((Fault::Once, 0)) => PLAN.set(None),
            Some((Fault::Dead, 0)) => {}
        }
        STRUCK.set(true);
        Err(io::ErrorKind::StorageFull.into())
    }
}
