//! Which answers are the same one, said differently: what votes are counted by.

use flow_verify::{Options, Outcome, compare_with};

/// For each of `answers` the place of the first that says the same; none for those that are missing. Costs a comparison
/// for each pair of different texts.
pub(crate) fn alike<'a>(
    answers: impl IntoIterator<Item = Option<&'a str>>,
    options: &Options,
) -> Vec<Option<usize>> {
    // The texts seen, each with the place of the first answer that says the same, and the firsts among them.
    let (mut seen, mut firsts) = (Vec::<(&str, usize)>::new(), Vec::<(&str, usize)>::new());
    let place = |(at, answer): (usize, Option<&'a str>)| {
        let answer = answer?;
        if let Some((_, first)) = seen.iter().find(|(text, _)| *text == answer) {
            return Some(*first);
        }
        let same = |(text, _): &&(&str, usize)| compare_with(text, answer, options).outcome == Outcome::Equal;
        let first = firsts.iter().find(same).map_or(at, |(_, first)| *first);
        if first == at {
            firsts.push((answer, at));
        }
        seen.push((answer, first));
        Some(first)
    };
    answers.into_iter().enumerate().map(place).collect()
}

/// The place that most of `said` have, and how many those are; the earliest of equally frequent ones.
pub(crate) fn most_frequent(said: &[Option<usize>]) -> Option<(usize, usize)> {
    let mut votes = vec![0; said.len()];
    said.iter().flatten().for_each(|first| votes[*first] += 1);
    let cast = votes.into_iter().enumerate().filter(|(_, votes)| *votes > 0);
    cast.min_by_key(|(first, votes)| (std::cmp::Reverse(*votes), *first))
}

#[cfg(test)]
mod tests {
    use flow_verify::Compare;

    use super::*;

    #[test]
    fn answers_of_one_value_share_a_place() {
        let answers = [Some("0.5"), None, Some("3"), Some("\\frac12"), Some("1/2"), Some("3.0"), Some("0.5")];
        let of = |mode| alike(answers, &Options::new(mode));
        assert_eq!(of(Compare::Math), [Some(0), None, Some(2), Some(0), Some(0), Some(2), Some(0)]);
        assert_eq!(of(Compare::Exact), [Some(0), None, Some(2), Some(3), Some(4), Some(5), Some(0)]);
        assert_eq!(most_frequent(&of(Compare::Math)), Some((0, 4)));
    }

    #[test]
    fn the_earliest_of_equally_frequent_places_wins() {
        assert_eq!(most_frequent(&[None, Some(1), Some(2), Some(2), Some(1)]), Some((1, 2)));
        assert_eq!(most_frequent(&[None, None]), None);
    }
}
