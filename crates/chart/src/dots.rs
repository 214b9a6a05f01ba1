//! Dots with their ranges, one below the other: what is compared stands over one axis.

use std::fmt::Write;

use crate::axis::{Axis, Range};
use crate::svg::{Svg, colour, escaped};

/// Width of a chart, of its names, and the space to the right.
const WIDTH: f64 = 640.0;
const NAMES: f64 = 210.0;
const RIGHT: f64 = 24.0;
/// Height of a row, and the space above and below all of them.
const ROW: f64 = 20.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 44.0;
/// What a dot's axis reaches beyond the outermost values, as a share of their distance.
const BEYOND: f64 = 0.06;

/// Dots over one axis.
#[derive(Clone, Debug)]
pub struct DotChart {
    /// What it shows.
    pub caption: String,
    /// To the right.
    pub x: Axis,
    /// From above.
    pub dots: Vec<Dot>,
}

/// A value with its range.
#[derive(Clone, Debug)]
pub struct Dot {
    /// What stands beside it.
    pub name: String,
    /// Dots of one group have one colour.
    pub group: usize,
    /// Where it stands.
    pub value: f64,
    /// The lowest and the highest.
    pub range: (f64, f64),
}

impl DotChart {
    /// The drawing; none without dots.
    #[must_use]
    pub fn svg(&self) -> Option<Svg> {
        self.dots.first()?;
        let reach = Range::of(self.dots.iter().flat_map(|dot| [dot.range.0, dot.range.1]), self.x.scale);
        // Differences matter here, not sizes: the axis begins where the values do.
        let beyond = (reach.most - reach.least) * BEYOND;
        let axis = Range { least: reach.least - beyond, most: reach.most + beyond, ..reach };
        let height = TOP + ROW * self.dots.len() as f64 + BOTTOM;
        let mut svg = Svg { width: WIDTH, height, caption: self.caption.clone(), body: String::new() };
        self.write(&mut svg.body, &axis, height - BOTTOM).expect("writing to a string cannot fail");
        Some(svg)
    }

    fn write(&self, svg: &mut String, axis: &Range, floor: f64) -> std::fmt::Result {
        let at = |value: f64| NAMES + axis.place(value) * (WIDTH - NAMES - RIGHT);
        for mark in axis.marks() {
            let (x, down, written) = (at(mark), floor + 16.0, axis.written(mark));
            writeln!(svg, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{floor:.1}\"/>")?;
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{down:.1}\" text-anchor=\"middle\">{written}</text>")?;
        }
        for (row, dot) in self.dots.iter().enumerate() {
            let y = TOP + ROW * (row as f64 + 0.5);
            let (name, left, colour) = (escaped(&dot.name), NAMES - 10.0, colour(dot.group));
            let (low, value, high) = (at(dot.range.0), at(dot.value), at(dot.range.1));
            writeln!(svg, "<text x=\"{left:.1}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>", y + 4.0)?;
            writeln!(svg, "<path class=\"line\" stroke=\"{colour}\" d=\"M{low:.1} {y:.1}H{high:.1}\"/>")?;
            write!(svg, "<circle cx=\"{value:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\">")?;
            writeln!(svg, "<title>{name}: {}</title></circle>", axis.written(dot.value))?;
        }
        let (middle, down, name) = ((NAMES + WIDTH - RIGHT) / 2.0, floor + 36.0, escaped(&self.x.name));
        writeln!(svg, "<text x=\"{middle:.1}\" y=\"{down:.1}\" text-anchor=\"middle\">{name}</text>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scale;

    #[test]
    fn each_dot_has_a_row_with_its_name() {
        let dot = |name: &str, value| Dot {
            name: name.to_owned(),
            group: 0,
            value,
            range: (value - 0.01, value + 0.01),
        };
        let axis = Axis { name: "pass@1".to_owned(), scale: Scale::Share };
        let chart =
            DotChart { caption: String::new(), x: axis, dots: vec![dot("a < b", 0.5), dot("c", 0.6)] };
        let svg = chart.svg().expect("it has dots");
        assert_eq!(svg.body.matches("<circle").count(), 2);
        assert!(svg.body.contains("a &lt; b: 50 %") && !svg.body.contains("NaN"), "{svg:?}");
        assert_eq!(DotChart { dots: Vec::new(), ..chart }.svg(), None);
    }
}
