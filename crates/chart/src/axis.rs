//! Axes: where a value stands, which values are worth a mark, and how they are written.

use crate::percent;

/// An axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// What stands beside it.
    pub name: String,
    /// What it counts.
    pub scale: Scale,
}

/// What an axis counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Whole numbers, each with its mark as long as there is room.
    Whole,
    /// Shares from 0 to 1, written in per cent.
    Share,
    /// Any numbers.
    Number,
}

/// What an axis reaches from and to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) least: f64,
    pub(crate) most: f64,
    pub(crate) scale: Scale,
}

impl Range {
    /// The range of `values`; of none, nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>, scale: Scale) -> Self {
        let none = (f64::INFINITY, f64::NEG_INFINITY);
        let (least, most) =
            values.into_iter().fold(none, |(least, most), value| (least.min(value), most.max(value)));
        Self { least, most, scale }
    }

    /// Where `value` stands, from 0 to 1.
    pub(crate) fn place(&self, value: f64) -> f64 {
        let width = self.most - self.least;
        if width > 0.0 { (value - self.least) / width } else { 0.5 }
    }

    /// At most eight values worth a mark, a round distance apart.
    pub(crate) fn marks(&self) -> Vec<f64> {
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

    /// A value as it stands beside its mark.
    pub(crate) fn written(&self, value: f64) -> String {
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
        let written = [0.0, 0.5, 0.0004, 0.00012, 2.0, 1.23456].map(|value| axis.written(value));
        assert_eq!(written, ["0", "0.5", "0.0004", "0.00012", "2", "1.235"]);
    }
}
