//! Is it right: answer extraction, comparison, equations, critiques.
//!
//! Four questions about a text that a model wrote, each a pure function that is safe on any input:
//!
//! - [`extract`](extract()): where is the final answer?
//! - [`compare`](compare()): is it the same as the known answer? Yes, no, or not known.
//! - [`check_steps`]: does each written equation hold?
//! - [`Critique`]: what does a critique say, step by step, and how is one written?
//!
//! Numbers are exact rationals, polynomials over them, or intervals with a proven error: nothing passes
//! through floating point. No function panics. Reading takes time linear in its input; comparing counts its
//! work and ends as `unknown` when that runs out, so a hostile megabyte costs milliseconds. The crate uses no
//! other crate of the workspace.
//!
//! A comparison goes through these modules, and most answers are decided before the last: `normal` (one
//! spelling), `quantity` (plain numbers and units), `text` (words and letters), `parse` (LaTeX and plain
//! mathematics to an `expr`), `judge` (collections, relations, scalars), `algebra` over `poly` (canonical
//! forms), `evaluate` over `complex` and `ball` (values with proven errors), `separation` (when an algebraic
//! number must be zero).
//!
//! ```
//! use flow_verify::{Compare, Extract, Outcome, compare, extract};
//!
//! let answer = extract("She sells 9 eggs for $2 each.\n#### $18.00", Extract::FinalLine).unwrap();
//! assert_eq!(answer.text, "$18.00");
//! assert_eq!(compare("18", &answer.text, Compare::Math).outcome, Outcome::Equal);
//! ```

mod algebra;
mod ball;
mod budget;
mod calendar;
mod compare;
mod complex;
mod critique;
mod equations;
mod evaluate;
mod exact;
mod expr;
mod extract;
mod grade;
mod judge;
mod literal;
mod name;
mod normal;
mod options;
mod parse;
mod poly;
mod quantity;
mod separation;
mod text;
mod unit;

pub use compare::{Compare, Outcome, Verdict, compare, compare_with};
pub use critique::{Critique, CritiqueError, Judgement, StepJudgement};
pub use equations::{Label, Step, all_sound, check_steps, first_wrong};
pub use extract::{
    Boxes, Extract, Extracted, Extraction, InvalidExtract, JsonPath, NoAnswer, Pattern, Strictness, extract,
};
pub use grade::{Graded, Grader, InvalidKey};
pub use name::UnknownName;
pub use options::{Decimals, Options, Order, Percent, Units};
