//! Two plain numbers with their units: the quick way, taken before anything is parsed as mathematics.

use num_rational::BigRational;
use num_traits::{Signed, Zero};

use super::Quantity;
use crate::compare::Outcome;
use crate::judge::Decision;
use crate::literal::{is_rounding, power_of_ten};
use crate::options::{Decimals, Options, Percent, Units};
use crate::unit::{self, Unit};

/// Fewest significant digits of a decimal that may be taken for a rounding.
const MIN_ROUNDED_DIGITS: usize = 3;

/// Factors between common units: cents and dollars, minutes and hours, inches and feet, grams and kilograms.
const UNIT_RATIOS: &[u32] = &[3, 4, 7, 10, 12, 16, 24, 36, 52, 60, 100, 365, 1000, 3600];

/// The verdict on two normalised answers that are both plain numbers; none when one of them is not.
pub(crate) fn compare(gold: &str, answer: &str, options: &Options) -> Option<Decision> {
    let (a, b) = (Quantity::parse(gold)?, Quantity::parse(answer)?);
    Some(match (&a.unit, &b.unit) {
        (Unit::Percent, Unit::Bare) | (Unit::Bare, Unit::Percent) => percent(&a, &b, options),
        (Unit::Bare, Unit::Named(name)) | (Unit::Named(name), Unit::Bare) => {
            let is_required = options.units == Units::Required && name != "degree";
            if is_required {
                Decision::new(Outcome::Different, "unit")
            } else {
                with_unit(&a, &b, name, options)
            }
        }
        (Unit::Named(left), Unit::Named(right)) if left != right => converted(&a, left, &b, right, options),
        (left, right) if left == right => values(&a, &b, options),
        _ => Decision::new(Outcome::Unknown, "unit"),
    })
}

fn values(a: &Quantity, b: &Quantity, options: &Options) -> Decision {
    if a.value == b.value {
        return Decision::new(Outcome::Equal, "number");
    }
    let outcome = match options.decimals {
        Decimals::Exact => Outcome::Different,
        Decimals::Doubt if is_rounded(a, b) || is_rounded(b, a) => Outcome::Unknown,
        Decimals::Rounded if is_rounded(a, b) || is_rounded(b, a) => Outcome::Equal,
        Decimals::Places(places) if has_decimal(a, b) && is_within(&a.value, &b.value, places) => {
            Outcome::Equal
        }
        Decimals::Relative(places) if has_decimal(a, b) && is_relatively_within(a, b, places) => {
            Outcome::Equal
        }
        _ => Outcome::Different,
    };
    Decision::new(outcome, if outcome == Outcome::Different { "number" } else { "rounding" })
}

/// A percentage against a bare number, which may be its hundredth or a percentage without its sign.
fn percent(a: &Quantity, b: &Quantity, options: &Options) -> Decision {
    let hundredth = |quantity: &Quantity| {
        if quantity.unit != Unit::Percent {
            return quantity.clone();
        }
        let precision = quantity.precision.map(|mut precision| {
            precision.fraction_digits += 2;
            precision
        });
        Quantity {
            value: &quantity.value / BigRational::from_integer(100.into()),
            precision,
            unit: Unit::Bare,
        }
    };
    let as_written = values(a, b, options).outcome;
    let as_value = values(&hundredth(a), &hundredth(b), options).outcome;
    let outcome = match options.percent {
        Percent::Sign => as_written,
        Percent::Value => as_value,
        Percent::Either => {
            let best =
                [Outcome::Equal, Outcome::Unknown].into_iter().find(|o| *o == as_written || *o == as_value);
            best.unwrap_or(Outcome::Different)
        }
    };
    Decision::new(outcome, "percent")
}

/// A number with a unit against one without.
fn with_unit(a: &Quantity, b: &Quantity, name: &str, options: &Options) -> Decision {
    let decision = values(a, b, options);
    let is_measure = unit::measure(name).is_some();
    if decision.outcome == Outcome::Different && is_measure && may_be_converted(&a.value, &b.value) {
        return Decision::new(Outcome::Unknown, "unit");
    }
    decision
}

/// Two units: converted, when they are of one kind.
fn converted(a: &Quantity, left: &str, b: &Quantity, right: &str, options: &Options) -> Decision {
    let (Some((x, from)), Some((y, to))) = (unit::measure(left), unit::measure(right)) else {
        return Decision::new(Outcome::Unknown, "unit");
    };
    if x != y {
        return Decision::new(Outcome::Different, "unit");
    }
    let in_base = |quantity: &Quantity, factor: &BigRational| Quantity {
        value: &quantity.value * factor,
        precision: None,
        unit: Unit::Bare,
    };
    Decision { method: "unit", ..values(&in_base(a, &from), &in_base(b, &to), options) }
}

fn may_be_converted(a: &BigRational, b: &BigRational) -> bool {
    if a.is_zero() || b.is_zero() {
        return false;
    }
    let (up, down) = (a / b, b / a);
    [up, down]
        .iter()
        .any(|ratio| ratio.is_integer() && UNIT_RATIOS.iter().any(|known| *ratio.numer() == (*known).into()))
}

/// Whether `a`, a decimal, is `b` rounded to the digits of `a`, of which `b` has more.
fn is_rounded(a: &Quantity, b: &Quantity) -> bool {
    let Some(precision) = a.precision else { return false };
    let is_shorter = b.precision.is_none_or(|other| other.fraction_digits > precision.fraction_digits);
    let is_decimal = precision.fraction_digits > 0 && precision.significant_digits >= MIN_ROUNDED_DIGITS;
    is_shorter && is_decimal && is_rounding(&a.value, precision.fraction_digits, &b.value)
}

fn has_decimal(a: &Quantity, b: &Quantity) -> bool {
    [a, b].iter().any(|quantity| quantity.precision.is_some_and(|precision| precision.fraction_digits > 0))
}

fn is_within(a: &BigRational, b: &BigRational, places: u32) -> bool {
    (a - b).abs() * BigRational::from_integer(power_of_ten(places.min(1000)) * 2)
        <= BigRational::from_integer(1.into())
}

fn is_relatively_within(a: &Quantity, b: &Quantity, places: u32) -> bool {
    (&a.value - &b.value).abs() * BigRational::from_integer(power_of_ten(places.min(1000))) <= a.value.abs()
}
