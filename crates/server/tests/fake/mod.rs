//! A server that speaks OpenAI's interface and misbehaves as it is told. It counts what it was asked.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, reason = "tests of two packages include this file")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value as Json, json};

/// The model that it lists.
pub const MODEL: &str = "tiny";

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// All completions that were asked for.
    Answer,
    /// Only so many of them.
    Few(usize),
    /// The connection is closed in the middle of the answer.
    Drop,
    /// The answer, too late.
    Late(Duration),
    /// The first half of the answer, as if it were all.
    Half,
    /// This status, with this `Retry-After` if it is not empty.
    Status(u16, &'static str),
}

/// A request for completions.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The prompt, or the last message.
    pub prompt: String,
    /// The seed.
    pub seed: u64,
    /// How many completions.
    pub n: usize,
    /// How often the same prompt and seed were asked for before.
    pub earlier: usize,
}

/// What it was asked and what it answered, by prompt and seed.
#[derive(Clone, Debug, Default)]
pub struct Log {
    /// Requests for completions.
    pub asked: BTreeMap<(String, u64), usize>,
    /// Requests answered whole and in time.
    pub answered: BTreeMap<(String, u64), usize>,
    /// Requests by what was done with them.
    pub acts: BTreeMap<Act, usize>,
    /// Bodies in the order of arrival.
    pub bodies: Vec<Json>,
    /// The last header of authorization.
    pub key: String,
}

/// A running server; it ends when dropped.
pub struct Fake {
    address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    log: Mutex<Log>,
    act: Box<dyn Fn(&Asked) -> Act + Send + Sync>,
    text: Box<dyn Fn(&Asked) -> String + Send + Sync>,
    closed: AtomicBool,
}

impl Fake {
    /// A server that does what `act` says and completes prompts by `text`.
    pub fn new(
        act: impl Fn(&Asked) -> Act + Send + Sync + 'static,
        text: impl Fn(&Asked) -> String + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (log, closed) = (Mutex::default(), AtomicBool::new(false));
        let inner = Arc::new(Inner { log, act: Box::new(act), text: Box::new(text), closed });
        let shared = inner.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.closed.load(SeqCst) {
                    return;
                }
                let (shared, Ok(stream)) = (shared.clone(), stream) else { continue };
                std::thread::spawn(move || shared.serve(&stream));
            }
        });
        Self { address, inner }
    }

    /// A server that behaves well and repeats prompt and seed.
    pub fn well() -> Self {
        Self::new(|_| Act::Answer, echo)
    }

    /// Its base address.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// What it was asked so far.
    pub fn log(&self) -> Log {
        self.inner.log.lock().unwrap().clone()
    }
}

/// The completion that tells what was asked.
pub fn echo(asked: &Asked) -> String {
    format!("{}#{}", asked.prompt, asked.seed)
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.inner.closed.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Inner {
    /// Answers what comes over one connection, until either side closes it.
    fn serve(&self, stream: &TcpStream) {
        let mut reader = BufReader::new(stream);
        while let Some((line, key, body)) = request(&mut reader) {
            if self.closed.load(SeqCst) {
                return;
            }
            self.log.lock().unwrap().key.clone_from(&key);
            let goes_on = match line.starts_with("GET") {
                true => {
                    let models = json!({"object": "list", "data": [{"id": MODEL, "object": "model"}]});
                    respond(stream, 200, "", &models.to_string())
                }
                false => self.complete(stream, &key, &line, &body),
            };
            if !goes_on {
                return;
            }
        }
    }

    fn complete(&self, stream: &TcpStream, key: &str, line: &str, body: &[u8]) -> bool {
        let body: Json = serde_json::from_slice(body).unwrap();
        let is_chat = line.contains("/chat/");
        let prompt = match is_chat {
            true => &body["messages"].as_array().unwrap().last().unwrap()["content"],
            false => &body["prompt"],
        };
        let prompt = prompt.as_str().unwrap().to_owned();
        let seed = body["seed"].as_u64().unwrap();
        let n = body["n"].as_u64().map_or(1, |n| n as usize);
        let (asked, act) = {
            let mut log = self.log.lock().unwrap();
            log.bodies.push(body.clone());
            let count = log.asked.entry((prompt.clone(), seed)).or_default();
            *count += 1;
            let asked = Asked { prompt, seed, n, earlier: *count - 1 };
            let act = (self.act)(&asked);
            *log.acts.entry(act).or_default() += 1;
            (asked, act)
        };
        let given = match act {
            Act::Few(few) => few,
            _ => n,
        };
        let text = |index: usize| (self.text)(&Asked { seed: asked.seed + index as u64, ..asked.clone() });
        let choice = |index: usize| match is_chat {
            true => {
                json!({"index": index, "message": {"role": "assistant", "content": text(index)}, "finish_reason": "stop"})
            }
            false => json!({"index": index, "text": text(index), "finish_reason": "stop"}),
        };
        let choices: Vec<Json> = (0..given).map(choice).collect();
        let usage = json!({"prompt_tokens": 3, "completion_tokens": 2 * given});
        let whole = json!({"choices": choices, "usage": usage}).to_string();
        match act {
            Act::Answer | Act::Few(_) => {
                *self.log.lock().unwrap().answered.entry((asked.prompt, asked.seed)).or_default() += 1;
                respond(stream, 200, "", &whole)
            }
            Act::Half => respond(stream, 200, "", &whole[..whole.len() / 2]),
            Act::Status(status, pause) => {
                let said = json!({"error": {"message": format!("status {status} for {key}")}});
                respond(stream, status, pause, &said.to_string())
            }
            Act::Drop => {
                let _ = write!(&*stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", whole.len());
                let _ = (&*stream).write_all(&whole.as_bytes()[..whole.len() / 2]);
                let _ = stream.shutdown(std::net::Shutdown::Both);
                false
            }
            Act::Late(by) => {
                std::thread::sleep(by);
                respond(stream, 200, "", &whole)
            }
        }
    }
}

/// The next request's first line, its authorization and its body; `None` when the connection ends.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let (mut first, mut key, mut length) = (String::new(), String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some((name, value)) if name.eq_ignore_ascii_case("authorization") => key = value.to_owned(),
            None if first.is_empty() => line.clone_into(&mut first),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((first, key, body))
}

/// Writes an answer; whether the connection still stands.
fn respond(mut stream: &TcpStream, status: u16, pause: &str, body: &str) -> bool {
    let pause = if pause.is_empty() { String::new() } else { format!("Retry-After: {pause}\r\n") };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n{pause}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all((head + body).as_bytes()).is_ok()
}
