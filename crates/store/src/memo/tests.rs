//! The memo against a plain map, under damage and kills.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use flow_data::{Id, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::answers::segment_names;
use super::{Answers, Memo, Swept};
use crate::Error;
use crate::disk::faults::{Fault, strike};

fn key(n: u32) -> Id {
    Id::of("test", [n.to_le_bytes().as_slice()])
}

fn answer(n: u32) -> Vec<Value> {
    vec!["x".repeat(n as usize % 100).into(), i64::from(n).into()]
}

fn filled(n: u32) -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let memo = Memo::open(dir.path()).unwrap();
    (0..n).for_each(|n| memo.put(key(n), &answer(n)).unwrap());
    assert_eq!(memo.answers().len(), n as usize);
    let log = dir.path().join("00000.log");
    assert_eq!(memo.answers().bytes(), fs::metadata(&log).unwrap().len());
    (dir, log)
}

/// One life of a process: what it puts, then how much of its log the kill leaves.
fn life() -> impl Strategy<Value = (Vec<u32>, f64)> {
    (vec(0..60u32, 0..40), prop_oneof![Just(1.0), 0.0..1.0])
}

proptest! {
    #[test]
    fn answers_survive_kills_or_are_asked_for_again(lives in vec(life(), 1..6)) {
        let dir = TempDir::new().unwrap();
        let log = dir.path().join("00000.log");
        let mut ends: HashMap<u32, u64> = HashMap::new();
        for (puts, left) in lives {
            let memo = Memo::open(dir.path()).unwrap();
            prop_assert_eq!(memo.answers().damaged(), 0);
            prop_assert_eq!(memo.answers().len(), ends.len());
            for n in puts {
                memo.put(key(n), &answer(n)).unwrap();
                ends.entry(n).or_insert_with(|| memo.answers().bytes());
            }
            for n in 0..60 {
                prop_assert_eq!(memo.get(&key(n)), ends.contains_key(&n).then(|| answer(n)));
            }
            let left = (memo.answers().bytes() as f64 * left) as u64;
            drop(memo);
            fs::File::options().write(true).open(&log).unwrap().set_len(left).unwrap();
            ends.retain(|_, end| *end <= left);
        }
    }

    #[test]
    fn damage_never_gives_a_wrong_answer(damage in vec((any::<usize>(), any::<u8>()), 1..6)) {
        let (dir, log) = filled(40);
        let mut bytes = fs::read(&log).unwrap();
        let before = bytes.clone();
        for (at, byte) in damage {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        fs::write(&log, &bytes).unwrap();
        let memo = Memo::open(dir.path()).unwrap();
        let kept = (0..40).filter(|n| memo.get(&key(*n)).is_some_and(|found| found == answer(*n))).count();
        prop_assert_eq!(kept, memo.answers().len(), "every answer that is found is right");
        let n_bytes = bytes.iter().zip(&before).filter(|(a, b)| a != b).count();
        prop_assert!(kept >= 40 - n_bytes, "a damaged byte costs one answer at most: {} kept", kept);
        prop_assert!(n_bytes == 0 || kept < 40);
    }
}

#[test]
fn a_write_torn_at_any_byte_costs_that_answer_only() {
    let (_dir, log) = filled(3);
    let whole = fs::read(&log).unwrap();
    let last = whole.windows(4).rposition(|bytes| bytes == b"\xF1ow\x01").unwrap();
    for left in last..=whole.len() {
        let dir = TempDir::new().unwrap();
        fs::write(dir.path().join("00000.log"), &whole[..left]).unwrap();
        let memo = Memo::open(dir.path()).unwrap();
        let kept = if left == whole.len() { 3 } else { 2 };
        assert_eq!((memo.answers().len(), memo.answers().damaged()), (kept, 0), "{left} bytes left");
        memo.put(key(2), &answer(2)).unwrap();
        memo.put(key(3), &answer(3)).unwrap();
        drop(memo);
        let memo = Memo::open(dir.path()).unwrap();
        assert!((0..4).all(|n| memo.get(&key(n)) == Some(answer(n))), "{left} bytes left");
    }
}

#[test]
fn an_index_of_any_bytes_loses_nothing() {
    let (dir, log) = filled(200);
    let index = log.with_extension("idx");
    let bytes = fs::read(&index).unwrap();
    assert!(bytes.len() > 200 * 24 / 2, "most of the log is indexed");
    let holds_all = |words: &str| {
        let answers = Answers::open(dir.path()).unwrap();
        assert!((0..200).all(|n| answers.get(&key(n)) == Some(answer(n))), "{words}");
        assert_eq!((answers.len(), answers.damaged()), (200, 0), "{words}");
    };
    holds_all("as it was written");
    for at in (0..bytes.len()).step_by(7) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x40;
        fs::write(&index, damaged).unwrap();
        holds_all(&format!("byte {at} damaged"));
        fs::write(&index, &bytes[..at]).unwrap();
        holds_all(&format!("cut at {at}"));
    }
    fs::remove_file(&index).unwrap();
    holds_all("removed");
    drop(Memo::open(dir.path()).unwrap());
    assert_eq!(fs::read(&index).unwrap(), bytes, "it is made again");
}

