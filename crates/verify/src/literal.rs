//! One unsigned decimal literal: digits, thousands separators, a decimal point, an exponent.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Pow, Zero};

/// Longest literal that is given a value, in digits.
const MAX_DIGITS: usize = 1000;
/// Largest power of ten that is given a value, either sign.
const MAX_EXPONENT: i32 = 300;

/// A literal as it stands at the start of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Literal<'a> {
    /// The slice it takes, separators and exponent included.
    pub text: &'a str,
    /// Digits written after the decimal point.
    pub fraction_digits: usize,
    /// Length of the part before the exponent, in bytes.
    mantissa_len: usize,
}

/// The literal that `text` starts with.
///
/// Thousands are read only where the grouping is exact (`1,234,567`): `1,22` is the literal `1`. A period
/// belongs to the number only when a digit follows, so a sentence may end with one.
pub(crate) fn scan(text: &str) -> Option<Literal<'_>> {
    let bytes = text.as_bytes();
    let whole = count_digits(bytes);
    let whole_len = grouped_len(bytes, whole).unwrap_or(whole);
    let fraction_digits = match bytes.get(whole_len) {
        Some(b'.') => count_digits(&bytes[whole_len + 1..]),
        _ => 0,
    };
    if whole_len == 0 && fraction_digits == 0 {
        return None;
    }
    let mantissa_len = if fraction_digits == 0 { whole_len } else { whole_len + 1 + fraction_digits };
    let len = mantissa_len + exponent_len(&bytes[mantissa_len..]);
    Some(Literal { text: &text[..len], fraction_digits, mantissa_len })
}

impl Literal<'_> {
    /// The exact value; none when it is too long or its exponent too large to be worth it.
    pub(crate) fn value(&self) -> Option<BigRational> {
        let mantissa = &self.text[..self.mantissa_len];
        if mantissa.len() > MAX_DIGITS {
            return None;
        }
        let scale = self.exponent()? - i32::try_from(self.fraction_digits).ok()?;
        Some(scaled(digits_value(mantissa), scale))
    }

    /// Digits from the first that is not zero; the digits of `0.050` are 50.
    pub(crate) fn significant_digits(&self) -> usize {
        let digits = self.text[..self.mantissa_len].bytes().filter(u8::is_ascii_digit);
        digits.skip_while(|digit| *digit == b'0').count()
    }

    /// Whether it is digits only: no separator, point or exponent.
    pub(crate) fn is_plain_integer(&self) -> bool {
        self.text.bytes().all(|byte| byte.is_ascii_digit())
    }

    fn exponent(&self) -> Option<i32> {
        let written = &self.text[self.mantissa_len..];
        if written.is_empty() {
            return Some(0);
        }
        written[1..].parse().ok().filter(|exponent: &i32| exponent.abs() <= MAX_EXPONENT)
    }
}

/// `value` times ten to the `scale`.
fn scaled(value: BigInt, scale: i32) -> BigRational {
    match scale {
        0 => BigRational::from_integer(value),
        1.. => BigRational::from_integer(value * power_of_ten(scale.unsigned_abs())),
        _ => decimal(value, scale.unsigned_abs()),
    }
}

/// `digits` over ten to the `places`, in lowest terms: only twos and fives can be common to both.
fn decimal(digits: BigInt, places: u32) -> BigRational {
    let Some(twos) = digits.trailing_zeros() else { return BigRational::zero() };
    let twos = u32::try_from(twos).map_or(places, |twos| twos.min(places));
    let mut over = digits >> twos;
    let mut fives = places;
    while fives > 0 && (&over % 5_u32).is_zero() {
        over /= 5_u32;
        fives -= 1;
    }
    let under = match 5_u64.checked_pow(fives) {
        Some(power) => BigInt::from(power),
        None => BigInt::from(5_u32).pow(fives),
    };
    BigRational::new_raw(over, under << (places - twos))
}

/// Ten to the `exponent`.
pub(crate) fn power_of_ten(exponent: u32) -> BigInt {
    match 10_u64.checked_pow(exponent) {
        Some(power) => BigInt::from(power),
        None => BigInt::from(10_u32).pow(exponent),
    }
}

