//! How tokens of groups of rows spread over experts: the groups by the values of `report_by`, kept with an answer, told as rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use flow_data::Value;
use flow_trainer::{GroupLoad, StepReport};

use super::examples::Row;
use super::loads;

/// Most groups that a training tells of: all of them are kept for each stretch and layer.
const MOST: usize = 256;

/// The groups of the rows of a training, in the order of the columns and of their values.
#[derive(Default)]
pub(super) struct Groups {
    /// Column and value of each.
    names: Vec<(String, Arc<str>)>,
}

impl Groups {
    /// Puts each example into the groups of its row's values.
    pub(super) fn assign(columns: &[String], rows: &mut [Row]) -> Result<Self, String> {
        let mut names = Vec::new();
        for (at, column) in columns.iter().enumerate() {
            let values: BTreeSet<&Arc<str>> = rows.iter().filter_map(|row| row.values[at].as_ref()).collect();
            names.extend(values.into_iter().map(|value| (column.clone(), value.clone())));
        }
        if names.len() > MOST {
            return Err(format!("the columns of `report_by` have {} different values, expected at most {MOST}", names.len()));
        }
        for row in rows {
            let pairs = columns.iter().zip(&row.values).filter_map(|(column, value)| Some((column, value.as_ref()?)));
            let group = |(column, value)| names.iter().position(|(c, v)| c == column && v == value).map(|at| at as u32);
            row.example.groups = pairs.filter_map(group).collect();
        }
        Ok(Self { names })
    }

    /// What an answer holds of the groups: column and value of each in turn; by stretch and group the tokens; by stretch, layer and group the
    /// shares of the experts, and the router's mean entropy. Nothing without groups.
    pub(super) fn cells(&self, steps: &[StepReport]) -> Vec<Value> {
        let layers = steps.first().map_or(0, |step| step.layers.len());
        if self.names.is_empty() || layers == 0 {
            return Vec::new();
        }
        let experts = steps[0].layers[0].tokens_per_expert.len();
        let (mut tokens, mut loads, mut entropies) = (Vec::new(), Vec::new(), Vec::new());
        for steps in loads::stretches(steps) {
            // All layers with experts see the same tokens.
            let seen = |group: usize| (0..layers).map(|layer| total(steps, layer, group, experts).tokens).max().unwrap_or(0);
            tokens.extend((0..self.names.len()).map(|group| seen(group) as f32));
            for (layer, group) in (0..layers).flat_map(|layer| (0..self.names.len()).map(move |group| (layer, group))) {
                let sum = total(steps, layer, group, experts);
                let visits = (sum.tokens_per_expert.iter().sum::<u64>() + sum.null_visits).max(1) as f32;
                loads.extend(sum.tokens_per_expert.iter().map(|seen| *seen as f32 / visits));
                entropies.push((sum.router_entropy / sum.tokens.max(1) as f64) as f32);
            }
        }
        let names = self.names.iter().flat_map(|(column, value)| [column.as_str(), value]);
        let numbers = [tokens, loads, entropies].map(|numbers| Value::Floats(numbers.into()));
        std::iter::once(Value::texts(names)).chain(numbers).collect()
    }
}

/// The use of the experts of a layer by a group over all `steps`.
fn total(steps: &[StepReport], layer: usize, group: usize, experts: usize) -> GroupLoad {
    let mut sum = GroupLoad { tokens_per_expert: vec![0; experts], ..GroupLoad::default() };
    steps.iter().filter_map(|step| step.layers[layer].groups.get(group)).for_each(|seen| sum.add(seen));
    sum
}

/// What a group's tokens did in one layer over a stretch of steps.
pub(super) struct Told<'a> {
    pub(super) column: &'a Arc<str>,
    pub(super) value: &'a Arc<str>,
    pub(super) stretch: usize,
    pub(super) layer: usize,
    pub(super) tokens: f32,
    pub(super) load: &'a [f32],
    pub(super) entropy: f32,
}

