//! Which documents each step learns from.

use flow_model::Rng;

use crate::TrainConfig;
use crate::batch::Lesson;

/// The documents of every step, as indices: each pass in its own random order, cut into steps.
pub(crate) fn steps(config: &TrainConfig, documents: &[Lesson]) -> Vec<Vec<usize>> {
    let mut steps = Vec::new();
    for pass in 0.. {
        let cut = pass_steps(config, documents, pass);
        let wanted = match config.max_steps {
            Some(max_steps) => max_steps - steps.len(),
            None => ((config.epochs - pass as f64) * cut.len() as f64).ceil() as usize,
        };
        let last = wanted <= cut.len();
        steps.extend(cut.into_iter().take(wanted));
        if last {
            break;
        }
    }
    steps
}

fn pass_steps(config: &TrainConfig, documents: &[Lesson], pass: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..documents.len()).collect();
    Rng::new(config.seed, &format!("pass {pass}")).shuffle(&mut order);
    if !config.pack {
        let in_step = config.batch_size * config.gradient_accumulation_steps;
        return order.chunks(in_step).map(<[usize]>::to_vec).collect();
    }
    let room = config.batch_size * config.gradient_accumulation_steps * config.max_length;
    let mut steps: Vec<Vec<usize>> = Vec::new();
    let mut taken = room;
    for i in order {
        let tokens = documents[i].n_inputs();
        if taken + tokens > room {
            steps.push(Vec::new());
            taken = 0;
        }
        taken += tokens;
        steps.last_mut().expect("the first document opens a step").push(i);
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(lengths: &[usize]) -> Vec<Lesson> {
        lengths.iter().map(|n| Lesson::whole(&vec![1; n + 1])).collect()
    }

    fn config() -> TrainConfig {
        TrainConfig { batch_size: 4, max_length: 10, ..TrainConfig::default() }
    }

    #[test]
    fn a_pass_takes_every_document_once_in_a_random_order() {
        for pack in [false, true] {
            let steps = steps(&TrainConfig { pack, ..config() }, &documents(&[5; 30]));
            let mut taken = steps.concat();
            assert_ne!(taken, (0..30).collect::<Vec<_>>());
            taken.sort();
            assert_eq!(taken, (0..30).collect::<Vec<_>>());
        }
    }

    #[test]
    fn epochs_and_max_steps_count_steps() {
        let count = |epochs, max_steps| {
            steps(&TrainConfig { epochs, max_steps, ..config() }, &documents(&[5; 10])).len()
        };
        assert_eq!([count(1.0, None), count(2.0, None), count(0.5, None), count(1.1, None)], [3, 6, 2, 4]);
        assert_eq!([count(1.0, Some(1)), count(1.0, Some(3)), count(1.0, Some(7))], [1, 3, 7]);
    }

    #[test]
    fn packed_steps_are_filled_up_to_their_room() {
        let documents = documents(&(1..=10).cycle().take(200).collect::<Vec<_>>());
        let steps = steps(&TrainConfig { pack: true, ..config() }, &documents);
        let tokens = |step: &Vec<usize>| step.iter().map(|i| documents[*i].n_inputs()).sum::<usize>();
        assert!(steps.iter().all(|step| tokens(step) <= 40));
        assert!(steps[..steps.len() - 1].iter().all(|step| tokens(step) > 30));
    }
}
