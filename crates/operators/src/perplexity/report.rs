//! From scored texts to perplexities.

use std::collections::BTreeMap;

use flow_data::{Id, Item, Value};
use flow_dataflow::{KeyedOp, Out};

use crate::statistics::stratified;

/// All scored texts of a round to one row per group, and to one row per problem.
pub(super) struct Report {
    pub(super) prompt_id: usize,
    pub(super) by: Option<usize>,
    /// Where the scored cells begin: nats, tokens, model.
    pub(super) scored: usize,
    pub(super) seed: u64,
}

/// What the texts of a problem, or of many, come to.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    n_texts: i64,
    n_tokens: i64,
    nats: f64,
}

/// The problems of each group, in the order of their names.
type Groups = BTreeMap<Option<String>, BTreeMap<String, Sum>>;

impl KeyedOp for Report {
    fn key(&self, _: &Item) -> Id {
        Id::default()
    }

    fn group(&self, items: &[Item], out: &mut Out<'_>) {
        items.iter().for_each(|item| out.take(item));
        let round = items[0].row.round;
        let model = items[0].get(self.scored + 2).clone();
        let groups = self.groups(items);
        for (group, problems) in &groups {
            for (problem, sum) in problems {
                let name = group.as_deref().unwrap_or_default();
                let id = Id::of("likelihood", [problem.as_bytes(), name.as_bytes(), &round.to_le_bytes()]);
                let Sum { n_texts, n_tokens, nats } = *sum;
                let (problem, group) = (problem.clone().into(), group.clone().into());
                out.create(1, round, id, vec![problem, group, n_texts.into(), n_tokens.into(), nats.into(), model.clone()]);
            }
        }
        let strata: Vec<Vec<Sum>> = groups.values().map(|problems| problems.values().copied().collect()).collect();
        let named = groups.keys().zip(&strata).filter(|(group, _)| group.is_some());
        let named = named.map(|(group, stratum)| (group.clone(), std::slice::from_ref(stratum)));
        for (group, strata) in named.chain([(None, &strata[..])]) {
            let id = Id::of("perplexity", [format!("{group:?}").as_bytes(), &round.to_le_bytes()]);
            out.create(0, round, id, self.perplexity(group, strata, &model));
        }
    }
}

impl Report {
    fn groups(&self, items: &[Item]) -> Groups {
        let mut groups = Groups::new();
        // Sums of floats depend on their order, which is that of the rows, not of their arrival.
        for item in items {
            let group = self.by.map(|at| match item.get(at) {
                Value::Text(text) => text.to_string(),
                Value::Int(number) => number.to_string(),
                _ => String::new(),
            });
            let problem = item.text(self.prompt_id).unwrap_or_default().to_owned();
            let sum = groups.entry(group).or_default().entry(problem).or_default();
            sum.n_texts += 1;
            sum.n_tokens += item.int(self.scored + 1).unwrap_or_default();
            sum.nats += match item.get(self.scored) {
                Value::Float(nats) => *nats,
                _ => 0.0,
            };
        }
        groups
    }

    /// The cells of the record `perplexity`.
    fn perplexity(&self, group: Option<String>, strata: &[Vec<Sum>], model: &Value) -> Vec<Value> {
        let estimate = stratified(strata, self.seed, mean_perplexity);
        let n_tokens: i64 = strata.iter().flatten().map(|sum| sum.n_tokens).sum();
        vec![
            group.into(),
            estimate.value.into(),
            estimate.low.into(),
            estimate.high.into(),
            (strata.iter().map(Vec::len).sum::<usize>() as i64).into(),
            n_tokens.into(),
            model.clone(),
        ]
    }
}

/// The mean over the groups of the exponential of their nats per token.
fn mean_perplexity(groups: &[Vec<Sum>]) -> f64 {
    let perplexity = |problems: &Vec<Sum>| {
        let nats: f64 = problems.iter().map(|sum| sum.nats).sum();
        let n_tokens: i64 = problems.iter().map(|sum| sum.n_tokens).sum();
        (nats / n_tokens as f64).exp()
    };
    groups.iter().map(perplexity).sum::<f64>() / groups.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_count_alike_whatever_their_size() {
        let sum = |nats: f64| Sum { n_texts: 1, n_tokens: 2, nats };
        let groups = [vec![sum(2.0); 30], vec![sum(0.0), sum(8.0)]];
        let mean = mean_perplexity(&groups);
        assert!((mean - (1f64.exp() + 2f64.exp()) / 2.0).abs() < 1e-12, "{mean}");
        let estimate = stratified(&groups, 1, mean_perplexity);
        // The second group is drawn from alone: twice the first, twice the second, or one of each.
        let ends = [0f64, 4.0].map(|nats| (1f64.exp() + nats.exp()) / 2.0);
        assert_eq!((estimate.value, [estimate.low, estimate.high]), (mean, ends));
    }
}
