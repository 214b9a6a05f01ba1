//! Charts as SVG: lines over an axis, and dots with their ranges.
//!
//! A chart is a value; [`LineChart::svg`] and [`DotChart::svg`] draw it. The drawing stands in a page that has [`STYLE`]
//! ([`Svg::inline`]), or is a file of its own ([`Svg::file`]). Colours are told apart by people who see few of them, and
//! follow the reader's light or dark scheme.

mod axis;
mod dots;
mod lines;
mod svg;

pub use axis::{Axis, Scale};
pub use dots::{Dot, DotChart};
pub use lines::{Line, LineChart, Point};
pub use svg::{STYLE, Svg, escaped};

/// A share of 1 in per cent, with a decimal where it says something.
#[must_use]
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        0.0 => "0".to_owned(),
        percent if percent.abs() < 9.95 => format!("{percent:.1} %"),
        percent => format!("{percent:.0} %"),
    }
}
