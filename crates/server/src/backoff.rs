//! How long to wait before the next attempt.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

/// A delay is at most so many times the first one.
const MOST: u32 = 60;

/// The longest pause that a server may ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The delay after `attempts` failed ones: `first` doubled each time, and of that a random half to whole, so that those who
/// failed together do not come back together. Results do not depend on it.
pub(crate) fn delay(first: Duration, attempts: u32) -> Duration {
    let factor = 1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(MOST).clamp(1, MOST);
    let random = RandomState::new().hash_one(attempts) as f64 / u64::MAX as f64;
    (first * factor).mul_f64(0.5 + random / 2.0)
}

/// What a `Retry-After` asks for at the time `now`: seconds, or a date (RFC 9110, section 10.2.3), of which one that has passed asks for
/// nothing. `None` where it says neither.
pub(crate) fn retry_after(header: &str, now: SystemTime) -> Option<Duration> {
    let header = header.trim();
    let pause = match header.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => Duration::from_secs_f64(seconds.min(LONGEST_PAUSE.as_secs_f64())),
        Ok(_) => return None,
        Err(_) => httpdate::parse_http_date(header).ok()?.duration_since(now).unwrap_or_default(),
    };
    Some(pause.min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_within_bounds_and_differ() {
        let first = Duration::from_millis(100);
        for (attempts, factor) in [(1, 1), (2, 2), (5, 16), (7, 60), (32, 60), (90, 60)] {
            let delays: Vec<Duration> = (0..20).map(|_| delay(first, attempts)).collect();
            assert!(delays.iter().all(|delay| (first * factor / 2..=first * factor).contains(delay)));
            assert!(delays.iter().any(|delay| *delay != delays[0]));
        }
    }

    #[test]
    fn a_pause_is_read_in_seconds_or_as_a_date() {
        let now = httpdate::parse_http_date("Wed, 21 Oct 2026 07:28:00 GMT").expect("a date");
        let pause = |header| retry_after(header, now);
        assert_eq!(pause(" 2 "), Some(Duration::from_secs(2)));
        assert_eq!(pause("0.25"), Some(Duration::from_millis(250)));
        assert_eq!(pause("1e9"), Some(LONGEST_PAUSE));
        assert_eq!(pause("-1"), None);
        assert_eq!(pause("NaN"), None);
        assert_eq!(pause("Wed, 21 Oct 2026 07:28:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(pause("Wed, 21 Oct 2026 07:27:00 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("Sun, 06 Nov 2033 08:49:37 GMT"), Some(LONGEST_PAUSE));
        assert_eq!(pause("soon"), None);
    }
}
