//! Publishing under every failure of the file system: readers see a whole snapshot or the one before.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use flow_data::{Column, Columns, Id, Type, Value};
use serde_json::{Map, json};
use tempfile::TempDir;

use super::{Manifest, Part, Published, Publisher, Snapshot};
use crate::disk::faults::{Fault, strike};
use crate::{Error, Layout, encode_part, read_table};

fn columns() -> Columns {
    Columns::new([Column::new("n", Type::Int, false, "A number.")])
}

fn bytes(n: i64) -> Vec<u8> {
    encode_part(&columns(), &[vec![Value::Int(n)]], &Layout::default(), 1).unwrap()
}

fn lineage() -> Map<String, serde_json::Value> {
    json!({"pipeline": "test"}).as_object().unwrap().clone()
}

/// Stages and publishes one part for each number.
fn publish(publisher: &Publisher, numbers: &[i64]) -> Result<Published, Error> {
    let part = |(at, &n): (usize, &i64)| {
        let digest = publisher.parts().stage(&bytes(n))?;
        let path = format!("round-{:03}/part-{at:02}.{digest}.parquet", at / 2);
        Ok(Part { path, digest, n_rows: 1, n_bytes: bytes(n).len() as u64 })
    };
    let parts = numbers.iter().enumerate().map(part).collect::<Result<Vec<_>, Error>>()?;
    publisher.publish(&Manifest::new(&columns(), None, parts, lineage()))
}

/// The numbers that readers see, every part checked against the manifest.
fn seen(dir: &Path) -> Vec<i64> {
    let snapshot = Snapshot::current(dir).unwrap().expect("something is published");
    let mut numbers = Vec::new();
    for (path, part) in snapshot.files().zip(&snapshot.manifest.parts) {
        let bytes = fs::read(&path).unwrap();
        assert_eq!((Id::of("part", [bytes.as_slice()]), bytes.len() as u64), (part.digest, part.n_bytes));
        numbers.extend(read_table(&path).unwrap().1.into_iter().flatten());
    }
    assert_eq!(snapshot.manifest.n_rows, numbers.len() as u64);
    numbers.into_iter().map(|n| if let Value::Int(n) = n { n } else { panic!("{n:?} is no int") }).collect()
}

