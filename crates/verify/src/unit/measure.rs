//! Units that are multiples or quotients of others.

use num_rational::BigRational;

/// Units that are exact multiples of another: the base unit of their kind, and how many of it.
const MEASURES: &[(&str, &str, i64, i64)] = &[
    ("millimetre", "metre", 1, 1000),
    ("centimetre", "metre", 1, 100),
    ("decimetre", "metre", 1, 10),
    ("metre", "metre", 1, 1),
    ("kilometre", "metre", 1000, 1),
    ("inch", "metre", 254, 10_000),
    ("foot", "metre", 3048, 10_000),
    ("yard", "metre", 9144, 10_000),
    ("mile", "metre", 1_609_344, 1000),
    ("milligram", "gram", 1, 1000),
    ("gram", "gram", 1, 1),
    ("kilogram", "gram", 1000, 1),
    ("tonne", "gram", 1_000_000, 1),
    ("pound", "gram", 45_359_237, 100_000),
    ("ounce", "gram", 45_359_237, 1_600_000),
    ("millilitre", "litre", 1, 1000),
    ("litre", "litre", 1, 1),
    ("cup", "litre", 473_176_473, 2_000_000_000),
    ("pint", "litre", 473_176_473, 1_000_000_000),
    ("quart", "litre", 473_176_473, 500_000_000),
    ("gallon", "litre", 473_176_473, 125_000_000),
    ("second", "second", 1, 1),
    ("minute", "second", 60, 1),
    ("hour", "second", 3600, 1),
    ("day", "second", 86_400, 1),
    ("week", "second", 604_800, 1),
    ("nanometre", "metre", 1, 1_000_000_000),
    ("micrometre", "metre", 1, 1_000_000),
    ("microgram", "gram", 1, 1_000_000),
    ("nanosecond", "second", 1, 1_000_000_000),
    ("microsecond", "second", 1, 1_000_000),
    ("millisecond", "second", 1, 1000),
    ("newton", "newton", 1, 1),
    ("kilonewton", "newton", 1000, 1),
    ("joule", "joule", 1, 1),
    ("kilojoule", "joule", 1000, 1),
    ("megajoule", "joule", 1_000_000, 1),
    ("milliwatt", "watt", 1, 1000),
    ("watt", "watt", 1, 1),
    ("kilowatt", "watt", 1000, 1),
    ("megawatt", "watt", 1_000_000, 1),
    ("pascal", "pascal", 1, 1),
    ("kilopascal", "pascal", 1000, 1),
    ("megapascal", "pascal", 1_000_000, 1),
    ("millivolt", "volt", 1, 1000),
    ("volt", "volt", 1, 1),
    ("kilovolt", "volt", 1000, 1),
    ("milliampere", "ampere", 1, 1000),
    ("ampere", "ampere", 1, 1),
    ("hertz", "hertz", 1, 1),
    ("kilohertz", "hertz", 1000, 1),
    ("megahertz", "hertz", 1_000_000, 1),
    ("gigahertz", "hertz", 1_000_000_000, 1),
    ("millimole", "mole", 1, 1000),
    ("mole", "mole", 1, 1),
    ("month", "month", 1, 1),
    ("year", "month", 12, 1),
    ("cent", "dollar", 1, 100),
    ("dollar", "dollar", 1, 1),
    ("degree", "degree", 1, 1),
    ("radian", "radian", 1, 1),
];

/// Units that are quotients of others.
const QUOTIENTS: &[(&str, &str, &str)] =
    &[("mile per hour", "mile", "hour"), ("kilometre per hour", "kilometre", "hour")];

/// The base unit of the kind of `name`, and how many of it one is, exactly; none for a counted thing.
pub(crate) fn measure(name: &str) -> Option<(&'static str, BigRational)> {
    let (_, base, over, under) = MEASURES.iter().find(|(known, ..)| *known == name)?;
    Some((base, BigRational::new((*over).into(), (*under).into())))
}

/// The units that `name` is a product of, each with its power.
pub(crate) fn parts(name: &str) -> Vec<(&str, i32)> {
    match QUOTIENTS.iter().find(|(known, ..)| *known == name) {
        Some((_, over, under)) => vec![(over, 1), (under, -1)],
        None => vec![(name, 1)],
    }
}
