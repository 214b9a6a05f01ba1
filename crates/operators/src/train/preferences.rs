//! How a model's preferences moved away from its start's: kept with the answer of a training, told as rows.

use flow_data::Value;
use flow_trainer::StepReport;

use super::loads;

/// What an answer holds in the end: by stretch of steps the last step, and the means of loss, margin and accuracy; nothing where the
/// loss is not about preferences.
pub(super) fn cells(steps: &[StepReport]) -> Vec<Value> {
    if steps.iter().any(|step| step.preference.is_none()) {
        return Vec::new();
    }
    let stretches: Vec<&[StepReport]> = loads::stretches(steps).collect();
    let mean = |of: fn(&StepReport) -> f64| {
        let mean = |steps: &&[StepReport]| (steps.iter().map(of).sum::<f64>() / steps.len() as f64) as f32;
        Value::Floats(stretches.iter().map(mean).collect::<Vec<_>>().into())
    };
    let ends: Vec<f32> = stretches.iter().filter_map(|steps| Some(steps.last()?.step as f32)).collect();
    let margin = |step: &StepReport| step.preference.map_or(0.0, |preference| preference.margin);
    let accuracy = |step: &StepReport| step.preference.map_or(0.0, |preference| preference.accuracy);
    vec![Value::Floats(ends.into()), mean(|step| step.loss), mean(margin), mean(accuracy)]
}

/// The rows of the record `preference` of an answer.
pub(super) fn rows(answer: &[Value]) -> Vec<Vec<Value>> {
    let [.., Value::Floats(ends), Value::Floats(losses), Value::Floats(margins), Value::Floats(accuracies)] =
        &answer[loads::ALL.min(answer.len())..]
    else {
        return Vec::new();
    };
    let row = |at: usize| {
        let first = at.checked_sub(1).map_or(1, |before| ends[before] as i64 + 1);
        let means = [losses[at], margins[at], accuracies[at]].map(|mean| Value::from(f64::from(mean)));
        [answer[0].clone(), first.into(), (ends[at] as i64).into()].into_iter().chain(means).collect()
    };
    (0..ends.len()).map(row).collect()
}

#[cfg(test)]
mod tests {
    use flow_trainer::Preference;

    use super::*;
    use crate::train::validation;

    #[test]
    fn preferences_are_told_in_stretches_beside_validation() {
        let step = |n: usize| StepReport {
            preference: Some(Preference { margin: n as f64, accuracy: 0.5 }),
            validation: (n == 2).then_some(0.25),
            ..loads::tests::step(n, [[1, 1, 1]; 2])
        };
        let steps: Vec<StepReport> = (1..41).map(step).collect();
        let mut answer = vec![Value::from("digest"); loads::ALL];
        answer.extend(validation::cells(&steps, 3));
        assert!(rows(&answer).is_empty());
        answer.extend(cells(&steps));
        assert_eq!(validation::rows(&answer).len(), 1);
        let rows = rows(&answer);
        assert_eq!(rows.len(), 20);
        assert_eq!(rows[1], vec!["digest".into(), 3i64.into(), 4i64.into(), 1.0.into(), 3.5.into(), 0.5.into()]);
        assert!(cells(&[StepReport { preference: None, ..step(1) }]).is_empty());
    }
}