/// What an answer of so many stretches tells of groups; a stretch without tokens of a group is left out, and so is a layer without experts.
pub(super) fn told(answer: &[Value], stretches: usize) -> Vec<Told<'_>> {
    let more = &answer[loads::ALL.min(answer.len())..];
    let found = more.windows(4).find_map(|cells| match cells {
        [Value::Texts(names), Value::Floats(tokens), Value::Floats(loads), Value::Floats(entropies)] => {
            Some((names.as_chunks::<2>().0, tokens, loads, entropies))
        }
        _ => None,
    });
    let Some((names, tokens, loads, entropies)) = found else { return Vec::new() };
    let (groups, layers) = (names.len(), entropies.len() / tokens.len().max(1));
    let experts = loads.len() / entropies.len().max(1);
    let one = |at: usize| {
        let (stretch, layer, group) = (at / groups / layers, at / groups % layers, at % groups);
        let [column, value] = &names[group];
        let tokens = tokens[stretch * groups + group];
        Told { column, value, stretch, layer, tokens, load: &loads[at * experts..(at + 1) * experts], entropy: entropies[at] }
    };
    let has_experts = |told: &Told<'_>| told.entropy > 0.0 || told.load.iter().any(|share| *share > 0.0);
    (0..stretches * layers * groups).map(one).filter(|told| told.tokens > 0.0 && has_experts(told)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(domain: Option<&str>, level: &str) -> Row {
        let values = vec![domain.map(Arc::from), Some(level.into())];
        Row { id: "row".into(), example: flow_trainer::Example::new("1+1=", "2"), values }
    }

    #[test]
    fn rows_are_in_the_groups_of_their_values() {
        let mut rows = [row(Some("time"), "1"), row(None, "2"), row(Some("sums"), "1")];
        let groups = Groups::assign(&["domain".into(), "level".into()], &mut rows).unwrap();
        let names: Vec<(&str, &str)> = groups.names.iter().map(|(column, value)| (column.as_str(), &**value)).collect();
        assert_eq!(names, [("domain", "sums"), ("domain", "time"), ("level", "1"), ("level", "2")]);
        assert_eq!(rows.map(|row| row.example.groups.to_vec()), [vec![1, 2], vec![3], vec![0, 2]]);
        let mut many: Vec<Row> = (0..300).map(|at| row(None, &at.to_string())).collect();
        let error = Groups::assign(&["domain".into(), "level".into()], &mut many).err().unwrap();
        assert_eq!(error, "the columns of `report_by` have 300 different values, expected at most 256");
    }

    #[test]
    fn groups_are_told_where_they_have_tokens() {
        let group = |tokens: u64, visits: [u64; 3]| GroupLoad {
            tokens,
            tokens_per_expert: visits.to_vec(),
            null_visits: 0,
            router_entropy: tokens as f64,
        };
        let step = |n: usize| {
            let mut step = loads::tests::step(n, [[2, 2, 4]; 2]);
            let two = vec![group(1, [2, 0, 0]), group(3, [0, 2, 4])];
            step.layers[0].groups = if n == 1 { vec![group(4, [2, 2, 4])] } else { two.clone() };
            step.layers[1].groups = if n == 1 { vec![group(4, [8, 0, 0])] } else { two };
            step
        };
        let steps: Vec<StepReport> = (1..4).map(step).collect();
        let names = ["a", "b"].map(|value| ("domain".to_owned(), Arc::from(value))).to_vec();
        let mut answer = vec![Value::from("digest"); loads::ALL];
        answer.extend(Groups { names }.cells(&steps));
        answer.extend([Value::Floats([1.0].into()), Value::Int(3)]);
        let told: Vec<_> = told(&answer, 3).into_iter().map(|told| (told.stretch, told.layer, &**told.value, told.tokens, told.load.to_vec(), told.entropy)).collect();
        let (quarter, third) = (vec![0.25, 0.25, 0.5], vec![0.0, 1.0 / 3.0, 2.0 / 3.0]);
        assert_eq!(told[0], (0, 0, "a", 4.0, quarter, 1.0));
        assert_eq!(told[1], (0, 1, "a", 4.0, vec![1.0, 0.0, 0.0], 1.0));
        assert_eq!(told[2], (1, 0, "a", 1.0, vec![1.0, 0.0, 0.0], 1.0));
        assert_eq!(told[3], (1, 0, "b", 3.0, third, 1.0));
        assert_eq!(told.len(), 2 + 4 + 4);
        assert!(Groups::default().cells(&steps).is_empty());
    }
}
