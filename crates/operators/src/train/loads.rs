//! How tokens spread over experts in the course of a training: kept with its answer, told as rows.

use flow_data::Value;
use flow_trainer::StepReport;

use super::groups;

/// Most stretches that a training is told in.
const STRETCHES: usize = 20;

/// Cells of the record `checkpoint`, which come first in an answer.
pub(crate) const CHECKPOINT: usize = 11;

/// These and the cells that tell of experts.
pub(super) const ALL: usize = CHECKPOINT + 4;

/// What an answer holds beside the record `checkpoint`: the last step of each stretch, and by stretch and layer the shares of the
/// experts, the router's entropy and the balance loss, all 0 of a layer without experts. Lists are empty for a dense model.
pub(super) fn cells(steps: &[StepReport]) -> [Value; 4] {
    let (mut ends, mut loads, mut entropies, mut balances) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let layers = steps.first().map_or(0, |step| step.layers.len());
    for steps in stretches(steps).filter(|_| layers > 0) {
        ends.extend(steps.last().map(|step| step.step as f32));
        for layer in 0..layers {
            let seen = || steps.iter().map(|step| &step.layers[layer]);
            let mean = |sum: f64| (sum / steps.len() as f64) as f32;
            loads.extend(shares(steps, layer));
            entropies.push(mean(seen().map(|load| load.router_entropy).sum()));
            balances.push(mean(seen().map(|load| load.balance_loss).sum()));
        }
    }
    [ends, loads, entropies, balances].map(|numbers| Value::Floats(numbers.into()))
}

/// The steps of a training in stretches of about one length.
pub(super) fn stretches(steps: &[StepReport]) -> impl Iterator<Item = &[StepReport]> {
    let n = STRETCHES.min(steps.len());
    (0..n).map(move |at| &steps[at * steps.len() / n..(at + 1) * steps.len() / n])
}

/// The share of all choices that each expert of a layer had over all `steps`; what is missing to 1 fell on null experts.
pub(super) fn shares(steps: &[StepReport], layer: usize) -> Vec<f32> {
    let (mut visits, mut nulls) = (Vec::<u64>::new(), 0);
    for step in steps {
        let seen = &step.layers[layer].tokens_per_expert;
        visits.resize(seen.len(), 0);
        visits.iter_mut().zip(seen).for_each(|(sum, seen)| *sum += seen);
        nulls += step.layers[layer].null_visits;
    }
    let all = (visits.iter().sum::<u64>() + nulls).max(1) as f32;
    visits.iter().map(|visits| *visits as f32 / all).collect()
}

/// The rows of the record `expert_load` of an answer: of all tokens, then of groups of them; none of layers without experts.
pub(crate) fn rows(answer: &[Value]) -> Vec<Vec<Value>> {
    let [Value::Floats(ends), Value::Floats(loads), Value::Floats(entropies), Value::Floats(balances)] =
        &answer[CHECKPOINT.min(answer.len())..ALL.min(answer.len())]
    else {
        return Vec::new();
    };
    let layers = entropies.len() / ends.len().max(1);
    let experts = loads.len() / entropies.len().max(1);
    let row = |stretch: usize, layer: usize, load: &[f32], entropy: f32| {
        let first = stretch.checked_sub(1).map_or(1, |before| ends[before] as i64 + 1);
        let n_dead = load.iter().filter(|share| **share == 0.0).count();
        vec![
            answer[0].clone(),
            first.into(),
            (ends[stretch] as i64).into(),
            (layer as i64).into(),
            Value::Floats(load.into()),
            (n_dead as i64).into(),
            f64::from(entropy).into(),
        ]
    };
    let of_all = |at: usize| {
        let load = &loads[at * experts..(at + 1) * experts];
        let mut row = row(at / layers, at % layers, load, entropies[at]);
        row.extend([f64::from(balances[at]).into(), null_share(load), Value::Null, Value::Null, Value::Null]);
        row
    };
    let of_group = |told: groups::Told<'_>| {
        let mut row = row(told.stretch, told.layer, told.load, told.entropy);
        let tokens = told.tokens as i64;
        row.extend([Value::Null, null_share(told.load), Value::Text(told.column.clone()), Value::Text(told.value.clone()), tokens.into()]);
        row
    };
    let has_experts = |at: &usize| entropies[*at] > 0.0 || loads[at * experts..(at + 1) * experts].iter().any(|share| *share > 0.0);
    (0..entropies.len()).filter(has_experts).map(of_all).chain(groups::told(answer, ends.len()).into_iter().map(of_group)).collect()
}

