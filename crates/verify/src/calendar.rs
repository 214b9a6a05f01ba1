//! Dates and times of day: other spellings of one are equal, and none is arithmetic.
//!
//! A time needs `am` or `pm` on one side at least, for `12:30` alone may be a ratio. A date needs the name of a month, or is
//! written as `2023-01-31` or `1/31/2023`; where day and month may be exchanged in that, nothing is said.

use crate::compare::Outcome;
use crate::judge::Decision;
use crate::normal::text_key;

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// Longest text that is read, in bytes.
const MAX_BYTES: usize = 48;

/// The verdict on two normalised answers of which one at least is a date or a time; none for others.
pub(crate) fn compare(gold: &str, answer: &str) -> Option<Decision> {
    if ![gold, answer].into_iter().any(may_be_read) {
        return None;
    }
    let (gold, answer) = (text_key(gold).to_ascii_lowercase(), text_key(answer).to_ascii_lowercase());
    times(&gold, &answer)
        .map(|outcome| Decision::new(outcome, "time"))
        .or_else(|| dates(&gold, &answer).map(|outcome| Decision::new(outcome, "date")))
}

/// Whether a text is short and has a digit and a sign or word that dates and times have.
fn may_be_read(text: &str) -> bool {
    text.len() <= MAX_BYTES
        && text.bytes().any(|byte| byte.is_ascii_digit())
        && text.bytes().any(|byte| {
            matches!(byte, b':' | b'/' | b'-' | b'm' | b'M' | b'y' | b'Y' | b'r' | b'R' | b't' | b'e')
        })
}

/// A time of day in seconds from midnight, and whether it says which half of the day.
struct Time {
    seconds: u32,
    is_sure: bool,
}

fn times(gold: &str, answer: &str) -> Option<Outcome> {
    let (a, b) = (time(gold)?, time(answer)?);
    const HALF: u32 = 12 * 3600;
    match (a.is_sure, b.is_sure) {
        (false, false) => None,
        _ if a.seconds == b.seconds => Some(Outcome::Equal),
        (true, true) => Some(Outcome::Different),
        // `3:45` may be in the afternoon.
        _ if a.seconds % HALF == b.seconds % HALF => Some(Outcome::Unknown),
        _ => Some(Outcome::Different),
    }
}

/// `3:45 pm`, `5 a.m.`, `15:45`.
fn time(text: &str) -> Option<Time> {
    let text: String = text.chars().filter(|c| !matches!(c, ' ' | '.')).collect();
    let (digits, half) = match text.strip_suffix("am") {
        Some(digits) => (digits, Some(0)),
        None => text.strip_suffix("pm").map_or((text.as_str(), None), |digits| (digits, Some(12))),
    };
    let mut parts = digits.split(':').map(|part| number(part, 2));
    let (hour, minute, second) = (parts.next()??, parts.next(), parts.next());
    let is_bare = minute.is_none() && half.is_none();
    let (minute, second) = (minute.unwrap_or(Some(0))?, second.unwrap_or(Some(0))?);
    let is_in_range =
        minute < 60 && second < 60 && if half.is_some() { (1..=12).contains(&hour) } else { hour < 24 };
    if is_bare || !is_in_range || parts.next().is_some() {
        return None;
    }
    let hour = half.map_or(hour, |half| hour % 12 + half);
    Some(Time { seconds: (hour * 60 + minute) * 60 + second, is_sure: half.is_some() || hour > 12 })
}

/// A date; what is not said is none.
#[derive(PartialEq)]
struct Date {
    year: Option<u32>,
    month: u32,
    day: Option<u32>,
}

fn dates(gold: &str, answer: &str) -> Option<Outcome> {
    let (a, b) = (readings(gold), readings(answer));
    let is_iso = |text: &str| iso(text).is_some();
    match (a.as_slice(), b.as_slice()) {
        ([], []) => None,
        // A date by its digits is no difference of numbers.
        ([], _) | (_, []) => (is_iso(gold) || is_iso(answer)).then_some(Outcome::Different),
        ([a], [b]) => Some(same(a, b)),
        // `1/2/2023` and `2/1/2023`: the same order of day and month is meant in both.
        _ if a == b => Some(Outcome::Equal),
        _ if a.iter().any(|a| b.iter().any(|b| same(a, b) != Outcome::Different)) => Some(Outcome::Unknown),
        _ => Some(Outcome::Different),
    }
}

fn same(a: &Date, b: &Date) -> Outcome {
    let parts = [(a.year, b.year), (Some(a.month), Some(b.month)), (a.day, b.day)];
    if parts.iter().any(|(x, y)| x.is_some() && y.is_some() && x != y) {
        Outcome::Different
    } else if a == b {
        Outcome::Equal
    } else {
        Outcome::Unknown
    }
}

