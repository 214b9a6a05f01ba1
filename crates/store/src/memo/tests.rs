//! The memo against a plain map, under damage and kills.

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use flow_data::{Id, Value};
use proptest::collection::vec;
use proptest::prelude::*;
use tempfile::TempDir;

use super::Memo;

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
    assert_eq!(memo.len(), n as usize);
    let log = dir.path().join("00000.log");
    assert_eq!(memo.bytes(), fs::metadata(&log).unwrap().len());
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
            prop_assert_eq!(memo.damaged(), 0);
            prop_assert_eq!(memo.len(), ends.len());
            for n in puts {
                memo.put(key(n), &answer(n)).unwrap();
                ends.entry(n).or_insert_with(|| memo.bytes());
            }
            for n in 0..60 {
                prop_assert_eq!(memo.get(&key(n)), ends.contains_key(&n).then(|| answer(n)));
            }
            let left = (memo.bytes() as f64 * left) as u64;
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
        prop_assert_eq!(kept, memo.len(), "every answer that is found is right");
        let n_bytes = bytes.iter().zip(&before).filter(|(a, b)| a != b).count();
        prop_assert!(kept >= 40 - n_bytes, "a damaged byte costs one answer at most: {} kept", kept);
        prop_assert!(n_bytes == 0 || kept < 40);
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
    assert_eq!((memo.len(), memo.damaged(), memo.get(&key(0))), (9, 1, None));
    memo.put(key(0), &answer(0)).unwrap();
    drop(memo);
    let memo = Memo::open(dir.path()).unwrap();
    assert_eq!((memo.len(), memo.get(&key(0))), (10, Some(answer(0))));
}

#[test]
fn an_answer_damaged_while_the_memo_is_open_is_forgotten() {
    let (dir, log) = filled(2);
    let memo = Memo::open(dir.path()).unwrap();
    let mut bytes = fs::read(&log).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&log, &bytes).unwrap();
    assert_eq!((memo.get(&key(1)), memo.damaged()), (None, 1));
    memo.put(key(1), &answer(1)).unwrap();
    assert_eq!((memo.get(&key(1)), memo.get(&key(0))), (Some(answer(1)), Some(answer(0))));
}

#[test]
fn the_first_answer_stands() {
    let (dir, _) = filled(1);
    let memo = Memo::open(dir.path()).unwrap();
    memo.put(key(0), &answer(9)).unwrap();
    assert_eq!((memo.get(&key(0)), memo.len()), (Some(answer(0)), 1));
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
    assert_eq!((first.len(), second.len()), (11, 11));
    let third = Memo::open(dir.path()).unwrap();
    assert_eq!(third.len(), 21);
    assert!((0..20).all(|n| third.get(&key(n)) == Some(answer(n))));
    assert_eq!(third.get(&key(99)), Some(answer(1)));
    drop((first, second, third));
    assert_eq!(Memo::open(dir.path()).unwrap().len(), 21);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3, "free segments are taken up again");
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
    assert_eq!((memo.len(), memo.damaged()), (500, 0));
    let alone = filled(500);
    assert_eq!(memo.bytes(), fs::metadata(alone.1).unwrap().len(), "no answer is written twice");
}
