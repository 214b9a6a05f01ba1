//! Plain scalars by the YAML 1.2 core schema: `no` is text, `010` is ten, `1_000` is text.

use crate::Value;

/// A number that the tree cannot hold; says why.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotANumber(pub(crate) &'static str);

/// What an unquoted scalar says.
pub(crate) fn resolve(text: &str) -> Result<Value, NotANumber> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::Null),
        "true" | "True" | "TRUE" => return Ok(Value::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(text, ".nan" | ".NaN" | ".NAN") || matches!(unsigned, ".inf" | ".Inf" | ".INF") {
        return Err(NotANumber("only finite numbers have a meaning here"));
    }
    if is_all(unsigned, |c| c.is_ascii_digit()) {
        return integer(text.parse());
    }
    if let Some(digits) = text.strip_prefix("0o").filter(|digits| is_all(digits, |c| c.is_digit(8))) {
        return integer(i128::from_str_radix(digits, 8));
    }
    if let Some(digits) = text.strip_prefix("0x").filter(|digits| is_all(digits, |c| c.is_ascii_hexdigit())) {
        return integer(i128::from_str_radix(digits, 16));
    }
    if is_float(unsigned) {
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Value::Float(value)),
            _ => Err(NotANumber("it is beyond the range of 64-bit floats")),
        };
    }
    Ok(Value::Text(text.to_owned()))
}

fn integer(parsed: Result<i128, std::num::ParseIntError>) -> Result<Value, NotANumber> {
    match parsed {
        Ok(value) if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&value) => Ok(Value::Int(value)),
        _ => Err(NotANumber("it does not fit into 64 bits")),
    }
}

/// `.5`, `5.`, `5.5`, each with an optional exponent, or digits with an exponent.
fn is_float(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (text, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| is_all(exponent, |c| c.is_ascii_digit()))
}

fn is_all(text: &str, test: impl Fn(char) -> bool) -> bool {
    !text.is_empty() && text.chars().all(test)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_decides() {
        let text = |text: &str| Value::Text(text.to_owned());
        for (plain, value) in [
            ("", Value::Null),
            ("~", Value::Null),
            ("True", Value::Bool(true)),
            ("yes", text("yes")),
            ("off", text("off")),
            ("010", Value::Int(10)),
            ("+7", Value::Int(7)),
            ("-7", Value::Int(-7)),
            ("0o17", Value::Int(15)),
            ("0xff", Value::Int(255)),
            ("-0xff", text("-0xff")),
            ("18446744073709551615", Value::Int(i128::from(u64::MAX))),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("5.", Value::Float(5.0)),
            ("-5e-1", Value::Float(-0.5)),
            ("1_000", text("1_000")),
            ("1e", text("1e")),
            (".", text(".")),
            ("-", text("-")),
            ("1.2.3", text("1.2.3")),
            ("e5", text("e5")),
            ("infinity", text("infinity")),
            ("256MiB", text("256MiB")),
        ] {
            assert_eq!(resolve(plain), Ok(value), "{plain}");
        }
        for beyond in [".nan", "-.inf", "1e999", "18446744073709551616", "-9223372036854775809"] {
            assert!(resolve(beyond).is_err(), "{beyond}");
        }
    }
}
