//! Critiques that real models wrote.

mod common;

use common::{field, shared};
use flow_verify::Critique;
use serde_json::Value;

#[test]
fn real_critiques_are_read() {
    let cases = [("gsm8k", 97), ("math", 98)];
    for (name, expected) in cases {
        let Some(path) = shared(&format!("critique/mathcritique/{name}_critique_refine.json")) else {
            return;
        };
        let text = std::fs::read_to_string(path).expect("the file can be read");
        let rows: Vec<Value> = serde_json::from_str(&text).expect("rows");
        let read: Vec<Critique> = rows.iter().filter_map(|row| read(field(row, "instruction"))).collect();
        // The others give the verdict of the answer inside a step, or a label that is no label.
        assert_eq!((rows.len(), read.len()), (100, expected));
        for critique in read {
            assert_eq!(critique.to_string().parse(), Ok(critique.clone()));
            // One critique calls the answer correct, and none of its steps wrong.
            assert!(critique.answer.correct || critique.first_wrong().is_some(), "{critique}");
        }
    }
}

fn read(instruction: &str) -> Option<Critique> {
    let (_, critique) = instruction.rsplit_once("Human:").expect("a critique");
    critique.parse().ok()
}