#[test]
fn an_answer_damaged_behind_the_index_is_found_and_healed() {
    let (dir, log) = filled(100);
    let mut bytes = fs::read(&log).unwrap();
    bytes[40] ^= 1;
    fs::write(&log, &bytes).unwrap();
    let memo = Memo::open(dir.path()).unwrap();
    assert_eq!((memo.get(&key(0)), memo.answers().damaged(), memo.answers().len()), (None, 1, 99));
    memo.put(key(0), &answer(0)).unwrap();
    drop(memo);
    for damaged in [1, 0] {
        let memo = Memo::open(dir.path()).unwrap();
        assert!((0..100).all(|n| memo.get(&key(n)) == Some(answer(n))));
        assert_eq!(
            memo.answers().damaged(),
            damaged,
            "the place is told once more, by the look at all of the log"
        );
    }
}

#[test]
fn what_is_used_is_known() {
    let (dir, _) = filled(10);
    let memo = Memo::open(dir.path()).unwrap();
    assert_eq!(memo.answers().used(), []);
    memo.get(&key(3));
    memo.put(key(10), &answer(10)).unwrap();
    assert!(memo.answers().contains(&key(4)), "looking whether there is one is no use");
    let mut used = [key(3), key(10)];
    used.sort();
    assert_eq!(memo.answers().used(), used);
}

/// Whether answer `n` is to be kept in the tests of sweeps.
fn kept(n: u32) -> bool {
    !n.is_multiple_of(3)
}

fn sweep(dir: &TempDir, dry: bool) -> Result<Swept, Error> {
    let keys: Vec<Id> = (0..90).filter(|n| kept(*n)).map(key).collect();
    Memo::sweep(dir.path(), &|key| keys.contains(key), dry)
}

#[test]
fn a_sweep_removes_what_is_not_kept_and_frees_as_much_as_it_said() {
    let (dir, log) = filled(90);
    let (before, index) = (fs::metadata(&log).unwrap().len(), fs::read(log.with_extension("idx")).unwrap());
    let told = sweep(&dir, true).unwrap();
    assert_eq!(fs::metadata(&log).unwrap().len(), before, "a dry one touches nothing");
    assert_eq!(sweep(&dir, false).unwrap(), told);
    assert_eq!((told.answers, before - told.bytes), (30, fs::metadata(&log).unwrap().len()));
    assert_eq!(sweep(&dir, false).unwrap(), Swept::default(), "nothing is left to remove");
    for words in ["swept", "with the index of before"] {
        let answers = Answers::open(dir.path()).unwrap();
        assert!((0..90).all(|n| answers.get(&key(n)) == kept(n).then(|| answer(n))), "{words}");
        assert_eq!(answers.damaged(), 0, "{words}");
        fs::write(log.with_extension("idx"), &index).unwrap();
    }
}

#[test]
fn a_sweep_waits_for_nobody() {
    let (dir, _) = filled(90);
    let _open = Memo::open(dir.path()).unwrap();
    assert!(matches!(sweep(&dir, true), Err(Error::Locked { .. })));
}

