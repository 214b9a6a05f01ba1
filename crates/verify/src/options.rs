//! What counts as the same answer, where data sets disagree: the rules that a comparison may be given.

use std::str::FromStr;

use crate::compare::Compare;
use crate::name::{UnknownName, parse_name};

/// The rules of one comparison. [`Options::default`] is `math` with every doubt left a doubt.
///
/// ```
/// use flow_verify::{Decimals, Options, Outcome, compare_with};
///
/// let options = Options { decimals: Decimals::Rounded, ..Options::default() };
/// assert_eq!(compare_with("1/3", "0.333", &options).outcome, Outcome::Equal);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is compared: mathematics, characters, or numbers only. Default: `math`.
    pub mode: Compare,
    /// What `10%` equals. Default: `either`.
    pub percent: Percent,
    /// When a decimal stands for a value that it is not. Default: `doubt`.
    pub decimals: Decimals,
    /// Whether the order of a list without brackets counts. Default: `any`. Tuples are ordered, sets are
    /// not, whatever this says.
    pub order: Order,
    /// Whether a unit that the known answer has must be given. Default: `optional`.
    pub units: Units,
    /// The texts of the options of a multiple-choice question, the first being `A`. Default: none.
    ///
    /// With them, a letter and the text it stands for are the same answer.
    pub choices: Vec<String>,
}

impl Options {
    /// The default rules for one kind of comparison; [`Compare::Numeric`] takes roundings for their values.
    pub fn new(mode: Compare) -> Options {
        let decimals = if mode == Compare::Numeric { Decimals::Rounded } else { Decimals::Doubt };
        Options {
            mode,
            percent: Percent::Either,
            decimals,
            order: Order::Any,
            units: Units::Optional,
            choices: Vec::new(),
        }
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new(Compare::Math)
    }
}

/// What a percentage equals, when only one of two answers has the sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Percent {
    /// `either`: `10%` equals `0.1` and `10`, since known answers drop the sign when the question has it.
    Either,
    /// `value`: `10%` equals `0.1` only.
    Value,
    /// `sign`: `10%` equals `10` only.
    Sign,
}

impl Percent {
    /// Every name, in the order of the variants.
    pub const NAMES: &[&str] = &["either", "value", "sign"];
}

impl FromStr for Percent {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Percent, UnknownName> {
        let values = [Percent::Either, Percent::Value, Percent::Sign];
        parse_name("percent", Percent::NAMES, &values, name)
    }
}

/// When a decimal stands for a value that it is not: `0.333` for `1/3`, `3.14` for `\pi`.
///
/// Under every rule but the last two, integers are exact: `5` and `5.001` are different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Decimals {
    /// Never: `0.333` and `1/3` are different.
    Exact,
    /// It is not known: a decimal of at least one decimal and three significant digits that the other value
    /// rounds to is `unknown`; any other is different.
    Doubt,
    /// Whenever the other value rounds to it, under the conditions of `Doubt`.
    Rounded,
    /// When the values are at most half of ten to the minus this apart: `Places(3)` takes `0.333` for `1/3`.
    /// Only where one of the answers contains a decimal.
    Places(u32),
    /// When the values are at most ten to the minus this of the known one apart: `Relative(4)` is one in ten
    /// thousand. Only where one of the answers contains a decimal.
    Relative(u32),
}

/// Whether the order of a list without brackets, such as `1, 2`, counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Order {
    /// `any`: a list names the same answers in any order.
    Any,
    /// `listed`: the answers are compared one by one, in the order of the list.
    Listed,
}

impl Order {
    /// Every name, in the order of the variants.
    pub const NAMES: &[&str] = &["any", "listed"];
}

impl FromStr for Order {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Order, UnknownName> {
        parse_name("order", Order::NAMES, &[Order::Any, Order::Listed], name)
    }
}

/// Whether a unit on one side only is forgiven. Units on both sides always count, and are converted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Units {
    /// `optional`: `5 cm` equals `5`, since known answers are mostly bare.
    Optional,
    /// `required`: `5 cm` differs from `5`.
    Required,
}

impl Units {
    /// Every name, in the order of the variants.
    pub const NAMES: &[&str] = &["optional", "required"];
}

impl FromStr for Units {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Units, UnknownName> {
        parse_name("units", Units::NAMES, &[Units::Optional, Units::Required], name)
    }
}
