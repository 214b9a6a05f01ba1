//! What a file is that has no line with a JSON object, and what to do about it.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes that are looked at.
const START: u64 = 64;

/// What to do about the file at `path`, none of whose lines is a JSON object.
pub(super) fn advice(path: &Path) -> String {
    let mut start = Vec::new();
    // What cannot be read is told by its first line.
    let _ = File::open(path).and_then(|file| file.take(START).read_to_end(&mut start));
    of_start(&start).replace("FILE", &path.display().to_string())
}

fn of_start(start: &[u8]) -> &'static str {
    let packed: [&[u8]; 5] = [b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK", b"BZh", b"\xfd7zXZ"];
    let is_utf16 =
        [&b"\xff\xfe"[..], b"\xfe\xff"].iter().any(|mark| start.starts_with(mark)) || start.contains(&0);
    match start.trim_ascii_start().strip_prefix(b"\xef\xbb\xbf").unwrap_or(start.trim_ascii_start()).first() {
        _ if packed.iter().any(|magic| start.starts_with(magic)) => "the file is compressed: unpack it first",
        _ if start.starts_with(b"PAR1") => "the file is Parquet: write `format: parquet`",
        _ if is_utf16 => {
            "the file is no UTF-8 text; of UTF-16 make it by `iconv -f UTF-16 -t UTF-8 FILE > lines.jsonl`"
        }
        Some(b'[') => {
            "the file is one JSON list; make a line of each item by `jq -c '.[]' FILE > lines.jsonl`"
        }
        Some(b'{') => "an object must stand on one line; make it so by `jq -c . FILE > lines.jsonl`",
        _ => "expected one JSON object a line",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_taken_for_lines_are_recognised() {
        for (start, expected) in [
            (&b"\x1f\x8b\x08"[..], "compressed"),
            (b"PAR1\x15", "Parquet"),
            (b"\xff\xfe{\0\"\0", "UTF-16"),
            (b"{\0\"\0a\0", "UTF-16"),
            (b" \n[{\"a\": 1}]", "one JSON list"),
            (b"\xef\xbb\xbf[", "one JSON list"),
            (b"{\n  \"a\": 1", "on one line"),
            (b"a,b\n1,2", "one JSON object a line"),
            (b"", "one JSON object a line"),
        ] {
            assert!(of_start(start).contains(expected), "{start:?}: {}", of_start(start));
        }
    }
}
