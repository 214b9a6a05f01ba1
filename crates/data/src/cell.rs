//! One cell as it lies in memory: a view that copies no text.

use std::sync::Arc;

use crate::Value;

/// A borrowed [`Value`], taken from values or straight from their encoding.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// Truth.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Float(f64),
    /// UTF-8 text.
    Text(&'a str),
    /// A list of texts.
    Texts(Texts<'a>),
    /// A list of 32-bit floats.
    Floats(Floats<'a>),
}

/// A list of texts; by default empty.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a>(List<'a, Arc<str>>);

/// A list of 32-bit floats; by default empty.
#[derive(Clone, Copy, Debug)]
pub struct Floats<'a>(List<'a, f32>);

/// Either form of a list of values: a cell is no larger than either.
#[derive(Debug)]
enum List<'a, T> {
    Plain(&'a [T]),
    Encoded { bytes: &'a [u8], len: u32 },
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl Default for Texts<'_> {
    fn default() -> Self {
        Self(List::Plain(&[]))
    }
}

impl Default for Floats<'_> {
    fn default() -> Self {
        Self(List::Plain(&[]))
    }
}

impl<'a, T> List<'a, T> {
    fn len(&self) -> usize {
        match self {
            List::Plain(values) => values.len(),
            List::Encoded { len, .. } => *len as usize,
        }
    }

    /// What is encoded, and what is not: one of them is empty.
    fn parts(self) -> (&'a [u8], &'a [T]) {
        match self {
            List::Plain(values) => (&[], values),
            List::Encoded { bytes, .. } => (bytes, &[]),
        }
    }
}

impl<'a> Cell<'a> {
    /// The one cell that `bytes` encode. Panics on bytes that [`crate::encode`] did not write.
    pub(crate) fn decode(bytes: &'a [u8]) -> Self {
        let (tag, content) = bytes.split_first().expect("an encoded cell begins with its tag");
        match tag {
            0 => Cell::Null,
            1 => Cell::Bool(content[0] == 1),
            2 => Cell::Int(i64::from_le_bytes(number(content))),
            3 => Cell::Float(f64::from_bits(u64::from_le_bytes(number(content)))),
            4 => Cell::Text(text(&content[LEN..])),
            5 => Cell::Texts(Texts(encoded(content))),
            6 => Cell::Floats(Floats(encoded(content))),
            _ => unreachable!("the encoding has seven tags"),
        }
    }

    /// The cell as a value of its own.
    pub fn to_value(self) -> Value {
        match self {
            Cell::Null => Value::Null,
            Cell::Bool(value) => Value::Bool(value),
            Cell::Int(value) => Value::Int(value),
            Cell::Float(value) => Value::Float(value),
            Cell::Text(text) => text.into(),
            Cell::Texts(texts) => Value::texts(texts.iter()),
            Cell::Floats(floats) => Value::Floats(floats.iter().collect()),
        }
    }
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Cell::Null,
            Value::Bool(value) => Cell::Bool(*value),
            Value::Int(value) => Cell::Int(*value),
            Value::Float(value) => Cell::Float(*value),
            Value::Text(text) => Cell::Text(text),
            Value::Texts(texts) => Cell::Texts(Texts(List::Plain(texts))),
            Value::Floats(floats) => Cell::Floats(Floats(List::Plain(floats))),
        }
    }
}

impl<'a> Texts<'a> {
    /// Number of texts.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The texts in order.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let (mut rest, plain) = self.0.parts();
        let encoded = std::iter::from_fn(move || {
            let (head, tail) = rest.get(LEN..)?.split_at(len(rest));
            rest = tail;
            Some(text(head))
        });
        plain.iter().map(|text| &**text).chain(encoded)
    }
}

impl<'a> Floats<'a> {
    /// Number of floats.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The floats in order.
    pub fn iter(self) -> impl Iterator<Item = f32> + 'a {
        let (encoded, plain) = self.0.parts();
        let float = |bytes: &[u8]| f32::from_bits(u32::from_le_bytes(number(bytes)));
        plain.iter().copied().chain(encoded.chunks_exact(size_of::<f32>()).map(float))
    }
}

/// Bytes of a length in the encoding.
const LEN: usize = size_of::<u32>();

fn number<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("a slice of N bytes")
}

fn len(bytes: &[u8]) -> usize {
    u32::from_le_bytes(number(bytes)) as usize
}

/// The list whose encoding, its length first, is `content`.
fn encoded<T>(content: &[u8]) -> List<'_, T> {
    List::Encoded { bytes: &content[LEN..], len: u32::from_le_bytes(number(content)) }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("only UTF-8 was encoded")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::encode;
    use crate::value::tests::value;

    proptest! {
        #[test]
        fn a_view_says_what_the_value_says(value in value()) {
            let mut bytes = Vec::new();
            encode(std::slice::from_ref(&value), &mut bytes);
            prop_assert_eq!(&Cell::decode(&bytes).to_value(), &value);
            prop_assert_eq!(&Cell::from(&value).to_value(), &value);
        }
    }

    #[test]
    fn lists_know_their_length() {
        let value = Value::texts(["a", "", "bc"]);
        let Cell::Texts(texts) = Cell::from(&value) else { panic!("a list of texts") };
        assert_eq!((texts.len(), texts.is_empty(), texts.iter().count()), (3, false, 3));
        let mut bytes = Vec::new();
        encode(&[Value::Floats([1.0, 2.0].into())], &mut bytes);
        let Cell::Floats(floats) = Cell::decode(&bytes) else { panic!("a list of floats") };
        assert_eq!((floats.len(), floats.iter().sum::<f32>()), (2, 3.0));
    }
}
