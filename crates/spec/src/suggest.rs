//! "did you mean": the candidate that was probably meant.

/// The candidate closest to `name`: a Damerau-Levenshtein distance of at most a third of the longer of the two (at
/// least 1, for names of more than one letter), or `name` as the beginning of exactly one candidate. `None` when
/// nothing is close.
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    let distance =
        |candidate: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
    let limit = |candidate: &str| {
        let longer = name.chars().count().max(candidate.chars().count());
        (longer / 3).max(usize::from(longer > 1))
    };
    let close = candidates
        .iter()
        .map(|candidate| (distance(candidate), *candidate))
        .filter(|(distance, candidate)| *distance <= limit(candidate))
        .min();
    close.map(|(_, candidate)| candidate).or_else(|| only_completion(name, &candidates))
}

fn only_completion<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let mut completions =
        candidates.iter().filter(|candidate| name.len() >= 2 && candidate.starts_with(name));
    completions.next().filter(|_| completions.next().is_none()).copied()
}

/// Help for a name that is none of `candidates`: the close one if any, and all of them.
pub fn help_with_names(name: &str, what: &str, candidates: &[&str]) -> String {
    match (suggest(name, candidates.iter().copied()), candidates) {
        (_, []) => format!("there are no {what}"),
        (Some(close), _) => format!("did you mean `{close}`? {what}: {}", candidates.join(", ")),
        (None, _) => format!("{what}: {}", candidates.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn close_names_and_unique_beginnings_are_suggested() {
        let keys = ["temperature", "top_p", "max_tokens", "n"];
        assert_eq!(suggest("temprature", keys), Some("temperature"));
        assert_eq!(suggest("max", keys), Some("max_tokens"));
        assert_eq!(suggest("Top_P", keys), Some("top_p"));
        assert_eq!(suggest("flavour", keys), None);
        assert_eq!(suggest("t", keys), None, "any letter is one letter away from `n`");
        assert_eq!(suggest("x", []), None);
    }
}
