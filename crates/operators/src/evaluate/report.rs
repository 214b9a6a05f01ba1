//! From judged draws to metrics.

use std::collections::BTreeMap;

use flow_data::{Id, Item, Value};
use flow_dataflow::{KeyedOp, Out};

use crate::metric::Metric;
use crate::statistics::{bootstrap, pass_at_k};

/// The draws of one problem, in the order of their sample index.
struct Solved {
    problem: Id,
    prompt_id: String,
    level: Option<i64>,
    draws: Vec<(Option<String>, bool)>,
}

impl Solved {
    fn value(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Pass(k) => pass_at_k(self.draws.len(), self.n_correct(), k),
            Metric::Majority(k) => f64::from(self.majority_is_correct(k)),
            Metric::Coverage => f64::from(self.n_correct() > 0),
        }
    }

    fn n_correct(&self) -> usize {
        self.draws.iter().filter(|(_, correct)| *correct).count()
    }

    /// Whether the most frequent answer of the first `k` draws is correct; the earliest of equals wins.
    fn majority_is_correct(&self, k: usize) -> bool {
        let mut votes: Vec<(&str, usize, bool)> = Vec::new();
        for (answer, correct) in self.draws.iter().take(k) {
            let Some(answer) = answer else { continue };
            match votes.iter_mut().find(|(other, ..)| other == answer) {
                Some((_, count, _)) => *count += 1,
                None => votes.push((answer, 1, *correct)),
            }
        }
        let best = votes.iter().rev().max_by_key(|(_, count, _)| *count);
        best.is_some_and(|(.., correct)| *correct)
    }
}

/// All judged draws of a round to its metrics and to one score per problem.
pub(super) struct Report {
    pub(super) prompt_id: usize,
    pub(super) level: Option<usize>,
    /// Where the drawn cells begin: completion, model, sample index, extracted, correct.
    pub(super) drawn: usize,
    pub(super) metrics: Vec<Metric>,
    pub(super) n: usize,
    pub(super) seed: u64,
}

impl KeyedOp for Report {
    fn key(&self, _: &Item) -> Id {
        Id::default()
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        items.iter().for_each(|item| out.take(item));
        let round = items[0].row.round;
        let model = items[0].get(self.drawn + 1).clone();
        let problems = self.problems(items);
        for problem in &problems {
            let id = Id::of("score", [&problem.problem.0[..], &round.to_le_bytes()]);
            out.create(1, round, id, self.score(problem, &model));
        }
        let mut levels: Vec<Option<i64>> = problems.iter().filter_map(|p| p.level).map(Some).collect();
        levels.push(None);
        levels.sort_unstable();
        levels.dedup();
        for level in levels {
            let chosen: Vec<&Solved> =
                problems.iter().filter(|p| level.is_none() || p.level == level).collect();
            for metric in &self.metrics {
                let cells = self.metric(*metric, level, &chosen, &model);
                let name = format!("{} {level:?}", metric.name());
                let id = Id::of("metric", [name.as_bytes(), &round.to_le_bytes()]);
                out.create(0, round, id, cells);
            }
        }
    }
}

impl Report {
    /// The problems by identity, so that the order does not depend on the draws.
    fn problems(&self, items: &[Item]) -> Vec<Solved> {
        let mut problems: BTreeMap<String, Vec<&Item>> = BTreeMap::new();
        for item in items {
            let name = item.text(self.prompt_id).unwrap_or_default();
            problems.entry(name.to_owned()).or_default().push(item);
        }
        let solved = |(prompt_id, mut draws): (String, Vec<&Item>)| {
            draws.sort_by_key(|item| item.int(self.drawn + 2));
            Solved {
                problem: Id::of("problem", [prompt_id.as_bytes()]),
                prompt_id,
                level: self.level.and_then(|at| draws[0].int(at)),
                draws: draws.iter().map(|item| self.draw(item)).collect(),
            }
        };
        problems.into_iter().map(solved).collect()
    }

    fn draw(&self, item: &Item) -> (Option<String>, bool) {
        let correct = matches!(item.get(self.drawn + 4), Value::Bool(true));
        (item.text(self.drawn + 3).map(str::to_owned), correct)
    }

    /// The cells of the record `score`.
    fn score(&self, problem: &Solved, model: &Value) -> Vec<Value> {
        vec![
            problem.prompt_id.clone().into(),
            problem.level.into(),
            (problem.draws.len() as i64).into(),
            (problem.n_correct() as i64).into(),
            problem.majority_is_correct(self.n).into(),
            model.clone(),
        ]
    }

    /// The cells of the record `metric`.
    fn metric(&self, metric: Metric, level: Option<i64>, problems: &[&Solved], model: &Value) -> Vec<Value> {
        let values: Vec<f64> = problems.iter().map(|problem| problem.value(metric)).collect();
        let estimate = bootstrap(&values, self.seed);
        vec![
            metric.name().into(),
            level.into(),
            estimate.value.into(),
            estimate.low.into(),
            estimate.high.into(),
            (problems.len() as i64).into(),
            (self.n as i64).into(),
            model.clone(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn majority_takes_the_earliest_of_equals_and_ignores_missing_answers() {
        let draw = |answer: &str, correct| (Some(answer.to_owned()), correct);
        let draws = vec![(None, false), draw("3", true), draw("4", false), draw("4", false), draw("3", true)];
        let problem = Solved { problem: Id::default(), prompt_id: "p".into(), level: None, draws };
        assert!(problem.majority_is_correct(5));
        assert!(!problem.majority_is_correct(4));
        assert!(problem.majority_is_correct(3));
        assert!(!problem.majority_is_correct(1));
    }
}
