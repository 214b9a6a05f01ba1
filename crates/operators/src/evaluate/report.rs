//! From judged draws to metrics.

use std::collections::BTreeMap;

use flow_data::{Id, Item, Value};
use flow_dataflow::{KeyedOp, Out};

use flow_verify::Options;

use crate::alike::{alike, most_frequent};
use crate::metric::Metric;
use crate::statistics::{bootstrap, pass_at_k};

/// The draws of one problem, in the order of their sample index.
struct Solved {
    problem: Id,
    prompt_id: String,
    level: Option<i64>,
    /// Which draws give the same answer, and whether each is correct.
    draws: Vec<(Option<usize>, bool)>,
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

    /// Whether the most frequent answer of the first `k` draws is correct, as its first draw is; the earliest of equals wins.
    fn majority_is_correct(&self, k: usize) -> bool {
        let said: Vec<Option<usize>> = self.draws.iter().take(k).map(|(answer, _)| *answer).collect();
        most_frequent(&said).is_some_and(|(first, _)| self.draws[first].1)
    }
}

/// Where a judged draw has its cells.
pub(crate) struct Places {
    pub(crate) prompt_id: usize,
    pub(crate) level: Option<usize>,
    pub(crate) model: usize,
    pub(crate) sample_index: usize,
    pub(crate) extracted: usize,
    /// A truth value.
    pub(crate) correct: usize,
}

/// All judged draws of a round to its metrics and to one score per problem.
pub(crate) struct Report {
    pub(crate) places: Places,
    pub(crate) metrics: Vec<Metric>,
    /// Draws per problem; those that are missing count as wrong.
    pub(crate) n: usize,
    /// When two draws give the same answer.
    pub(crate) compare: Options,
    pub(crate) seed: u64,
}

impl KeyedOp for Report {
    fn key(&self, _: &Item) -> Id {
        Id::default()
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        let round = items[0].row.round;
        let model = self.model(items);
        let problems = self.problems(items, out);
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
    /// The model that made the draws; null where it is not recorded, or several did.
    fn model(&self, items: &[Item]) -> Value {
        let model = items[0].get(self.places.model);
        let others = items.iter().any(|item| item.get(self.places.model) != model);
        if others { Value::Null } else { model.clone() }
    }

    /// The problems by identity, so that the order does not depend on the draws. Draws beyond `n` are rejected.
    fn problems(&self, items: &[Item], out: &mut Out<'_>) -> Vec<Solved> {
        let mut problems: BTreeMap<String, Vec<&Item>> = BTreeMap::new();
        for item in items {
            let name = item.text(self.places.prompt_id).unwrap_or_default();
            problems.entry(name.to_owned()).or_default().push(item);
        }
        problems.into_iter().map(|(prompt_id, draws)| self.solved(prompt_id, draws, out)).collect()
    }

    fn solved(&self, prompt_id: String, mut draws: Vec<&Item>, out: &mut Out<'_>) -> Solved {
        draws.sort_by_key(|item| item.int(self.places.sample_index));
        let (measured, beyond) = draws.split_at(self.n.min(draws.len()));
        measured.iter().for_each(|item| out.take(item));
        let detail = format!("the problem has {} draws, more than n = {}", draws.len(), self.n);
        beyond.iter().for_each(|item| out.reject(item, "over_n", &*detail));
        let said = alike(measured.iter().map(|item| item.text(self.places.extracted)), &self.compare);
        let correct = |item: &&Item| *item.get(self.places.correct) == Value::Bool(true);
        let missing = std::iter::repeat_n((None, false), self.n - measured.len());
        Solved {
            problem: Id::of("problem", [prompt_id.as_bytes()]),
            prompt_id,
            level: self.places.level.and_then(|at| draws[0].int(at)),
            draws: said.into_iter().zip(measured.iter().map(correct)).chain(missing).collect(),
        }
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
        let draws = vec![(None, false), (Some(1), true), (Some(2), false), (Some(2), false), (Some(1), true)];
        let problem = Solved { problem: Id::default(), prompt_id: "p".into(), level: None, draws };
        assert!(problem.majority_is_correct(5));
        assert!(!problem.majority_is_correct(4));
        assert!(problem.majority_is_correct(3));
        assert!(!problem.majority_is_correct(1));
    }
}
