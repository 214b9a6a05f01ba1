//! A claim of a paper, as a test over the arms.

use super::interval::Interval;
use super::outcome::Outcome;
use super::{Measure, SEEDS};

/// What a paper says and how it is tried here.
pub(super) struct Claim {
    pub(super) says: &'static str,
    /// The paper's own numbers.
    pub(super) paper: &'static str,
    pub(super) test: Test,
}

/// How a claim is tried.
pub(super) enum Test {
    /// The difference between two measures, problem by problem; of one level, where one is given.
    Difference { of: At, from: At, level: Option<i64>, aim: Aim },
    /// One quotient of each seed.
    Each { quantity: fn(&Runs<'_>) -> Result<f64, String>, aim: Aim },
}

/// What was measured of a model.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub(super) arm: &'static str,
    pub(super) step: &'static str,
    pub(super) round: When,
    pub(super) measure: Measure,
}

#[derive(Clone, Copy)]
pub(super) enum When {
    /// Before or after the round of this number; 0 is what the first round starts from.
    Round(i64),
    Last,
}

/// What the number must be for the claim to hold.
#[derive(Clone, Copy)]
pub(super) enum Aim {
    Above(f64),
    Below(f64),
    /// Within so much of 0.
    Near(f64),
}

/// The runs of one seed, by arm.
pub(super) struct Runs<'a>(Vec<&'a Outcome>);

impl<'a> Runs<'a> {
    pub(super) fn of(outcomes: &'a [Outcome], seed: u64) -> Self {
        Self(outcomes.iter().filter(|outcome| outcome.seed == seed).collect())
    }

    pub(super) fn arm(&self, name: &str) -> Result<&'a Outcome, String> {
        let found = self.0.iter().find(|outcome| outcome.arm == name);
        found
            .copied()
            .ok_or_else(|| format!("a claim names the arm `{name}`, which the method does not have"))
    }
}

/// What became of a claim.
pub(super) struct Finding {
    /// What was measured, in words.
    pub(super) measured: String,
    pub(super) verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Reproduced,
    Not,
    Undecided,
}

impl Verdict {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::Not => "not reproduced",
            Self::Undecided => "undecided",
        }
    }
}

impl Claim {
    pub(super) fn find(&self, outcomes: &[Outcome]) -> Result<Finding, String> {
        match &self.test {
            Test::Difference { of, from, level, aim } => {
                let seeds: Result<Vec<Vec<f64>>, String> = SEEDS
                    .iter()
                    .map(|seed| differences(&Runs::of(outcomes, *seed), *level, of, from))
                    .collect();
                Ok(difference(&seeds?, of.measure, *aim))
            }
            Test::Each { quantity, aim } => {
                let values: Result<Vec<f64>, String> =
                    SEEDS.iter().map(|seed| quantity(&Runs::of(outcomes, *seed))).collect();
                Ok(each(&values?, *aim))
            }
        }
    }
}

/// `of` less `from` of one seed, for each problem that both have.
fn differences(runs: &Runs<'_>, level: Option<i64>, of: &At, from: &At) -> Result<Vec<f64>, String> {
    let values = |at: &At| {
        let outcome = runs.arm(at.arm)?;
        let round = outcome.round(at.step, at.round);
        Ok::<_, String>(outcome.values(at.step, round, at.measure, level))
    };
    let (of_values, from_values) = (values(of)?, values(from)?);
    let shared: Vec<f64> =
        of_values.iter().filter_map(|(problem, value)| Some(value - from_values.get(problem)?)).collect();
    if shared.is_empty() {
        return Err(format!(
            "`{}` of `{}` and `{}` of `{}` share no problem",
            of.step, of.arm, from.step, from.arm
        ));
    }
    Ok(shared)
}

/// Decided where the interval over all problems is, and each seed by itself points the same way.
fn difference(seeds: &[Vec<f64>], measure: Measure, aim: Aim) -> Finding {
    let all: Vec<f64> = seeds.iter().flatten().copied().collect();
    let interval = Interval::of(&all);
    let means: Vec<f64> = seeds.iter().map(|seed| seed.iter().sum::<f64>() / seed.len() as f64).collect();
    let holds = |low: f64, high: f64| match aim {
        Aim::Above(least) => low > least,
        Aim::Below(most) => high < most,
        Aim::Near(most) => low > -most && high < most,
    };
    let fails = |low: f64, high: f64| match aim {
        Aim::Above(least) => high <= least,
        Aim::Below(most) => low >= most,
        Aim::Near(most) => low > most || high < -most,
    };
    let verdict = if holds(interval.low, interval.high) && means.iter().all(|mean| holds(*mean, *mean)) {
        Verdict::Reproduced
    } else if fails(interval.low, interval.high) {
        Verdict::Not
    } else {
        Verdict::Undecided
    };
    let sign = |value: f64| if value < 0.0 { "-" } else { "+" };
    let told = |value: f64| format!("{}{}", sign(value), measure.told(value.abs()));
    let by_seed: Vec<String> = means.iter().map(|mean| told(*mean)).collect();
    let unit = match measure {
        Measure::Loss => format!("nats a token, perplexity times {:.3}", interval.mean.exp()),
        _ => "points".to_owned(),
    };
    let (mean, low, high) = (told(interval.mean), told(interval.low), told(interval.high));
    Finding { measured: format!("{mean} {unit} ({low} to {high}); seeds {}", by_seed.join(", ")), verdict }
}

/// Decided where all seeds agree.
fn each(values: &[f64], aim: Aim) -> Finding {
    let holds = values.iter().filter(|value| match aim {
        Aim::Above(least) => **value > least,
        Aim::Below(most) => **value < most,
        Aim::Near(most) => value.abs() < most,
    });
    let verdict = match holds.count() {
        0 => Verdict::Not,
        n if n == values.len() => Verdict::Reproduced,
        _ => Verdict::Undecided,
    };
    let told: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
    Finding { measured: format!("{}, by seed", told.join(", ")), verdict }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_decided_by_its_interval_and_by_every_seed() {
        let seed =
            |share: f64| (0..400).map(|at| f64::from(f64::from(at) < share * 400.0)).collect::<Vec<_>>();
        let verdict = |shares: [f64; 3], aim| difference(&shares.map(seed), Measure::Pass(1), aim).verdict;
        assert_eq!(verdict([0.3, 0.4, 0.5], Aim::Above(0.0)), Verdict::Reproduced);
        assert_eq!(verdict([0.0, 0.4, 0.5], Aim::Above(0.0)), Verdict::Undecided);
        assert_eq!(verdict([0.0, 0.0, 0.0], Aim::Above(0.0)), Verdict::Not);
        assert_eq!(verdict([0.3, 0.4, 0.5], Aim::Below(0.2)), Verdict::Not);
        assert_eq!(verdict([0.01, 0.0, 0.01], Aim::Near(0.03)), Verdict::Reproduced);
        assert_eq!(verdict([0.1, 0.1, 0.1], Aim::Near(0.03)), Verdict::Not);
    }

    #[test]
    fn numbers_of_seeds_are_decided_where_all_agree() {
        let verdict = |values: [f64; 3]| each(&values, Aim::Above(2.0)).verdict;
        assert_eq!(verdict([2.1, 3.0, 2.5]), Verdict::Reproduced);
        assert_eq!(verdict([2.1, 1.0, 2.5]), Verdict::Undecided);
        assert_eq!(verdict([1.1, 1.0, 1.5]), Verdict::Not);
    }
}
