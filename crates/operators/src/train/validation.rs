//! Examples that a training is measured on: which ones, and what was measured.

use flow_data::{Id, Value};
use flow_plan::Problem;
use flow_trainer::StepReport;

use super::examples::Row;
use super::loads;

/// Splits off the share `ratio` of the examples: those to learn from, and those to measure on. An example's side is decided by
/// the hash of its text, so that growing data keep their sides.
pub(crate) fn split(rows: Vec<Row>, ratio: f64) -> Result<(Vec<Row>, Vec<Row>), String> {
    if ratio == 0.0 {
        return Ok((rows, Vec::new()));
    }
    let n = rows.len();
    let is_held_out = |Row { example, .. }: &Row| {
        let id = Id::of("validation", [example.prompt.as_bytes(), example.completion.as_bytes()]);
        (id.leading() as f64) < ratio * 2f64.powi(64)
    };
    let (held_out, learned): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_held_out);
    match held_out.is_empty() || learned.is_empty() {
        true => Err(format!("`validation_ratio` {ratio} holds out {} of {n} examples; more of them are needed", held_out.len())),
        false => Ok((learned, held_out)),
    }
}

/// Keys that say how to measure, and none that says on what.
pub(crate) fn mistakes(ratio: f64, keys: [(&str, bool); 2]) -> Vec<Problem> {
    let mistake = |(key, given): (&str, bool)| {
        let problem = Problem::new(key, format!("`{key}` is about validation examples, and there are none"));
        (given && ratio == 0.0).then(|| problem.with_help("say with `validation_ratio` how many to hold out"))
    };
    keys.into_iter().filter_map(mistake).collect()
}

/// What an answer holds beside what [`loads`] adds: the steps measured after, the losses and the number of validation examples;
/// nothing where nothing was measured.
pub(super) fn cells(steps: &[StepReport], n_examples: usize) -> Vec<Value> {
    let (at, losses): (Vec<f32>, Vec<f32>) =
        steps.iter().filter_map(|step| Some((step.step as f32, step.validation? as f32))).unzip();
    match at.is_empty() {
        true => Vec::new(),
        false => vec![Value::Floats(at.into()), Value::Floats(losses.into()), (n_examples as i64).into()],
    }
}

/// The rows of the record `validation` of an answer.
pub(crate) fn rows(answer: &[Value]) -> Vec<Vec<Value>> {
    let [Value::Floats(steps), Value::Floats(losses), n_examples @ Value::Int(_), ..] = &answer[loads::ALL.min(answer.len())..] else {
        return Vec::new();
    };
    let best = losses.iter().copied().enumerate().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(at, _)| at);
    let row = |(at, (step, loss)): (usize, (&f32, &f32))| {
        let loss = f64::from(*loss);
        vec![answer[0].clone(), (*step as i64).into(), loss.into(), n_examples.clone(), (Some(at) == best).into()]
    };
    steps.iter().zip(losses.iter()).enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(at: usize) -> Row {
        let example = flow_trainer::Example::new(format!("{at}+1="), (at + 1).to_string());
        Row { id: at.to_string().into(), example, values: Vec::new() }
    }

    #[test]
    fn sides_are_kept_when_data_grow() {
        let held_out = |n: usize, ratio: f64| split((0..n).map(example).collect(), ratio).map(|(_, held_out)| held_out);
        let (few, many) = (held_out(300, 0.2).unwrap(), held_out(900, 0.2).unwrap());
        assert!((40..80).contains(&few.len()), "{}", few.len());
        assert_eq!(many[..few.len()], few);
        let more = held_out(300, 0.5).unwrap();
        assert!(few.iter().all(|example| more.contains(example)));
        assert_eq!(held_out(300, 0.0).unwrap(), []);
        assert!(held_out(3, 0.000_001).unwrap_err().contains("holds out 0 of 3 examples"));
    }

    #[test]
    fn the_least_loss_is_marked() {
        let step = |step, validation| StepReport { step, validation, ..loads::tests::step(1, [[1, 1, 1]; 2]) };
        let steps = [step(1, None), step(2, Some(0.5)), step(4, Some(0.25)), step(6, Some(0.25))];
        let mut answer = vec![Value::from("digest"); loads::ALL];
        assert!(rows(&answer).is_empty());
        answer.extend(cells(&steps, 7));
        let marked: Vec<_> = rows(&answer).into_iter().map(|row| (row[1].clone(), row[4].clone())).collect();
        assert_eq!(marked, [(2, false), (4, true), (6, false)].map(|(at, best)| (Value::Int(at), Value::Bool(best))));
        assert!(cells(&steps[..1], 7).is_empty());
    }
}
