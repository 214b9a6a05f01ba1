//! Line charts as SVG.

use std::fmt::Write;

use super::page::{escaped, percent};

/// Size of a chart in its own units, and the space around what is drawn.
const WIDTH: f64 = 510.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;

/// Colours that the style has.
const N_COLOURS: usize = 8;

/// Lines over one axis.
pub(super) struct Plot {
    pub(super) caption: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

/// An axis.
pub(super) struct Axis {
    pub(super) name: String,
    pub(super) scale: Scale,
}

/// What an axis counts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Whole numbers, each with its mark as long as there is room.
    Whole,
    /// Shares from 0 to 1, told in per cent.
    Share,
    /// Numbers from 0 up.
    Number,
}

/// One line, by x.
pub(super) struct Line {
    pub(super) name: String,
    pub(super) points: Vec<Point>,
}

/// A value, with its interval where there is one.
#[derive(Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) interval: Option<(f64, f64)>,
}

impl Plot {
    /// The chart with its caption and legend; nothing where it has no point.
    pub(super) fn write(&self, html: &mut String) -> std::fmt::Result {
        if self.lines.iter().all(|line| line.points.is_empty()) {
            return Ok(());
        }
        let (x, y) = (self.range(|point| (point.x, point.x)), self.range(reach));
        // Shares and numbers begin at 0: what looks small is small.
        let frame = Frame {
            x: Range { scale: self.x.scale, ..x },
            y: Range { least: 0.0, scale: self.y.scale, ..y },
        };
        writeln!(html, "<figure><figcaption>{}</figcaption>", escaped(&self.caption))?;
        writeln!(
            html,
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">",
            escaped(&self.caption)
        )?;
        frame.write(html, &self.x.name, &self.y.name)?;
        for (at, line) in self.lines.iter().enumerate() {
            line.write(html, &frame, at % N_COLOURS)?;
        }
        writeln!(html, "</svg>")?;
        self.legend(html)?;
        writeln!(html, "</figure>")
    }

    fn legend(&self, html: &mut String) -> std::fmt::Result {
        for (at, line) in self.lines.iter().enumerate() {
            let (colour, name) = (at % N_COLOURS, escaped(&line.name));
            write!(html, "<span style=\"color:var(--c{colour})\">&#9632;</span> {name} &ensp;")?;
        }
        writeln!(html)
    }

    fn range(&self, of: impl Fn(&Point) -> (f64, f64)) -> Range {
        let reaches = self.lines.iter().flat_map(|line| &line.points).map(of);
        let (least, most) = reaches.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), (low, high)| {
            (least.min(low), most.max(high))
        });
        Range { least, most, scale: Scale::Number }
    }
}

/// The lowest and the highest that belongs to a point.
fn reach(point: &Point) -> (f64, f64) {
    point.interval.unwrap_or((point.y, point.y))
}

/// What an axis reaches from and to.
#[derive(Clone, Copy)]
struct Range {
    least: f64,
    most: f64,
    scale: Scale,
}

impl Range {
    /// Where `value` stands, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let width = self.most - self.least;
        if width > 0.0 { (value - self.least) / width } else { 0.5 }
    }

    /// At most eight values worth a mark, a round distance apart.
    fn marks(&self) -> Vec<f64> {
        let width = self.most - self.least;
        if !(width.is_finite() && width > 0.0) {
            return vec![self.least];
        }
        let mut step = 10_f64.powf((width / 8.0).log10().floor());
        for factor in [2.0, 2.5, 2.0] {
            if width / step > 8.0 {
                step *= factor;
            }
        }
        if self.scale == Scale::Whole {
            step = step.max(1.0).round();
        }
        let first = (self.least / step).ceil() as i64;
        (first..).map(|at| at as f64 * step).take_while(|mark| *mark <= self.most + step * 1e-9).collect()
    }

    fn told(&self, value: f64) -> String {
        match self.scale {
            Scale::Whole => format!("{value:.0}"),
            Scale::Share => percent(value),
            Scale::Number if value.fract() == 0.0 => format!("{value:.0}"),
            Scale::Number => {
                // Three figures behind the point, or as many as a small number needs to be told from 0.
                let figures = (2.0 - value.abs().log10().floor()).clamp(3.0, 12.0) as usize;
                format!("{value:.figures$}").trim_end_matches('0').trim_end_matches('.').to_owned()
            }
        }
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
    fn write(&self, html: &mut String, x_name: &str, y_name: &str) -> std::fmt::Result {
        let floor = HEIGHT - BOTTOM;
        for mark in self.y.marks() {
            let (_, y) = self.at(self.x.least, mark);
            writeln!(html, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{:.1}\"/>", WIDTH - RIGHT)?;
            let told = self.y.told(mark);
            writeln!(
                html,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{told}</text>",
                LEFT - 6.0,
                y + 4.0
            )?;
        }
        for mark in self.x.marks() {
            let (x, _) = self.at(mark, 0.0);
            let told = self.x.told(mark);
            writeln!(
                html,
                "<text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{told}</text>",
                floor + 16.0
            )?;
        }
        let (middle, name) = ((LEFT + WIDTH - RIGHT) / 2.0, escaped(x_name));
        writeln!(
            html,
            "<text x=\"{middle:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{name}</text>",
            HEIGHT - 6.0
        )?;
        let (middle, name) = ((TOP + floor) / 2.0, escaped(y_name));
        writeln!(
            html,
            "<text transform=\"translate(11 {middle:.1}) rotate(-90)\" text-anchor=\"middle\">{name}</text>"
        )
    }
}

