//! A file that is read again gives what it gives when it is read for the first time.

use std::fs;

use flow_data::{Heap, Row};
use flow_dataflow::{SourceError, SourceRows};
use proptest::prelude::*;

use crate::testing::source;

/// Rows and rejected rows, or why there are none.
type Found = Result<(Vec<Row>, Vec<Row>), SourceError>;

fn found(rows: &Result<SourceRows, SourceError>) -> Found {
    let rows = rows.as_ref().map_err(Clone::clone)?;
    Ok((rows.rows().to_vec(), rows.rejected().to_vec()))
}

/// A line of a file: prompts repeat, in places near and far; some lines are blank, malformed or lack a field.
fn line(at: usize, text: u8) -> String {
    let prompt = if text.is_multiple_of(4) { at % 700 } else { at / 5 };
    match text {
        251 => "\n".to_owned(),
        252 => "no object\n".to_owned(),
        253 => format!("{{\"prompt\": \"{prompt}\"}}\n"),
        254 => "{\"prompt\": null, \"completion\": \"x\"}\n".to_owned(),
        255 => format!("{{\"prompt\": \"{prompt}\", \"completion\": \"x\", \"sample_index\": 3}}\n"),
        _ => format!(
            "{{\"prompt\": \"{prompt}\", \"answer\": \"{}\", \"completion\": \"{text}\"}}\n",
            text % 5
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn reading_again_is_reading(
        texts in prop::collection::vec(0_u8..40, 1200..1800),
        edits in prop::collection::vec((0_u8..6, any::<u16>(), any::<u8>()), 1..10),
        limit in prop_oneof![Just(100_000_usize), 500_usize..1500],
        n_files in 1_usize..4,
        draws in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let op = if draws { "replay" } else { "read" };
        let path = folder.path().display();
        let (_plan, source) = source(&format!("op: {op}, path: {path}, limit: {limit}"));
        let heap = Heap::new();
        let mut lines: Vec<String> = texts.iter().enumerate().map(|(at, text)| line(at, *text)).collect();
        let mut before = SourceRows::default();
        for (what, at, text) in edits {
            for (at, lines) in lines.chunks(lines.len().div_ceil(n_files)).enumerate() {
                fs::write(folder.path().join(format!("rows-{at}.jsonl")), lines.concat()).unwrap();
            }
            let again = SourceRows::read(&*source, &heap, 0, &before);
            let fresh = SourceRows::read(&*source, &heap, 0, &SourceRows::default());
            prop_assert_eq!(found(&again), found(&fresh));
            if let Ok(again) = again {
                before = again;
            }
            let at = usize::from(at) % lines.len();
            match what {
                0 => drop(lines.remove(at)),
                1 => lines.insert(at, line(at, text)),
                2 => lines.truncate(lines.len().max(2) - 1),
                _ => lines[at] = line(at, text),
            }
        }
    }
}

#[test]
fn a_name_that_stands_in_another_block_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let line = |at: usize| format!("{{\"prompt_id\": \"{at}\", \"prompt\": \"{at}\"}}\n");
    let (_plan, source) = source(&format!("op: read, path: {}", path.display()));
    let heap = Heap::new();
    let mut lines: Vec<String> = (0..2000).map(line).collect();
    fs::write(&path, lines.concat()).unwrap();
    let before = SourceRows::read(&*source, &heap, 0, &SourceRows::default()).unwrap();
    lines[1500] = line(3);
    fs::write(&path, lines.concat()).unwrap();
    let Err(error) = SourceRows::read(&*source, &heap, 0, &before) else { panic!("an id stands twice") };
    assert!(error.message.contains("rows.jsonl:4 and at") && error.message.contains(":1501"), "{error}");
}
