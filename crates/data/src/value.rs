//! One cell of a record, and its byte encoding.

use std::sync::Arc;

use crate::Type;

/// One cell. Texts and lists are shared, so that a clone costs a reference count.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// Truth.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A 64-bit float.
    Float(f64),
    /// UTF-8 text.
    Text(Arc<str>),
    /// A list of texts.
    Texts(Arc<[Arc<str>]>),
    /// A list of 32-bit floats.
    Floats(Arc<[f32]>),
}

impl Value {
    /// The type of this value; `None` for null, which every nullable column holds.
    pub fn kind(&self) -> Option<Type> {
        Some(match self {
            Value::Null => return None,
            Value::Bool(_) => Type::Bool,
            Value::Int(_) => Type::Int,
            Value::Float(_) => Type::Float,
            Value::Text(_) => Type::Text,
            Value::Texts(_) => Type::Texts,
            Value::Floats(_) => Type::Floats,
        })
    }

    /// A list of texts.
    pub fn texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Value::Texts(texts.into_iter().map(Arc::from).collect())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Value::Float(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::Text(value.into())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::Text(value.into())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// Appends the encoding of `values` to `bytes`: a tag byte each, then little-endian content, lengths as u32.
///
/// The encoding is canonical (equal values, equal bytes), which is what content hashes and the memo rest on.
pub fn encode(values: &[Value], bytes: &mut Vec<u8>) {
    for value in values {
        match value {
            Value::Null => bytes.push(0),
            Value::Bool(value) => bytes.extend([1, u8::from(*value)]),
            Value::Int(value) => {
                bytes.push(2);
                bytes.extend(value.to_le_bytes());
            }
            Value::Float(value) => {
                bytes.push(3);
                bytes.extend(value.to_bits().to_le_bytes());
            }
            Value::Text(text) => {
                bytes.push(4);
                put_text(text, bytes);
            }
            Value::Texts(texts) => {
                bytes.push(5);
                put_len(texts.len(), bytes);
                texts.iter().for_each(|text| put_text(text, bytes));
            }
            Value::Floats(floats) => {
                bytes.push(6);
                put_len(floats.len(), bytes);
                floats.iter().for_each(|float| bytes.extend(float.to_bits().to_le_bytes()));
            }
        }
    }
}

fn put_len(len: usize, bytes: &mut Vec<u8>) {
    let len = u32::try_from(len).expect("a cell holds less than 4 GiB: readers bound their rows");
    bytes.extend(len.to_le_bytes());
}

fn put_text(text: &str, bytes: &mut Vec<u8>) {
    put_len(text.len(), bytes);
    bytes.extend(text.as_bytes());
}

/// The bytes are not an encoding made by [`encode`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an encoded record: {0}")]
pub struct DecodeError(&'static str);

/// The values that [`encode`] wrote; errs on anything else, never panics.
pub fn decode(bytes: &[u8]) -> Result<Vec<Value>, DecodeError> {
    let mut reader = Reader(bytes);
    let mut values = Vec::new();
    while !reader.0.is_empty() {
        values.push(reader.value()?);
    }
    Ok(values)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.0.split_at_checked(n).ok_or(DecodeError("cut short"))?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        Ok(self.take(N)?.try_into().expect("take returns exactly N bytes"))
    }

    fn len(&mut self) -> Result<usize, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn text(&mut self) -> Result<Arc<str>, DecodeError> {
        let len = self.len()?;
        std::str::from_utf8(self.take(len)?).map(Arc::from).map_err(|_| DecodeError("text is not UTF-8"))
    }

    fn value(&mut self) -> Result<Value, DecodeError> {
        Ok(match self.take(1)?[0] {
            0 => Value::Null,
            1 => match self.take(1)?[0] {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(DecodeError("a truth value is 0 or 1")),
            },
            2 => Value::Int(i64::from_le_bytes(self.array()?)),
            3 => Value::Float(f64::from_bits(u64::from_le_bytes(self.array()?))),
            4 => Value::Text(self.text()?),
            5 => {
                let len = self.len()?;
                Value::Texts((0..len).map(|_| self.text()).collect::<Result<Vec<_>, _>>()?.into())
            }
            6 => {
                let len = self.len()?;
                let floats = self.take(len.checked_mul(4).ok_or(DecodeError("cut short"))?)?;
                let float = |bytes: &[u8]| {
                    f32::from_le_bytes(bytes.try_into().expect("chunks_exact(4) yields 4 bytes"))
                };
                Value::Floats(floats.chunks_exact(4).map(float).collect())
            }
            _ => return Err(DecodeError("unknown tag")),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::Int),
            (-1e9..1e9).prop_map(Value::Float),
            ".*".prop_map(Value::from),
            proptest::collection::vec(".{0,5}", 0..4)
                .prop_map(|v| Value::texts(v.iter().map(String::as_str))),
            proptest::collection::vec(-1f32..1., 0..5).prop_map(|v| Value::Floats(v.into())),
        ]
    }

    proptest! {
        #[test]
        fn encoding_round_trips(values in proptest::collection::vec(value(), 0..8)) {
            let mut bytes = Vec::new();
            encode(&values, &mut bytes);
            prop_assert_eq!(decode(&bytes).unwrap(), values);
        }

        #[test]
        fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = decode(&bytes);
        }
    }
}