impl Line {
    fn write(&self, html: &mut String, frame: &Frame, colour: usize) -> std::fmt::Result {
        let band: Vec<(f64, (f64, f64))> =
            self.points.iter().filter_map(|point| Some((point.x, point.interval?))).collect();
        if band.len() > 1 {
            let lower = band.iter().map(|(x, (low, _))| frame.at(*x, *low));
            let upper = band.iter().rev().map(|(x, (_, high))| frame.at(*x, *high));
            let path = path(lower.chain(upper));
            writeln!(html, "<path class=\"band\" fill=\"var(--c{colour})\" d=\"{path}Z\"/>")?;
        }
        let path = path(self.points.iter().map(|point| frame.at(point.x, point.y)));
        writeln!(html, "<path class=\"line\" stroke=\"var(--c{colour})\" d=\"{path}\"/>")?;
        // Long lines are read by their course.
        if self.points.len() <= 40 {
            for point in &self.points {
                let (x, y) = frame.at(point.x, point.y);
                let told = format!("{}: {} at {}", self.name, frame.y.told(point.y), frame.x.told(point.x));
                write!(html, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"var(--c{colour})\">")?;
                writeln!(html, "<title>{}</title></circle>", escaped(&told))?;
            }
        }
        Ok(())
    }
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (at, (x, y)) in points.enumerate() {
        let _ = write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' });
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_few_and_within() {
        for (least, most) in [(0.0, 1.0), (0.0, 0.72), (0.0, 3.0), (1.0, 8.0), (0.0, 12_345.0), (0.0, 0.0031)]
        {
            let marks = Range { least, most, scale: Scale::Number }.marks();
            assert!((2..=9).contains(&marks.len()), "{least} to {most}: {marks:?}");
            assert!(marks.iter().all(|mark| *mark >= least && *mark <= most * 1.0001), "{marks:?}");
        }
        assert_eq!(Range { least: 0.0, most: 3.0, scale: Scale::Whole }.marks(), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(Range { least: 2.0, most: 2.0, scale: Scale::Whole }.marks(), [2.0]);
    }

    #[test]
    fn small_numbers_are_told_apart_from_none() {
        let axis = Range { least: 0.0, most: 1.0, scale: Scale::Number };
        let told = [0.0, 0.5, 0.0004, 0.00012, 2.0, 1.23456].map(|value| axis.told(value));
        assert_eq!(told, ["0", "0.5", "0.0004", "0.00012", "2", "1.235"]);
    }

    #[test]
    fn a_chart_without_points_is_left_out() {
        let axis = |name: &str| Axis { name: name.to_owned(), scale: Scale::Whole };
        let lines = vec![Line { name: "none".to_owned(), points: Vec::new() }];
        let mut html = String::new();
        Plot { caption: String::new(), x: axis("x"), y: axis("y"), lines }
            .write(&mut html)
            .expect("it is a string");
        assert_eq!(html, "");
    }

    #[test]
    fn a_chart_of_one_point_has_finite_coordinates() {
        let point = Point { x: 0.0, y: 0.0, interval: None };
        let axis = |name: &str| Axis { name: name.to_owned(), scale: Scale::Whole };
        let lines = vec![Line { name: "only".to_owned(), points: vec![point] }];
        let plot = Plot { caption: String::new(), x: axis("x"), y: axis("y"), lines };
        let mut html = String::new();
        plot.write(&mut html).expect("writing to a string cannot fail");
        assert!(!html.contains("NaN") && !html.contains("inf"), "{html}");
    }
}