/// What is missing to 1, to six digits.
fn null_share(load: &[f32]) -> Value {
    let computed: f64 = load.iter().map(|share| f64::from(*share)).sum();
    (((1.0 - computed) * 1e6).round().max(0.0) / 1e6).into()
}

#[cfg(test)]
pub(super) mod tests {
    use flow_trainer::LayerLoad;

    use super::*;

    pub(in super::super) fn step(step: usize, visits: [[u64; 3]; 2]) -> StepReport {
        let layer = |visits: [u64; 3]| LayerLoad {
            tokens_per_expert: visits.to_vec(),
            null_visits: 0,
            router_entropy: step as f64,
            balance_loss: 1.0,
            z_loss: 0.0,
            groups: Vec::new(),
        };
        StepReport {
            step,
            steps: 50,
            loss: 1.0,
            learning_rate: 0.1,
            grad_norm: 1.0,
            tokens: 4,
            scored_tokens: 2,
            layers: visits.map(layer).into(),
            preference: None,
            validation: None,
        }
    }

    #[test]
    fn a_training_is_told_in_stretches_by_layer() {
        let steps: Vec<StepReport> = (1..51).map(|n| step(n, [[1, 3, 0], [0, 0, n as u64]])).collect();
        let mut answer = vec![Value::from("digest"); CHECKPOINT];
        answer.extend(cells(&steps));
        let rows = rows(&answer);
        assert_eq!(rows.len(), 2 * STRETCHES);
        let bounds: Vec<[&Value; 2]> = rows.iter().step_by(2).map(|row| [&row[1], &row[2]]).collect();
        assert_eq!(bounds[0], [&Value::Int(1), &Value::Int(2)]);
        assert_eq!(bounds[STRETCHES - 1][1], &Value::Int(50));
        assert!(bounds.windows(2).all(|two| matches!((two[0][1], two[1][0]), (Value::Int(a), Value::Int(b)) if a + 1 == *b)));
        assert_eq!(rows[0][4], Value::Floats([0.25, 0.75, 0.0].into()));
        assert_eq!((&rows[0][5], &rows[1][5], &rows[1][3]), (&Value::Int(1), &Value::Int(2), &Value::Int(1)));
        assert_eq!(rows[0][6], Value::Float(1.5));
    }

    #[test]
    fn what_falls_on_null_experts_is_missing_in_the_load() {
        let mut with_nulls = step(1, [[1, 2, 0], [2, 2, 2]]);
        with_nulls.layers[0].null_visits = 5;
        let mut answer = vec![Value::from("digest"); CHECKPOINT];
        answer.extend(cells(&[with_nulls]));
        let rows = rows(&answer);
        assert_eq!((&rows[0][4], &rows[0][8]), (&Value::Floats([0.125, 0.25, 0.0].into()), &Value::Float(0.625)));
        assert_eq!((&rows[0][5], &rows[1][8]), (&Value::Int(1), &Value::Float(0.0)));
    }

    #[test]
    fn a_layer_without_experts_is_not_told() {
        let mut beside = step(1, [[0; 3], [2, 2, 2]]);
        beside.layers[0] = LayerLoad { tokens_per_expert: vec![0; 3], ..LayerLoad::default() };
        let mut answer = vec![Value::from("digest"); CHECKPOINT];
        answer.extend(cells(&[beside]));
        let layers: Vec<Value> = rows(&answer).into_iter().map(|row| row[3].clone()).collect();
        assert_eq!(layers, [Value::Int(1)]);
    }

    #[test]
    fn a_dense_model_has_no_loads() {
        let dense = StepReport { layers: Vec::new(), ..step(1, [[1, 1, 1]; 2]) };
        let mut answer = vec![Value::from("digest"); CHECKPOINT];
        answer.extend(cells(&[dense]));
        assert!(rows(&answer).is_empty());
    }
}
