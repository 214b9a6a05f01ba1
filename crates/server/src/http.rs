//! One request over HTTP, and what its failure means.

use std::time::{Duration, SystemTime};

use serde_json::Value as Json;
use ureq::http::{Response, header};
use ureq::{Agent, Body, Error};

use crate::backoff::retry_after;
use crate::{Class, Fault, Settings};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);

/// Unused connections are closed before servers do so: uvicorn, under most of them, waits 5 seconds.
const IDLE: Duration = Duration::from_secs(3);

/// The longest answer that is read, in bytes.
const MOST_BYTES: u64 = 256 << 20;

/// Bytes of what a server says that a message quotes.
const QUOTED: usize = 300;

/// A pool of connections.
#[derive(Debug)]
pub(crate) struct Http {
    agent: Agent,
    timeout: Duration,
}

impl Http {
    /// Connections for `settings`; each request is given up after `timeout`.
    pub(crate) fn new(settings: &Settings, timeout: Duration) -> Self {
        let all = settings.max_concurrency * settings.endpoints.len();
        let config = Agent::config_builder()
            .timeout_global(Some(timeout))
            .timeout_connect(Some(CONNECT.min(timeout)))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(all)
            .max_idle_connections_per_host(settings.max_concurrency)
            .max_idle_age(IDLE)
            .proxy(None)
            .user_agent(concat!("flow/", env!("CARGO_PKG_VERSION")));
        Self { agent: config.build().into(), timeout }
    }

    /// The body of a successful answer to `body`, posted to `path` of `endpoint`.
    pub(crate) fn post(
        &self,
        settings: &Settings,
        endpoint: &str,
        path: &str,
        body: &Json,
    ) -> Result<String, Fault> {
        let mut request = self.agent.post(format!("{endpoint}{path}"));
        request = request.header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = &settings.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.reveal()));
        }
        let outcome = request.send(body.to_string());
        self.read(settings, endpoint, outcome)
    }

    /// The same for a request without a body.
    pub(crate) fn get(&self, settings: &Settings, endpoint: &str, path: &str) -> Result<String, Fault> {
        let mut request = self.agent.get(format!("{endpoint}{path}"));
        if let Some(key) = &settings.key {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", key.reveal()));
        }
        let outcome = request.call();
        self.read(settings, endpoint, outcome)
    }

    fn read(
        &self,
        settings: &Settings,
        endpoint: &str,
        outcome: Result<Response<Body>, Error>,
    ) -> Result<String, Fault> {
        let fault = |class, detail: String, retry_after| Fault {
            class,
            endpoint: endpoint.to_owned(),
            detail: settings.redact(&detail),
            retry_after,
        };
        let failed = |error: Error| {
            let (class, detail) = self.failure(&error);
            fault(class, detail, None)
        };
        let mut response = outcome.map_err(failed)?;
        let status = response.status();
        let pause = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let pause = pause.and_then(|header| retry_after(header, SystemTime::now()));
        let text = response.body_mut().with_config().limit(MOST_BYTES).lossy_utf8(true).read_to_string();
        if status.is_success() {
            return text.map_err(failed);
        }
        // What it says beside its status helps, but is not needed.
        let said = settings.redact(&text.unwrap_or_default());
        let class = Class::of_status(status.as_u16());
        Err(fault(class, format!("{status}{}", quoted(&said)), pause))
    }

    /// The class of a failure below HTTP, in words.
    fn failure(&self, error: &Error) -> (Class, String) {
        use std::io::ErrorKind::{ConnectionRefused, TimedOut};
        match error {
            Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                (Class::Unreachable, "no connection in time".to_owned())
            }
            Error::Timeout(_) => (Class::TimedOut, self.too_late()),
            Error::Io(io) if io.kind() == TimedOut => (Class::TimedOut, self.too_late()),
            Error::Io(io) if io.kind() == ConnectionRefused => {
                (Class::Unreachable, "connection refused".to_owned())
            }
            Error::HostNotFound | Error::ConnectionFailed | Error::Tls(_) | Error::Rustls(_) => {
                (Class::Unreachable, error.to_string())
            }
            Error::BadUri(_) | Error::RequireHttpsOnly(_) => (Class::NotFound, error.to_string()),
            Error::Http(_) => (Class::Refused, error.to_string()),
            Error::BodyExceedsLimit(_) => (Class::Malformed, "the answer is longer than 256 MiB".to_owned()),
            Error::Protocol(_) => (Class::Malformed, error.to_string()),
            _ => (Class::Dropped, error.to_string()),
        }
    }

    fn too_late(&self) -> String {
        format!("no answer within {} s", self.timeout.as_secs_f64())
    }
}

/// The beginning of what a server said, on one line: the message of an error in JSON, else the text.
fn quoted(said: &str) -> String {
    let json: Option<Json> = serde_json::from_str(said).ok();
    let message = json.as_ref().and_then(|json| {
        let places = ["/error/message", "/message", "/detail", "/error"];
        places.iter().find_map(|place| json.pointer(place)?.as_str())
    });
    let line = message.unwrap_or(said).split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(QUOTED) {
        _ if line.is_empty() => String::new(),
        Some((end, _)) => format!(": {}...", &line[..end]),
        None => format!(": {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_is_quoted_in_one_short_line() {
        assert_eq!(quoted(""), "");
        assert_eq!(quoted("<h1>\n  Bad\n</h1>"), ": <h1> Bad </h1>");
        assert_eq!(quoted(r#"{"error": {"message": "too long", "code": 400}}"#), ": too long");
        assert_eq!(quoted(r#"{"object": "error", "message": "no such model"}"#), ": no such model");
        let long = quoted(&"é".repeat(1000));
        assert_eq!((long.chars().count(), long.ends_with("...")), (QUOTED + 5, true));
    }
}