/// Every file below `dir` with its bytes, symlinks with their targets.
fn tree(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_symlink() {
            files.insert(name, fs::read_link(&path).unwrap().to_str().unwrap().into());
        } else if path.is_dir() {
            files.extend(tree(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
            files.insert(format!("{name}/"), Vec::new());
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

/// The first file that readers see.
fn first_file(dir: &Path) -> std::path::PathBuf {
    Snapshot::current(dir).unwrap().unwrap().files().next().unwrap()
}

#[test]
fn a_damaged_snapshot_is_made_anew_and_lends_nothing_to_others() {
    let damages: [fn(&Path); 3] = [
        |file| fs::write(file, "junk").unwrap(),
        |file| fs::remove_file(file).unwrap(),
        // One bit of what all copies of the part share.
        |file| {
            let mut bytes = fs::read(file).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(file, bytes).unwrap();
        },
    ];
    for damage in damages {
        for numbers in [[1, 2, 3], [1, 2, 4]] {
            let dir = TempDir::new().unwrap();
            publish(&Publisher::open(dir.path()).unwrap(), &[1, 2, 3]).unwrap();
            damage(&first_file(dir.path()));
            let publisher = Publisher::open(dir.path()).unwrap();
            for again in [true, false] {
                assert_eq!(publish(&publisher, &numbers).unwrap().changed, again);
                assert_eq!(seen(dir.path()), numbers);
            }
        }
    }
}

#[test]
fn a_copied_folder_keeps_its_parts() {
    let dir = TempDir::new().unwrap();
    publish(&Publisher::open(dir.path()).unwrap(), &[1, 2, 3]).unwrap();
    // As a copy does that knows no links between files.
    for file in Snapshot::current(dir.path()).unwrap().unwrap().files().collect::<Vec<_>>() {
        let bytes = fs::read(&file).unwrap();
        fs::remove_file(&file).unwrap();
        fs::write(&file, bytes).unwrap();
    }
    let before = tree(&dir.path().join(".parts"));
    Publisher::open(dir.path()).unwrap();
    assert_eq!(tree(&dir.path().join(".parts")), before);
    assert_eq!(seen(dir.path()), [1, 2, 3]);
}

#[test]
fn a_snapshot_replaces_the_one_before() {
    let dir = TempDir::new().unwrap();
    assert_eq!(Snapshot::current(dir.path()).unwrap(), None);
    let publisher = Publisher::open(dir.path()).unwrap();
    let first = publish(&publisher, &[1, 2, 3]).unwrap();
    let old = Snapshot::current(dir.path()).unwrap().unwrap();
    let second = publish(&publisher, &[1, 2, 4]).unwrap();
    assert!(first.changed && second.changed);
    assert_eq!(seen(dir.path()), [1, 2, 4]);
    assert!(old.files().all(|path| path.exists()), "the snapshot before stays for its readers");

    let third = publish(&publisher, &[1, 2, 5]).unwrap();
    assert!(!first.folder.exists() && second.folder.exists() && third.folder.exists());
    assert_eq!(publish(&publisher, &[1, 2, 5]).unwrap(), Published { changed: false, ..third });
    assert!(second.folder.exists(), "publishing the same again removes nothing");
}

#[test]
fn unchanged_parts_are_kept_once_on_disk() {
    use std::os::unix::fs::MetadataExt;
    let dir = TempDir::new().unwrap();
    let publisher = Publisher::open(dir.path()).unwrap();
    publish(&publisher, &[1, 2]).unwrap();
    publish(&publisher, &[1, 3]).unwrap();
    let snapshot = Snapshot::current(dir.path()).unwrap().unwrap();
    let links: Vec<_> = snapshot.files().map(|path| fs::metadata(path).unwrap().nlink()).collect();
    assert_eq!(links, [3, 2], "the staged name, and one in each snapshot that holds it");
}

#[test]
fn published_bytes_do_not_depend_on_what_was_published_before() {
    let (edited, fresh) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let publisher = Publisher::open(edited.path()).unwrap();
    for numbers in [&[5, 6, 7, 8, 9][..], &[1], &[1, 2], &[3], &[1, 2, 3]] {
        publish(&publisher, numbers).unwrap();
    }
    publish(&Publisher::open(fresh.path()).unwrap(), &[1, 2, 3]).unwrap();
    let current = |dir: &TempDir| tree(&dir.path().join("current").canonicalize().unwrap());
    assert_eq!(current(&edited), current(&fresh));
    assert_eq!(current(&fresh).len(), 6, "three parts in two folders, and the manifest");
}

#[test]
fn whatever_fails_readers_see_a_whole_snapshot() {
    for fault in [Fault::Once, Fault::Dead] {
        let mut outcomes = BTreeMap::new();
        for spared in 0.. {
            let dir = TempDir::new().unwrap();
            let publisher = Publisher::open(dir.path()).unwrap();
            publish(&publisher, &[1, 5, 6]).unwrap();
            publish(&publisher, &[1, 2, 3]).unwrap();
            drop(publisher);
            let attempt = || publish(&Publisher::open(dir.path())?, &[1, 4]);
            let (published, struck) = strike(fault, spared, attempt);

            let numbers = seen(dir.path());
            assert!(numbers == [1, 2, 3] || numbers == [1, 4], "{fault:?} {spared}: {numbers:?}");
            assert!(published.is_err() || numbers == [1, 4], "what is reported as published is seen");
            *outcomes.entry(numbers).or_insert(0) += 1;

            let publisher = Publisher::open(dir.path()).unwrap();
            assert!(tree(dir.path()).keys().all(|name| !name.contains(".tmp-")), "leftovers are removed");
            assert_eq!(publish(&publisher, &[1, 4]).unwrap().folder, {
                let target = fs::read_link(dir.path().join("current")).unwrap();
                dir.path().join(target)
            });
            assert_eq!(seen(dir.path()), [1, 4]);
            if !struck {
                break;
            }
        }
        assert!(outcomes[&vec![1, 2, 3]] > 10, "the failures came before the switch too: {outcomes:?}");
    }
}

#[test]
fn a_crash_leaves_nothing_after_the_next_opening() {
    let dir = TempDir::new().unwrap();
    let publisher = Publisher::open(dir.path()).unwrap();
    publish(&publisher, &[1]).unwrap();
    let whole = tree(dir.path());

    publisher.parts().stage(&bytes(9)).unwrap();
    fs::write(dir.path().join(".parts/.tmp-abc.parquet-1-1"), b"PAR1 half").unwrap();
    fs::create_dir_all(dir.path().join("snapshots/.tmp-snapshot-1-2/round-001")).unwrap();
    std::os::unix::fs::symlink("snapshots/.tmp-snapshot-1-2", dir.path().join(".tmp-link-1-3")).unwrap();
    assert_ne!(tree(dir.path()), whole);
    Publisher::open(dir.path()).unwrap();
    assert_eq!(tree(dir.path()), whole);
}

#[test]
fn a_staged_part_is_read_before_it_is_published() {
    let dir = TempDir::new().unwrap();
    let publisher = Publisher::open(dir.path()).unwrap();
    let digest = publisher.parts().stage(&bytes(1)).unwrap();
    assert_eq!(fs::read(publisher.parts().path(&digest)).unwrap(), bytes(1));
    publish(&publisher, &[2]).unwrap();
    assert!(publisher.parts().path(&digest).exists(), "publishing others does not remove it");
    publisher.clean().unwrap();
    assert!(!publisher.parts().path(&digest).exists());
}

#[test]
fn a_part_that_was_not_staged_or_leaves_the_snapshot_is_refused() {
    let dir = TempDir::new().unwrap();
    let publisher = Publisher::open(dir.path()).unwrap();
    publish(&publisher, &[1]).unwrap();
    let digest = publisher.parts().stage(&bytes(2)).unwrap();
    let part = |path: &str, digest| Part { path: path.to_owned(), digest, n_rows: 1, n_bytes: 1 };
    let refused = |parts: Vec<Part>| {
        let error = publisher.publish(&Manifest::new(&columns(), None, parts, lineage())).unwrap_err();
        error.to_string()
    };
    for path in ["../x.parquet", "/x.parquet", "", "a/../../x.parquet"] {
        assert!(refused(vec![part(path, digest)]).ends_with("it leaves the snapshot"), "{path}");
    }
    assert!(refused(vec![part("_manifest.json", digest)]).ends_with("it is taken"));
    assert!(refused(vec![part("x", digest), part("x", digest)]).ends_with("it is taken"));
    assert!(refused(vec![part("x", Id::default())]).starts_with("cannot hard-link"));
    assert_eq!(seen(dir.path()), [1]);
}

#[test]
fn what_is_in_the_way_is_left_alone() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("shards");
    fs::write(&file, "mine").unwrap();
    let error = Publisher::open(&file).unwrap_err().to_string();
    assert!(error.ends_with("it exists and is not a folder"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"mine");

    fs::create_dir(dir.path().join("current")).unwrap();
    let error = Publisher::open(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("it exists and is not a symlink"), "{error}");
}

#[test]
fn a_manifest_of_another_version_is_refused_by_name() {
    let dir = TempDir::new().unwrap();
    let published = publish(&Publisher::open(dir.path()).unwrap(), &[1]).unwrap();
    let path = published.folder.join("_manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"version\": 1", "\"version\": 2")).unwrap();
    let error = Snapshot::current(dir.path()).unwrap_err().to_string();
    assert!(error.ends_with("its version is 2, this program reads 1"), "{error}");
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    assert!(matches!(Snapshot::current(dir.path()), Err(Error::Manifest { .. })));
}
