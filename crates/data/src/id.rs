//! 128-bit content identities.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::io::{self, Read};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The most that each thread keeps allocated for the next identity.
const KEPT_BYTES: usize = 1 << 16;

/// The first 16 bytes of a BLAKE3 hash: who a row is, what a record says, which weights a model has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Id(pub [u8; 16]);

impl Id {
    /// The identity of a sequence of parts; each part's length is hashed too, so that parts cannot run together.
    pub fn of<'a>(domain: &str, parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        // One call on joined bytes: a hasher that is fed in pieces costs several times as much for short inputs.
        thread_local! {
            static JOINED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
        }
        let mut joined = JOINED.take();
        joined.clear();
        put(domain.as_bytes(), &mut joined);
        parts.into_iter().for_each(|part| put(part, &mut joined));
        let id = Id::cut(&blake3::hash(&joined));
        if joined.capacity() <= KEPT_BYTES {
            JOINED.set(joined);
        }
        id
    }

    fn cut(hash: &blake3::Hash) -> Self {
        let mut id = Id::default();
        id.0.copy_from_slice(&hash.as_bytes()[..16]);
        id
    }

    /// The leading 64 bits, uniformly distributed: for partitioning and exchange.
    pub fn leading(&self) -> u64 {
        u64::from_be_bytes(self.0[..8].try_into().expect("the first half of 16 bytes is 8 bytes"))
    }

    /// This identity re-hashed under `salt`: an independent uniform rank of the same row.
    pub fn ranked(&self, salt: &str) -> Id {
        Id::of(salt, [self.0.as_slice()])
    }
}

/// A map by identity. Identities are hashes: the table takes their bits as they are.
pub type IdMap<V> = HashMap<Id, V, BuildHasherDefault<IdBits>>;

/// Passes on the last eight bytes it is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdBits(u64);

impl Hasher for IdBits {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(last) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*last);
        }
    }

    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Appends a part with its length before it.
fn put(part: &[u8], bytes: &mut Vec<u8>) {
    bytes.extend((part.len() as u64).to_le_bytes());
    bytes.extend(part);
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (digits, byte) in text.chunks_exact_mut(2).zip(self.0) {
            digits.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        f.write_str(std::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not 32 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("an id has 32 hexadecimal digits, not `{0}`")]
pub struct ParseIdError(String);

impl FromStr for Id {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseIdError(text.to_owned());
        if text.len() != 32 || !text.is_ascii() {
            return Err(error());
        }
        let mut id = Id::default();
        for (byte, digits) in id.0.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| error())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| error())?;
        }
        Ok(id)
    }
}

/// Builds an [`Id`] part by part.
pub struct IdHasher(blake3::Hasher);

/// Bytes that are read at a time.
const PIECE: usize = 1 << 16;

impl IdHasher {
    /// A hasher for one domain: equal parts under different domains give different identities.
    pub fn new(domain: &str) -> Self {
        let mut hasher = Self(blake3::Hasher::new());
        hasher.part(domain.as_bytes());
        hasher
    }

    /// Adds one part.
    pub fn part(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// Adds one part of `len` bytes, a piece at a time. A part that has ended before, or goes on, is another one.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn part_of(&mut self, len: u64, mut bytes: impl Read) -> io::Result<&mut Self> {
        self.0.update(&len.to_le_bytes());
        let mut piece = vec![0; PIECE];
        loop {
            match bytes.read(&mut piece)? {
                0 => return Ok(self),
                n => _ = self.0.update(&piece[..n]),
            }
        }
    }

    /// The identity of the parts so far.
    pub fn finish(&self) -> Id {
        Id::cut(&self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(Id::of("t", [b"ab".as_slice(), b"c"]), Id::of("t", [b"a".as_slice(), b"bc"]));
        assert_ne!(Id::of("t", [b"ab".as_slice()]), Id::of("u", [b"ab".as_slice()]));
        let piecewise = IdHasher::new("t").part(b"ab").part(b"c").finish();
        assert_eq!(Id::of("t", [b"ab".as_slice(), b"c"]), piecewise);
        let long = vec![7; PIECE + 3];
        let read = IdHasher::new("t").part_of(long.len() as u64, long.as_slice()).unwrap().finish();
        assert_eq!(Id::of("t", [long.as_slice()]), read);
    }

    #[test]
    fn text_round_trips() {
        let id = Id::of("t", [b"x".as_slice()]);
        assert_eq!(id.to_string().parse::<Id>().unwrap(), id);
        assert!("zz".parse::<Id>().is_err());
    }
}
