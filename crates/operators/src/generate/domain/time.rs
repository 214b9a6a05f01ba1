//! Minutes between times of a day, days between dates of a year: `From 9:40 to 11:15. Break 10 min. Minutes?`

use super::super::problem::Worked;
use super::super::wording::{Fact, Words};
use super::between;
use crate::random::below;

const SPAN: Words = Words {
    plain: "From {from} to {to}.",
    varied: &["A visit lasts from {from} to {to}.", "It begins on {from} and ends on {to}.", "We stay from {from} to {to}."],
    unseen: &["The first is {from}, the last {to}.", "Between {from} and {to} we are away."],
};
const CLOCK: Words = Words {
    plain: "From {from} to {to}.",
    varied: &["A lesson lasts from {from} to {to}.", "Work begins at {from} and ends at {to}.", "A train leaves at {from} and arrives at {to}."],
    unseen: &["The clock goes from {from} to {to}.", "Doors open at {from} and close at {to}."],
};
const BREAK: Words = Words {
    plain: "Break {n} min.",
    varied: &["There is a break of {n} minutes.", "{n} minutes of it are a pause."],
    unseen: &["For {n} minutes nothing happens.", "Leave out {n} minutes."],
};
const MINUTES: Words = Words {
    plain: "Minutes?",
    varied: &["How many minutes is that without breaks?", "How many minutes remain?"],
    unseen: &["Count the minutes that are used.", "What is that in minutes?"],
};
const DAYS: Words = Words {
    plain: "Days?",
    varied: &["How many days later is that?", "How many days pass?"],
    unseen: &["Count the days.", "After how many days does it end?"],
};

/// Months of a year that is not a leap year, with their days.
const MONTHS: [(&str, usize); 12] = [
    ("Jan", 31), ("Feb", 28), ("Mar", 31), ("Apr", 30), ("May", 31), ("Jun", 30),
    ("Jul", 31), ("Aug", 31), ("Sep", 30), ("Oct", 31), ("Nov", 30), ("Dec", 31),
];

pub(super) fn draw(state: &mut u64, level: u32, largest: usize) -> Worked {
    match below(state, 2) {
        0 if level as usize <= MONTHS.len() => dates(state, level as usize),
        _ => clock(state, level as usize, largest),
    }
}

/// Days between two dates: one equation within a month, one more for each month that begins on the way.
fn dates(state: &mut u64, level: usize) -> Worked {
    let first = below(state, MONTHS.len() - (level - 1));
    let last = first + level - 1;
    let ((from_month, from_days), (to_month, to_days)) = (MONTHS[first], MONTHS[last]);
    let (from, to) = match first == last {
        true => {
            let from = between(state, 1, from_days - 1);
            (from, between(state, from + 1, from_days))
        }
        false => (between(state, 1, from_days - 1), between(state, 1, to_days)),
    };
    let mut equations = Vec::new();
    let mut days = to - from.min(to);
    if first == last {
        equations.push(format!("{to}-{from}={days}"));
    } else {
        days = from_days - from;
        equations.push(format!("{from_days}-{from}={days}"));
        let whole = MONTHS[first + 1..last].iter().map(|(_, days)| *days);
        for more in whole.chain([to]) {
            equations.push(format!("{days}+{more}={}", days + more));
            days += more;
        }
    }
    let (from, to) = (format!("{from} {from_month}"), format!("{to} {to_month}"));
    let given = vec![Fact::new(&SPAN, [("from", &from), ("to", &to)])];
    Worked { given, asked: Fact::new(&DAYS, []), equations, answer: days }
}

/// Minutes between two times of one day, less breaks: one to four equations for the times, one for each break.
fn clock(state: &mut u64, level: usize, largest: usize) -> Worked {
    let n_breaks = level - between(state, 1, level.min(4));
    let (from_hour, to_hour, from, to, mut equations, mut minutes) = times(state, level - n_breaks);
    // Every break leaves a minute at least, and one for each break behind it.
    if minutes <= n_breaks + 1 {
        return clock(state, level, largest);
    }
    let (from, to) = (format!("{from_hour}:{from:02}"), format!("{to_hour}:{to:02}"));
    let mut given = vec![Fact::new(&CLOCK, [("from", &from), ("to", &to)])];
    for left in (0..n_breaks).rev() {
        let most = (minutes - left - 1).min(largest);
        let n = between(state, 1, most);
        given.push(Fact::new(&BREAK, [("n", &n)]));
        equations.push(format!("{minutes}-{n}={}", minutes - n));
        minutes -= n;
    }
    Worked { given, asked: Fact::new(&MINUTES, []), equations, answer: minutes }
}

/// Two times that are `n` equations apart (1 to 4): hours and minutes of both, the equations, the minutes between.
fn times(state: &mut u64, n: usize) -> (usize, usize, usize, usize, Vec<String>, usize) {
    let from_hour = between(state, 6, 18);
    if n == 1 {
        let from = between(state, 1, 50);
        let to = between(state, from + 1, 59);
        return (from_hour, from_hour, from, to, vec![format!("{to}-{from}={}", to - from)], to - from);
    }
    let to_hour = between(state, from_hour + 1, 23);
    let from = if n == 4 { between(state, 1, 59) } else { 0 };
    let to = if n >= 3 { between(state, 1, 59) } else { 0 };
    let hours = to_hour - from_hour;
    let whole = hours * 60;
    let mut equations = vec![format!("{to_hour}-{from_hour}={hours}"), format!("{hours}*60={whole}")];
    if to > 0 {
        equations.push(format!("{whole}+{to}={}", whole + to));
    }
    if from > 0 {
        equations.push(format!("{}-{from}={}", whole + to, whole + to - from));
    }
    (from_hour, to_hour, from, to, equations, whole + to - from)
}