/// The integer that the digits of `text` spell, whatever stands between them.
fn digits_value(text: &str) -> BigInt {
    let digits = || text.bytes().filter(u8::is_ascii_digit);
    if text.len() <= 18 {
        return BigInt::from(digits().fold(0_u64, |value, digit| value * 10 + u64::from(digit - b'0')));
    }
    BigInt::parse_bytes(&digits().collect::<Vec<_>>(), 10).expect("at least one digit, and only digits")
}

fn count_digits(bytes: &[u8]) -> usize {
    bytes.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// Bytes of a whole part with exact thousands groups, given the digits before the first separator; none where the grouping
/// is not exact, or too long to have a value: were there no end to the search, it would begin again at each group.
fn grouped_len(bytes: &[u8], first: usize) -> Option<usize> {
    if !(1..=3).contains(&first) || bytes[0] == b'0' {
        return None;
    }
    let mut len = first;
    while bytes.get(len) == Some(&b',') {
        if len > MAX_DIGITS * 2 {
            return None;
        }
        if count_digits(&bytes[len + 1..bytes.len().min(len + 5)]) != 3 {
            let separates_digits = bytes.get(len + 1).is_some_and(u8::is_ascii_digit);
            return (!separates_digits).then_some(len);
        }
        len += 4;
    }
    Some(len)
}

/// Bytes of `e5`, `E+05`, `e-3` at the start; zero when the letter begins a word.
fn exponent_len(bytes: &[u8]) -> usize {
    if !matches!(bytes.first(), Some(b'e' | b'E')) {
        return 0;
    }
    let sign = usize::from(matches!(bytes.get(1), Some(b'+' | b'-')));
    match count_digits(&bytes[1 + sign..]) {
        0 => 0,
        digits => 1 + sign + digits,
    }
}

/// Whether `written`, which has `fraction_digits` decimals, is `exact` rounded to that many.
pub(crate) fn is_rounding(written: &BigRational, fraction_digits: usize, exact: &BigRational) -> bool {
    let Ok(digits) = u32::try_from(fraction_digits.min(MAX_DIGITS)) else { return false };
    let gap = if written > exact { written - exact } else { exact - written };
    gap * BigRational::from_integer(power_of_ten(digits) * 2) <= BigRational::one()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> String {
        scan(text).and_then(|literal| literal.value()).map_or_else(String::new, |value| value.to_string())
    }

    #[test]
    fn literals_take_what_belongs_to_them() {
        let cases = [
            ("18", "18", "18"),
            ("18. Then", "18", "18"),
            ("1,234,567.50 in all", "1,234,567.50", "2469135/2"),
            (".5", ".5", "1/2"),
            ("1,22", "1", "1"),
            ("0,111", "0", "0"),
            ("1,234,56", "1", "1"),
            ("5, 6", "5", "5"),
            ("5,then", "5", "5"),
            ("1e3", "1e3", "1000"),
            ("2.5E-2", "2.5E-2", "1/40"),
            ("3 eggs", "3", "3"),
            ("3eggs", "3", "3"),
            ("12345678901234567890123", "12345678901234567890123", "12345678901234567890123"),
        ];
        for (text, taken, expected) in cases {
            assert_eq!(scan(text).map(|literal| literal.text), Some(taken), "{text}");
            assert_eq!(value(text), expected, "{text}");
        }
        assert_eq!(scan("x"), None);
        assert_eq!(scan("."), None);
    }

    #[test]
    fn decimals_come_in_lowest_terms() {
        for text in
            ["0.0", "0.5", "0.50", "1.25", "12.8", "3.3", "1000e-3", "15625e-6", "1e-300", "0.0000625"]
        {
            let value = scan(text).and_then(|literal| literal.value()).expect(text);
            assert_eq!(value, BigRational::new(value.numer().clone(), value.denom().clone()), "{text}");
            assert!(value.denom().is_one() == value.is_integer());
        }
    }

    #[test]
    fn enormous_literals_have_no_value() {
        for text in ["1e999999999", "1e-999999999", "1e99999999999999999999", &"7".repeat(100_000)] {
            let literal = scan(text).expect("a literal");
            assert_eq!(literal.text, text);
            assert_eq!(literal.value(), None);
        }
    }
}
