//! Tokenizers: byte-exact round trips, digits one by one, and agreement with recorded encodings.
#![allow(clippy::print_stdout, reason = "a test says when its data is absent")]

use std::path::Path;

use flow_model::Tokenizer;
use proptest::prelude::*;

const TEXTS: [&str; 3] =
    ["Ann has 12 pens. Gets 7.\n12+7=19\n#### 19", "Bob has 305 pens. Times 2.", "naïve 猫 🙂\t\0"];

fn trained() -> Tokenizer {
    Tokenizer::train_byte_bpe(&TEXTS, 300, &["<|end|>", "<|pad|>"]).expect("trains")
}

#[test]
fn decoding_inverts_encoding_for_any_text() {
    let tokenizer = trained();
    for text in TEXTS.into_iter().chain(["", " ", "  a  ", "\r\n", "Ωmega 𝄞 \u{fffd}"]) {
        let ids = tokenizer.encode(text).expect("encodes");
        assert_eq!(tokenizer.decode(&ids).expect("decodes"), text);
    }
}

proptest! {
    #[test]
    fn decoding_inverts_encoding_for_random_text(text in "\\PC*|[ -~\n\t]*") {
        let tokenizer = trained();
        let ids = tokenizer.encode(&text).expect("encodes");
        prop_assert_eq!(tokenizer.decode(&ids).expect("decodes"), text);
    }
}

#[test]
fn every_digit_is_one_token() {
    let tokenizer = trained();
    let ids = tokenizer.encode("1234567890").expect("encodes");
    let digits: Vec<String> = ids.iter().map(|&id| tokenizer.decode(&[id]).expect("decodes")).collect();
    assert_eq!(digits.concat(), "1234567890");
    assert_eq!(digits.len(), 10);
    let merged = tokenizer.encode(" pens pens").expect("encodes");
    assert!(merged.len() < " pens pens".len(), "letters do merge: {merged:?}");
}

#[test]
fn special_tokens_come_first_and_are_not_decoded() {
    let tokenizer = trained();
    assert_eq!((tokenizer.id("<|end|>"), tokenizer.id("<|pad|>")), (Some(0), Some(1)));
    let mut ids = tokenizer.encode("Ann").expect("encodes");
    ids.push(0);
    assert_eq!(tokenizer.decode(&ids).expect("decodes"), "Ann");
}

#[test]
fn two_tokens_with_one_id_are_refused() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let path = dir.path().join("tokenizer.json");
    let text = trained().json().replacen("\"a\":", "\"twice\":", 1);
    let id = trained().id("a").expect("a byte");
    let twice = text.replacen("\"vocab\":{", &format!("\"vocab\":{{\"a\":{id},"), 1);
    std::fs::write(&path, twice).expect("writes");
    let error = Tokenizer::load(&path).expect_err("which one it is would be left to chance").to_string();
    assert_eq!(error, format!("tokenizer: `a` and `twice` have the same id, {id}"));
}

#[test]
fn training_is_reproducible_and_its_size_is_bounded() {
    assert_eq!(trained().digest(), trained().digest());
    assert!(trained().vocab_size() <= 300);
    let error = Tokenizer::train_byte_bpe(&TEXTS, 256, &["<|end|>"]).expect_err("no room for the bytes");
    assert!(error.to_string().contains("at least 257"), "{error}");
}

#[test]
fn recorded_encodings_are_met() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/models/stories260k");
    if !dir.exists() {
        println!("skipped: {} is absent", dir.display());
        return;
    }
    let tokenizer = Tokenizer::load(&dir.join("hf/tokenizer.json")).expect("loads");
    let golden = std::fs::read_to_string(dir.join("golden/encode.jsonl")).expect("reads");
    assert!(golden.lines().count() > 100);
    for line in golden.lines() {
        let case: serde_json::Value = serde_json::from_str(line).expect("parses");
        let text = case["text"].as_str().expect("a text");
        let encoded = tokenizer.encode(text).expect("encodes");
        assert_eq!(serde_json::json!(encoded), case["ids"], "{text:?}");
        assert_eq!(tokenizer.encode_continuation(text).expect("encodes")[..], encoded[1..], "{text:?}");
    }
}
