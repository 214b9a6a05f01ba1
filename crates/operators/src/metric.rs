//! What is measured of a model's draws, as users name it.

use flow_plan::Problem;

/// A metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// `pass@K`: the chance that one of K draws is correct.
    Pass(usize),
    /// `maj@K`: whether the most frequent answer among the first K draws is correct.
    Majority(usize),
    /// `coverage`: whether any draw is correct.
    Coverage,
}

impl Metric {
    /// Reads `pass@K`, `maj@K` or `coverage`; K is at least 1.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let number = |k: &str| {
            let k = k.parse().ok().filter(|k| *k >= 1);
            k.ok_or_else(|| format!("expected a number from 1 after `@`, found \"{text}\""))
        };
        match text.split_once('@') {
            Some(("pass", k)) => number(k).map(Metric::Pass),
            Some(("maj", k)) => number(k).map(Metric::Majority),
            None if text == "coverage" => Ok(Metric::Coverage),
            _ => Err(format!("expected `pass@K`, `maj@K` or `coverage`, found \"{text}\"")),
        }
    }

    /// The same, where K may be at most `n`, the number of draws.
    pub(crate) fn of_draws(text: &str, n: usize) -> Result<Self, String> {
        match Self::parse(text)? {
            Metric::Pass(k) | Metric::Majority(k) if k > n => {
                Err(format!("expected K from 1 to n = {n}, found \"{text}\""))
            }
            metric => Ok(metric),
        }
    }

    /// What is wrong with the key `metrics` of a step: names of no metric, a K above the number `n` of draws where it is
    /// known, a metric that stands twice.
    pub(crate) fn wrong_among(metrics: &[String], n: Option<usize>) -> Vec<Problem> {
        let wrong = |(at, text): (usize, &String)| {
            let read = n.map_or_else(|| Self::parse(text), |n| Self::of_draws(text, n));
            let twice = || format!("`{text}` stands twice");
            let message = match read {
                Ok(metric) => {
                    let before = metrics[..at].iter().any(|other| Self::parse(other) == Ok(metric));
                    before.then(twice)?
                }
                Err(message) => message,
            };
            Some(Problem::new(&format!("metrics.{at}"), message))
        };
        metrics.iter().enumerate().filter_map(wrong).collect()
    }

    /// The name as users write it.
    pub(crate) fn name(self) -> String {
        match self {
            Metric::Pass(k) => format!("pass@{k}"),
            Metric::Majority(k) => format!("maj@{k}"),
            Metric::Coverage => "coverage".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for metric in [Metric::Pass(8), Metric::Majority(3), Metric::Coverage] {
            assert_eq!(Metric::parse(&metric.name()), Ok(metric));
        }
        for bad in ["pass@0", "pass", "accuracy", "maj@x", "coverage@2", "pass@-1"] {
            assert!(Metric::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Metric::of_draws("pass@8", 8), Ok(Metric::Pass(8)));
        assert!(Metric::of_draws("pass@9", 8).is_err());
    }

    #[test]
    fn a_metric_that_stands_twice_is_a_mistake() {
        let wrong = |metrics: &[&str], n| {
            let metrics: Vec<String> = metrics.iter().map(|text| (*text).to_owned()).collect();
            Metric::wrong_among(&metrics, n).into_iter().map(|problem| problem.path).collect::<Vec<_>>()
        };
        assert_eq!(wrong(&["pass@1", "maj@4", "pass@01", "pass@8"], Some(4)), ["metrics.2", "metrics.3"]);
        assert_eq!(wrong(&["pass@1", "pass@8"], None), [""; 0]);
    }
}
