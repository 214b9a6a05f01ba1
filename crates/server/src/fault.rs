//! What can go wrong with a request, by what is done about it.

use std::time::Duration;

/// Why a draw has no completion.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A server says that it is the request's own fault, or everybody's ([`Class::concerns_all`]).
    #[error("refused by {0}")]
    Refused(Fault),
    /// All attempts failed, while other requests were answered.
    #[error("given up after {attempts} attempts; the last one at {fault}")]
    GaveUp {
        /// How often it was asked for.
        attempts: u32,
        /// Why the last attempt failed.
        fault: Fault,
    },
    /// No endpoint has answered anything for as long as the settings allow, whatever they failed by.
    #[error("no server has answered for {silent_s} s; the last failure was at {fault}")]
    Outage {
        /// Seconds since the first failure of the row.
        silent_s: u64,
        /// The last failure.
        fault: Fault,
    },
    /// The dialect of the server has no such parameter.
    #[error("the interface `openai` has no `{0}`")]
    Unsaid(&'static str),
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint}: {detail}")]
pub struct Fault {
    /// The kind of failure.
    pub class: Class,
    /// The endpoint that was asked.
    pub endpoint: String,
    /// The particulars, with the beginning of what the server said. Keys are hidden.
    pub detail: String,
    /// How long the server asks to be left alone.
    pub retry_after: Option<Duration>,
}

/// Kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// No connection: refused, no such host, no trust in its certificate; or 502, which says the same of what is behind it.
    Unreachable,
    /// The connection broke before the answer was whole.
    Dropped,
    /// No whole answer in time, 408 or 504.
    TimedOut,
    /// 429, 503: more was asked than the server can take.
    Busy,
    /// Another 5xx.
    Broken,
    /// The answer is not what the interface says.
    Malformed,
    /// No completion in an answer that is otherwise whole.
    WrongCount,
    /// The request's own fault: another 4xx, such as a prompt longer than the context.
    Refused,
    /// 401 or 403: the key is missing or wrong.
    Denied,
    /// 404, or 3xx, which leads elsewhere: no such model or no such interface at this address.
    NotFound,
}

impl Class {
    /// The class of an HTTP status that is not a success.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied,
            300..=399 | 404 => Self::NotFound,
            408 | 504 => Self::TimedOut,
            409 | 425 => Self::Broken,
            429 | 503 => Self::Busy,
            502 => Self::Unreachable,
            500.. => Self::Broken,
            _ => Self::Refused,
        }
    }

    /// Whether the same request may be answered later.
    pub fn is_passing(self) -> bool {
        !matches!(self, Self::Refused | Self::Denied | Self::NotFound)
    }

    /// Whether every other request would fail alike.
    pub fn concerns_all(self) -> bool {
        matches!(self, Self::Denied | Self::NotFound)
    }

    /// Whether the endpoint has too much to do.
    pub(crate) fn is_overload(self) -> bool {
        matches!(self, Self::Busy | Self::TimedOut)
    }

    /// Whether it happened on the way, whatever was asked.
    pub(crate) fn is_between(self) -> bool {
        matches!(self, Self::Unreachable | Self::Dropped | Self::Busy)
    }

    /// Whether it is the server's not being there rather than the request's doing: what fails so while all endpoints are ill
    /// has not been tried.
    pub(crate) fn is_outage(self) -> bool {
        matches!(self, Self::Unreachable | Self::Dropped | Self::TimedOut | Self::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_asked_again() {
        let passing = |status| Class::of_status(status).is_passing();
        assert!([408, 409, 425, 429, 500, 502, 503, 504, 529].into_iter().all(passing));
        assert!(![301, 400, 401, 403, 404, 405, 413, 422, 431].into_iter().any(passing));
        let concerns_all = |status| Class::of_status(status).concerns_all();
        assert!([301, 302, 308, 401, 403, 404].into_iter().all(concerns_all));
        assert!(![400, 413, 422, 429, 500].into_iter().any(concerns_all));
    }
}