/// The dates that a text may mean: none, one, or two where day and month may be exchanged.
fn readings(text: &str) -> Vec<Date> {
    if let Some(date) = iso(text).or_else(|| named(text)) {
        return vec![date];
    }
    let Some((first, second, year)) = slashed(text) else { return Vec::new() };
    let date = |month, day| Date { year: Some(year), month, day: Some(day) };
    let orders = if first == second { vec![(first, second)] } else { vec![(first, second), (second, first)] };
    let valid = orders.into_iter().filter(|(month, day)| (1..=12).contains(month) && (1..=31).contains(day));
    valid.map(|(month, day)| date(month, day)).collect()
}

/// `2023-01-31`.
fn iso(text: &str) -> Option<Date> {
    let mut parts = text.split('-');
    let mut part =
        |len: usize| parts.next().filter(|part| part.len() == len).and_then(|part| number(part, len));
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let is_date = parts.next().is_none() && (1..=12).contains(&month) && (1..=31).contains(&day);
    is_date.then_some(Date { year: Some(year), month, day: Some(day) })
}

/// `1/31/2023`, in either order.
fn slashed(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('/');
    let (first, second) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let year = parts.next().filter(|year| year.len() == 4).and_then(|year| number(year, 4))?;
    parts.next().is_none().then_some((first, second, year))
}

/// `May 5`, `5 May 2021`, `January 31st, 2023`.
fn named(text: &str) -> Option<Date> {
    let words: Vec<&str> = text.split([' ', ',', '.']).filter(|word| !word.is_empty()).collect();
    let month_at = words.iter().position(|word| month(word).is_some())?;
    let mut date = Date { year: None, month: month(words[month_at])?, day: None };
    if words.len() > 3 {
        return None;
    }
    for (_, word) in words.iter().enumerate().filter(|(at, _)| *at != month_at) {
        let digits =
            ["st", "nd", "rd", "th"].iter().find_map(|suffix| word.strip_suffix(suffix)).unwrap_or(word);
        let value = number(digits, 4)?;
        let slot = if digits.len() == 4 { &mut date.year } else { &mut date.day };
        if slot.replace(value).is_some() {
            return None;
        }
    }
    let is_date = date.day.is_none_or(|day| (1..=31).contains(&day));
    (words.len() > 1 && is_date).then_some(date)
}

/// The number of a month by its name, whole or its first three letters.
fn month(word: &str) -> Option<u32> {
    let at = MONTHS.iter().position(|name| *name == word || word.len() == 3 && name.starts_with(word))?;
    u32::try_from(at + 1).ok()
}

/// A number of one to `digits` digits.
fn number(text: &str, digits: usize) -> Option<u32> {
    let is_number = (1..=digits).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(a: &str, b: &str) -> Option<Outcome> {
        let outcome = compare(a, b).map(|decision| decision.outcome);
        assert_eq!(outcome, compare(b, a).map(|decision| decision.outcome), "{a} and {b}");
        outcome
    }

    #[test]
    fn spellings_of_one_moment_are_equal() {
        use Outcome::{Different, Equal, Unknown};
        let cases = [
            ("3:45 pm", "15:45", Equal),
            ("3:45 p.m.", "3:45\\text{ PM}", Equal),
            ("12:30 am", "0:30", Equal),
            ("5 pm", "5:00 pm", Equal),
            ("3:45 pm", "3:45 am", Different),
            ("3:45 pm", "3:45", Unknown),
            ("3:45 pm", "3:46", Different),
            ("2023-01-31", "January 31, 2023", Equal),
            ("31 Jan 2023", "1/31/2023", Equal),
            ("May 5th", "5 May", Equal),
            ("05/31/2021", "5/31/2021", Equal),
            ("May 5", "May 6", Different),
            ("May 5", "May 5, 2021", Unknown),
            ("1/2/2021", "2/1/2021", Unknown),
            ("2023-01-02", "2023-02-01", Different),
            ("2020", "2023-01-02", Different),
        ];
        for (a, b, expected) in cases {
            assert_eq!(outcome(a, b), Some(expected), "{a} and {b}");
        }
        for (a, b) in [
            ("12:30", "2:5"),
            ("1/2", "0.5"),
            ("5 m", "5"),
            ("may be 5", "5"),
            ("3 mars", "3"),
            ("25 pm", "25"),
        ] {
            assert_eq!(outcome(a, b), None, "{a} and {b}");
        }
    }
}
