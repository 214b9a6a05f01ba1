//! Pairs that are not the same answer: none may be accepted, and nearly all are told apart.

use std::collections::BTreeMap;

use flow_verify::{Compare, Options, Outcome, Percent, compare, compare_with};

/// The kind and both answers of every row.
fn rows() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    include_str!("false_accepts.tsv").lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut fields = line.split('\t');
        let mut field = || fields.next().expect("three fields");
        (field(), field(), field())
    })
}

#[test]
fn none_is_accepted() {
    let (mut count, mut different) = (0, 0);
    let mut undecided = BTreeMap::new();
    let mut accepted = Vec::new();
    for (kind, a, b) in rows() {
        let verdict = compare(a, b, Compare::Math);
        assert_eq!(verdict.outcome, compare(b, a, Compare::Math).outcome, "{kind}: {a} and {b}");
        count += 1;
        match verdict.outcome {
            Outcome::Different => different += 1,
            Outcome::Equal => accepted.push((kind, a, b, verdict.method)),
            Outcome::Unknown => undecided.entry(kind).or_insert_with(Vec::new).push((a, b, verdict.method)),
        }
    }
    assert!(accepted.is_empty(), "{accepted:#?}");
    assert!(count >= 300, "{count}");
    assert!(different * 100 >= count * 90, "{different} of {count}: {undecided:#?}");
}

#[test]
fn each_is_what_it_says_it_is() {
    let options = Options { percent: Percent::Value, ..Options::default() };
    let mut refused = Vec::new();
    for text in rows().flat_map(|(_, a, b)| [a, b]) {
        let itself = compare_with(text, text, &options);
        if itself.outcome != Outcome::Equal {
            refused.push((text, itself.method));
        }
    }
    assert!(refused.is_empty(), "{refused:#?}");
}
