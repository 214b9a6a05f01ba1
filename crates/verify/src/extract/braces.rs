//! Groups in braces.

/// Bytes before the brace that closes the group that `bytes` is inside of.
pub(super) fn closing(bytes: &[u8]) -> Option<usize> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (i, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => {}
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(i),
            b'}' => depth -= 1,
            _ => {}
        }
        escaped = *byte == b'\\' && !escaped;
    }
    None
}
