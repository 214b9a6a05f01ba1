//! Arrow arrays, ours and others', to values.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, StringArrayType};
use arrow_schema::DataType;
use flow_data::Value;

/// A cell that no value can hold.
pub(super) struct Unfit {
    /// Position in the array.
    pub(super) at: usize,
    /// Why not, in words.
    pub(super) reason: String,
}

/// The values of an array whose type is one that columns can have.
pub(super) fn values(array: &dyn Array) -> Result<Vec<Value>, Unfit> {
    use DataType::*;
    match array.data_type() {
        Null => Ok(vec![Value::Null; array.len()]),
        Boolean => Ok(array.as_boolean().iter().map(Value::from).collect()),
        Int8 => ints::<Int8Type>(array),
        Int16 => ints::<Int16Type>(array),
        Int32 => ints::<Int32Type>(array),
        Int64 => ints::<Int64Type>(array),
        UInt8 => ints::<UInt8Type>(array),
        UInt16 => ints::<UInt16Type>(array),
        UInt32 => ints::<UInt32Type>(array),
        UInt64 => ints::<UInt64Type>(array),
        Float32 => Ok(floats::<Float32Type>(array)),
        Float64 => Ok(floats::<Float64Type>(array)),
        Utf8 => Ok(texts(array.as_string::<i32>())),
        LargeUtf8 => Ok(texts(array.as_string::<i64>())),
        Utf8View => Ok(texts(array.as_string_view())),
        Dictionary(..) => dictionary(array),
        List(_) => lists(array.as_list::<i32>().iter()),
        LargeList(_) => lists(array.as_list::<i64>().iter()),
        FixedSizeList(..) => lists(array.as_fixed_size_list().iter()),
        other => Err(Unfit { at: 0, reason: format!("its type {other} is not supported") }),
    }
}

fn ints<T: ArrowPrimitiveType>(array: &dyn Array) -> Result<Vec<Value>, Unfit>
where
    T::Native: TryInto<i64> + std::fmt::Display,
{
    let value = |(at, cell): (usize, Option<T::Native>)| {
        let too_large = |n| Unfit { at, reason: format!("{n} does not fit 64 bits with a sign") };
        let int = |n: T::Native| n.try_into().map(Value::Int).map_err(|_| too_large(n));
        cell.map_or(Ok(Value::Null), int)
    };
    array.as_primitive::<T>().iter().enumerate().map(value).collect()
}

fn floats<T: ArrowPrimitiveType>(array: &dyn Array) -> Vec<Value>
where
    T::Native: Into<f64>,
{
    array.as_primitive::<T>().iter().map(|cell| Value::from(cell.map(Into::<f64>::into))).collect()
}

/// A text that says what the one before says shares its value: columns often have long runs.
fn texts<'a>(array: impl StringArrayType<'a>) -> Vec<Value> {
    let mut values = Vec::with_capacity(array.len());
    for text in array.iter() {
        values.push(match (text, values.last()) {
            (Some(text), Some(Value::Text(before))) if **before == *text => Value::Text(before.clone()),
            (text, _) => text.into(),
        });
    }
    values
}

/// Equal cells share one value.
fn dictionary(array: &dyn Array) -> Result<Vec<Value>, Unfit> {
    let array = array.as_any_dictionary();
    let distinct = values(array.values())?;
    if distinct.is_empty() {
        return Ok(vec![Value::Null; array.len()]);
    }
    let value =
        |(at, key): (usize, usize)| if array.is_null(at) { Value::Null } else { distinct[key].clone() };
    Ok(array.normalized_keys().into_iter().enumerate().map(value).collect())
}

fn lists(lists: impl Iterator<Item = Option<ArrayRef>>) -> Result<Vec<Value>, Unfit> {
    let value = |(at, items): (usize, Option<ArrayRef>)| match items {
        None => Ok(Value::Null),
        Some(items) => list(&items).map_err(|reason| Unfit { at, reason }),
    };
    lists.enumerate().map(value).collect()
}

/// One list. Floats of 64 bits are rounded to 32.
fn list(items: &ArrayRef) -> Result<Value, String> {
    match items.data_type() {
        DataType::Float32 if items.null_count() == 0 => {
            Ok(Value::Floats(items.as_primitive::<Float32Type>().values().as_ref().into()))
        }
        DataType::Float32 | DataType::Float64 => number_list(items),
        DataType::Struct(_) => {
            let messages = items.as_struct();
            let field = |name| messages.column_by_name(name).ok_or(format!("a message has no {name}"));
            let (roles, contents) = (list_texts(field("role")?)?, list_texts(field("content")?)?);
            if messages.null_count() > 0 {
                return Err("null in the list".to_owned());
            }
            let turns = roles.into_iter().zip(contents).flat_map(|(role, content)| [role, content]);
            Ok(Value::Texts(turns.collect()))
        }
        _ => Ok(Value::Texts(list_texts(items)?.into())),
    }
}

fn number_list(items: &ArrayRef) -> Result<Value, String> {
    let number = |value| match value {
        Value::Float(value) => Ok(value as f32),
        _ => Err("null in the list".to_owned()),
    };
    let numbers = values(items).map_err(|unfit| unfit.reason)?.into_iter().map(number);
    Ok(Value::Floats(numbers.collect::<Result<Vec<_>, _>>()?.into()))
}

fn list_texts(items: &ArrayRef) -> Result<Vec<Arc<str>>, String> {
    let text = |value| match value {
        Value::Text(text) => Ok(text),
        _ => Err("null in the list".to_owned()),
    };
    values(items).map_err(|unfit| unfit.reason)?.into_iter().map(text).collect()
}
