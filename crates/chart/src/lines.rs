//! Lines over an axis, with a band where points have intervals.

use std::fmt::Write;

use crate::axis::{Axis, Range};
use crate::svg::{Svg, colour, escaped};

/// Size of a chart without its legend, and the space around what is drawn.
const WIDTH: f64 = 510.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;

/// The legend: columns, and the height of a row.
const N_COLUMNS: usize = 2;
const ROW: f64 = 18.0;

/// More points than this are read by their course: they are not marked.
const MARKED: usize = 40;

/// Lines over one axis.
#[derive(Clone, Debug)]
pub struct LineChart {
    /// What it shows.
    pub caption: String,
    /// To the right.
    pub x: Axis,
    /// Upwards.
    pub y: Axis,
    /// In the order of their colours.
    pub lines: Vec<Line>,
}

/// One line, by x.
#[derive(Clone, Debug)]
pub struct Line {
    /// What stands in the legend.
    pub name: String,
    /// From left to right.
    pub points: Vec<Point>,
}

/// A value, with its interval where there is one.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    /// Where it stands.
    pub x: f64,
    /// How high.
    pub y: f64,
    /// The lowest and the highest that it may be.
    pub interval: Option<(f64, f64)>,
}

impl LineChart {
    /// The drawing; none where no line has a point.
    #[must_use]
    pub fn svg(&self) -> Option<Svg> {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        points().next()?;
        let reach = |point: &Point| point.interval.map_or([point.y; 2], |(low, high)| [low, high]);
        // Shares and numbers begin at 0: what looks small is small.
        let frame = Frame {
            x: Range::of(points().map(|point| point.x), self.x.scale),
            y: Range { least: 0.0, ..Range::of(points().flat_map(reach), self.y.scale) },
        };
        let rows = self.lines.len().div_ceil(N_COLUMNS) as f64;
        let mut svg = Svg {
            width: WIDTH,
            height: HEIGHT + rows * ROW,
            caption: self.caption.clone(),
            body: String::new(),
        };
        self.write(&mut svg.body, &frame).expect("writing to a string cannot fail");
        Some(svg)
    }

    fn write(&self, svg: &mut String, frame: &Frame) -> std::fmt::Result {
        frame.write(svg, &self.x.name, &self.y.name)?;
        for (at, line) in self.lines.iter().enumerate() {
            line.write(svg, frame, &colour(at))?;
        }
        for (at, line) in self.lines.iter().enumerate() {
            let x = (at % N_COLUMNS) as f64 * (WIDTH - LEFT) / N_COLUMNS as f64 + LEFT;
            let y = HEIGHT + (at / N_COLUMNS) as f64 * ROW;
            writeln!(svg, "<rect x=\"{x}\" y=\"{y}\" width=\"10\" height=\"10\" fill=\"{}\"/>", colour(at))?;
            writeln!(svg, "<text x=\"{}\" y=\"{}\">{}</text>", x + 16.0, y + 9.5, escaped(&line.name))?;
        }
        Ok(())
    }
}

/// Where values stand in the chart.
struct Frame {
    x: Range,
    y: Range,
}

impl Frame {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let right = LEFT + self.x.place(x) * (WIDTH - LEFT - RIGHT);
        let down = HEIGHT - BOTTOM - self.y.place(y) * (HEIGHT - TOP - BOTTOM);
        (right, down)
    }

    /// Grid, marks and names.
    fn write(&self, svg: &mut String, x_name: &str, y_name: &str) -> std::fmt::Result {
        let floor = HEIGHT - BOTTOM;
        for mark in self.y.marks() {
            let (_, y) = self.at(self.x.least, mark);
            let (left, down, written) = (LEFT - 6.0, y + 4.0, self.y.written(mark));
            writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/>", WIDTH - RIGHT)?;
            writeln!(svg, "<text x=\"{left:.1}\" y=\"{down:.1}\" text-anchor=\"end\">{written}</text>")?;
        }
        for mark in self.x.marks() {
            let (x, _) = self.at(mark, 0.0);
            let (down, written) = (floor + 16.0, self.x.written(mark));
            writeln!(svg, "<text x=\"{x:.1}\" y=\"{down:.1}\" text-anchor=\"middle\">{written}</text>")?;
        }
        let (middle, down, name) = ((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 6.0, escaped(x_name));
        writeln!(svg, "<text x=\"{middle:.1}\" y=\"{down:.1}\" text-anchor=\"middle\">{name}</text>")?;
        let (middle, name) = ((TOP + floor) / 2.0, escaped(y_name));
        let turned = format!("translate(11 {middle:.1}) rotate(-90)");
        writeln!(svg, "<text transform=\"{turned}\" text-anchor=\"middle\">{name}</text>")
    }
}

impl Line {
    fn write(&self, svg: &mut String, frame: &Frame, colour: &str) -> std::fmt::Result {
        let band: Vec<(f64, (f64, f64))> =
            self.points.iter().filter_map(|point| Some((point.x, point.interval?))).collect();
        if band.len() > 1 {
            let lower = band.iter().map(|(x, (low, _))| frame.at(*x, *low));
            let upper = band.iter().rev().map(|(x, (_, high))| frame.at(*x, *high));
            let path = path(lower.chain(upper));
            writeln!(svg, "<path class=\"band\" fill=\"{colour}\" d=\"{path}Z\"/>")?;
        }
        let path = path(self.points.iter().map(|point| frame.at(point.x, point.y)));
        writeln!(svg, "<path class=\"line\" stroke=\"{colour}\" d=\"{path}\"/>")?;
        for point in self.points.iter().filter(|_| self.points.len() <= MARKED) {
            let (x, y) = frame.at(point.x, point.y);
            let told = format!("{}: {} at {}", self.name, frame.y.written(point.y), frame.x.written(point.x));
            write!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\">")?;
            writeln!(svg, "<title>{}</title></circle>", escaped(&told))?;
        }
        Ok(())
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (at, (x, y)) in points.enumerate() {
        write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' })
            .expect("writing to a string cannot fail");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::axis::Scale;

    fn chart(points: Vec<Point>) -> LineChart {
        let axis = |name: &str| Axis { name: name.to_owned(), scale: Scale::Whole };
        let lines = vec![Line { name: "only".to_owned(), points }];
        LineChart { caption: String::new(), x: axis("x"), y: axis("y"), lines }
    }

    #[test]
    fn a_chart_without_points_is_left_out() {
        assert_eq!(chart(Vec::new()).svg(), None);
    }

    #[test]
    fn a_chart_of_one_point_has_finite_coordinates() {
        let svg = chart(vec![Point { x: 0.0, y: 0.0, interval: None }]).svg().expect("it has a point");
        assert!(!svg.body.contains("NaN") && !svg.body.contains("inf"), "{svg:?}");
    }

    #[test]
    fn a_file_is_complete() {
        let svg = chart(vec![Point { x: 0.0, y: 1.0, interval: None }]).svg().expect("it has a point");
        let file = svg.file();
        assert!(
            file.starts_with("<svg xmlns=") && file.contains("--c0:") && file.ends_with("</svg>\n"),
            "{file}"
        );
    }
}
