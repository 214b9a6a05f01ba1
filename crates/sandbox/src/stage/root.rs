//! The root of the jail: the interpreter's files, read only, four devices, and one folder in memory to work in.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::pivot_root;

use super::{Refused, attempt};
use crate::Interpreter;

/// The harness that runs the program.
pub(super) const RUN: &str = include_str!("../run.py");
/// What it tells values by.
pub(super) const LINK: &str = include_str!("../link.py");
/// Where the program is, and may write.
pub(super) const WORK: &str = "/box";
/// Where the interpreter is: `bin/python3` and `lib/python3.N`.
pub(super) const PYTHON: &str = "/python";
/// Its executable.
pub(super) const EXECUTABLE: &str = "/python/bin/python3";
/// Where its libraries are, by all their names.
pub(super) const LIBRARIES: &str = "/lib";
/// The harness.
pub(super) const HARNESS: &str = "/jail/run.py";
/// Its part that tells values.
pub(super) const HARNESS_LINK: &str = "/jail/link.py";
/// The devices that a program may use.
pub(super) const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];

/// Any folder that every host has: the new root is mounted there for a moment, unseen by others.
const STAGING: &str = "/tmp";
/// Where the host's files are while the root is built.
const HOST: &str = "/host";

/// Makes the new root the only one.
pub(super) fn build(interpreter: &Interpreter, disk_bytes: u64) -> Result<(), Refused> {
    enter()?;
    lay_out(interpreter)?;
    attempt("install the harness", put(Path::new(HARNESS), RUN))?;
    attempt("install the link", put(Path::new(HARNESS_LINK), LINK))?;
    attempt("make a folder", fs::create_dir(WORK).and_then(|()| symlink(WORK, "/tmp")))?;
    memory(WORK, MsFlags::empty(), &format!("size={disk_bytes},nr_inodes=1024,mode=1777"))?;
    attempt("unmount the host", umount2(HOST, MntFlags::MNT_DETACH))?;
    attempt("remove a folder", fs::remove_dir(HOST))?;
    read_only(Path::new("/"))
}

/// Goes to an empty root, with the host's below [`HOST`].
fn enter() -> Result<(), Refused> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    attempt("mounts: keep apart", mount(None::<&str>, "/", None::<&str>, private, None::<&str>))?;
    memory(STAGING, MsFlags::empty(), "size=1m,nr_inodes=1024,mode=755")?;
    let host = format!("{STAGING}{HOST}");
    attempt("make a folder", fs::create_dir(&host))?;
    attempt("mounts: change the root", pivot_root(STAGING, host.as_str()))?;
    attempt("mounts: enter the root", std::env::set_current_dir("/"))
}

fn lay_out(interpreter: &Interpreter) -> Result<(), Refused> {
    let stdlib = Path::new(PYTHON).join(interpreter.stdlib_name());
    show(&interpreter.executable, Path::new(EXECUTABLE))?;
    attempt("make a folder", fs::create_dir_all(&stdlib))?;
    bind(&interpreter.stdlib, &stdlib)?;
    for packages in ["site-packages", "dist-packages"].map(|name| stdlib.join(name)) {
        if packages.is_dir() {
            memory(&packages.to_string_lossy(), MsFlags::MS_RDONLY, "size=4k,nr_inodes=2,mode=755")?;
        }
    }
    for library in &interpreter.libraries {
        let Some(name) = library.path.file_name() else { continue };
        show(&library.path, &Path::new(LIBRARIES).join(name))?;
        for alias in library.names.iter().filter(|alias| alias.as_str() != name) {
            attempt("name a library", symlink(name, Path::new(LIBRARIES).join(alias)))?;
        }
        if library.names.iter().any(|alias| interpreter.loader.ends_with(alias))
            && !interpreter.loader.starts_with(LIBRARIES)
        {
            show(&library.path, &interpreter.loader)?;
        }
    }
    for device in DEVICES.map(Path::new) {
        attempt("make a file", put(device, ""))?;
        let source = inside_host(device);
        let flags = MsFlags::MS_BIND;
        let bound = mount(Some(&source), device, None::<&str>, flags, None::<&str>);
        attempt(format_args!("mounts: {}", device.display()), bound)?;
    }
    Ok(())
}

/// Shows a file of the host, read only.
fn show(source: &Path, target: &Path) -> Result<(), Refused> {
    attempt("make a file", put(target, ""))?;
    bind(source, target)
}

fn put(path: &Path, text: &str) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    fs::write(path, text)
}

fn bind(source: &Path, target: &Path) -> Result<(), Refused> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    let bound = mount(Some(&inside_host(source)), target, None::<&str>, flags, None::<&str>);
    attempt(format_args!("mounts: {}", source.display()), bound)?;
    read_only(target)
}

fn read_only(target: &Path) -> Result<(), Refused> {
    let flags =
        MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let mounted = mount(None::<&str>, target, None::<&str>, flags, None::<&str>);
    attempt(format_args!("mounts: make {} read-only", target.display()), mounted)
}

fn memory(target: &str, more: MsFlags, options: &str) -> Result<(), Refused> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | more;
    let mounted = mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(options));
    attempt(format_args!("mounts: memory at {target}"), mounted)
}

fn inside_host(path: &Path) -> PathBuf {
    Path::new(HOST).join(path.strip_prefix("/").unwrap_or(path))
}