#[test]
fn whatever_fails_a_sweep_loses_nothing_that_is_kept() {
    for fault in [Fault::Once, Fault::Dead] {
        for spared in 0.. {
            let (dir, _) = filled(90);
            let (swept, struck) = strike(fault, spared, || sweep(&dir, false));
            assert_eq!(swept.is_err(), struck, "{fault:?} {spared}");
            let whole = |dir: &TempDir| {
                let answers = Answers::open(dir.path()).unwrap();
                (0..90).filter(|n| kept(*n)).all(|n| answers.get(&key(n)) == Some(answer(n)))
            };
            assert!(whole(&dir), "{fault:?} {spared}");
            sweep(&dir, false).unwrap();
            assert!(whole(&dir) && Answers::open(dir.path()).unwrap().len() == 60, "{fault:?} {spared}");
            let names: Vec<String> = crate::disk::names(dir.path()).unwrap();
            assert_eq!(names, ["00000.log"], "nothing is left behind");
            if !struck {
                assert!(spared > 3, "every change was made to fail");
                break;
            }
        }
    }
}

#[test]
fn a_damaged_record_is_reported_skipped_and_replaced() {
    let (dir, log) = filled(10);
    let mut bytes = fs::read(&log).unwrap();
    // The first record's length, so that nothing says where the second begins.
    bytes[4] ^= 0xFF;
    fs::write(&log, &bytes).unwrap();

    let memo = Memo::open(dir.path()).unwrap();
    assert_eq!((memo.answers().len(), memo.answers().damaged(), memo.get(&key(0))), (9, 1, None));
    memo.put(key(0), &answer(0)).unwrap();
    drop(memo);
    let memo = Memo::open(dir.path()).unwrap();
    assert_eq!((memo.answers().len(), memo.get(&key(0))), (10, Some(answer(0))));
}

#[test]
fn an_answer_damaged_while_the_memo_is_open_is_forgotten() {
    let (dir, log) = filled(2);
    let memo = Memo::open(dir.path()).unwrap();
    let mut bytes = fs::read(&log).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&log, &bytes).unwrap();
    assert_eq!((memo.get(&key(1)), memo.answers().damaged()), (None, 1));
    memo.put(key(1), &answer(1)).unwrap();
    assert_eq!((memo.get(&key(1)), memo.get(&key(0))), (Some(answer(1)), Some(answer(0))));
}

#[test]
fn the_first_answer_stands() {
    let (dir, _) = filled(1);
    let memo = Memo::open(dir.path()).unwrap();
    memo.put(key(0), &answer(9)).unwrap();
    assert_eq!((memo.get(&key(0)), memo.answers().len()), (Some(answer(0)), 1));
}

#[test]
fn processes_write_apart_and_read_all() {
    let dir = TempDir::new().unwrap();
    let (first, second) = (Memo::open(dir.path()).unwrap(), Memo::open(dir.path()).unwrap());
    for n in 0..20 {
        let memo = if n % 2 == 0 { &first } else { &second };
        memo.put(key(n), &answer(n)).unwrap();
        // Both ask for the same at the same time: the answer in the first segment stands.
        first.put(key(99), &answer(1)).unwrap();
        second.put(key(99), &answer(2)).unwrap();
    }
    assert_eq!((first.answers().len(), second.answers().len()), (11, 11));
    let third = Memo::open(dir.path()).unwrap();
    assert_eq!(third.answers().len(), 21);
    assert!((0..20).all(|n| third.get(&key(n)) == Some(answer(n))));
    assert_eq!(third.get(&key(99)), Some(answer(1)));
    drop((first, second, third));
    assert_eq!(Memo::open(dir.path()).unwrap().answers().len(), 21);
    assert_eq!(segment_names(dir.path()).unwrap().len(), 3, "free segments are taken up again");
}

#[test]
fn threads_share_a_memo() {
    let dir = TempDir::new().unwrap();
    let memo = Memo::open(dir.path()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let memo = &memo;
            scope.spawn(move || {
                for n in 0..500 {
                    memo.put(key(n), &answer(n)).unwrap();
                    assert_eq!(memo.get(&key(n)), Some(answer(n)), "thread {thread}");
                }
            });
        }
    });
    memo.flush().unwrap();
    assert_eq!((memo.answers().len(), memo.answers().damaged()), (500, 0));
    let alone = filled(500);
    assert_eq!(memo.answers().bytes(), fs::metadata(alone.1).unwrap().len(), "no answer is written twice");
}
