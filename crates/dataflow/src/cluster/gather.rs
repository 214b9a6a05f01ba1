//! How the processes of a run come together.
//!
//! Members call the host, which knows nobody's place before; when the last one has called, the host tells all of them the
//! others' addresses, and each process calls those before it.

use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::time::Duration;

use super::wire::{Answer, Hello, Incoming, MOST_HELLO, Purpose, receive, send};
use super::{Cluster, Terms};

/// Between two looks for what has come.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a caller may take to say who it is.
const INTRODUCTION: Duration = Duration::from_secs(1);

/// Called while others are waited for, with the processes that have not come; breaks to give up.
pub type Patience<'a> = dyn FnMut(&[usize]) -> ControlFlow<()> + 'a;

/// Why the processes of a run did not come together.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The own address is not free, or not an address of this machine.
    #[error("cannot listen at `{address}`: {source}")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A connection could not be made or broke.
    #[error("cannot talk with process {process} at `{address}`: {source}")]
    Talk {
        /// The other process.
        process: usize,
        /// Its address.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A process runs something else than the host.
    #[error("process {process} was started with {what}")]
    Differs {
        /// The process.
        process: usize,
        /// What is different.
        what: String,
    },
    /// The host takes no part of this process.
    #[error("process 0 at `{address}` refused this process: {why}")]
    Refused {
        /// The host's address.
        address: String,
        /// Its reason.
        why: String,
    },
    /// Whoever waited gave up.
    #[error("gave up waiting for process {}", missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    GaveUp {
        /// The processes that did not come.
        missing: Vec<usize>,
    },
}

/// A process that can be called, before the run.
#[derive(Debug)]
pub struct Gathering {
    listener: TcpListener,
    address: String,
}

impl Gathering {
    /// Listens at `address`, `host:port`; port 0 means any that is free. Errs when it cannot be had.
    pub fn at(address: &str) -> Result<Self, ClusterError> {
        let refused = |source| ClusterError::Listen { address: address.to_owned(), source };
        let listener = TcpListener::bind(address).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        let address = match address.rsplit_once(':') {
            Some((host, "0")) => format!("{host}:{}", listener.local_addr().map_err(refused)?.port()),
            _ => address.to_owned(),
        };
        Ok(Self { listener, address })
    }

    /// Where others reach this process.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Waits for all members, as process 0.
    ///
    /// Errs when one of them was started with other terms, when a connection breaks, and when `patience` breaks.
    pub fn host(self, terms: &Terms, patience: &mut Patience<'_>) -> Result<Cluster, ClusterError> {
        let mut members = Seats::new(1, terms.processes);
        self.fill(&mut members, patience, |hello, stream, members| {
            let Purpose::Control { terms: theirs, address } = hello.purpose else { return Ok(()) };
            let what = terms.difference(&theirs).or_else(|| {
                let is_free = members.admit(hello.process);
                (!is_free).then_some("a number that is not one of those awaited")
            });
            if let Some(what) = what {
                // It is the host that tells; a member that does not hear it sees the connection end.
                let _ = send(&stream, &Answer::Refused(format!("it was started with {what}")));
                return Err(ClusterError::Differs { process: hello.process, what: what.to_owned() });
            }
            members.seat(hello.process, (stream, address));
            Ok(())
        })?;
        let (control, addresses): (Vec<_>, Vec<_>) = members.all().unzip();
        let addresses: Vec<String> = [self.address.clone()].into_iter().chain(addresses).collect();
        for (stream, process) in control.iter().zip(1..) {
            let address = addresses[process].clone();
            let talk = |source| ClusterError::Talk { process, address, source };
            send(stream, &Answer::Welcome(addresses.clone())).map_err(talk)?;
        }
        let data = self.mesh(0, &addresses, patience)?;
        Ok(Cluster { process: 0, workers: terms.workers, addresses, data, control })
    }

    /// Joins the run of the host at `host`, as `process`. Calls until there is an answer.
    ///
    /// Errs when the host refuses, when a connection breaks, and when `patience` breaks.
    pub fn join(
        self,
        process: usize,
        host: &str,
        terms: &Terms,
        patience: &mut Patience<'_>,
    ) -> Result<Cluster, ClusterError> {
        let talk = |source| ClusterError::Talk { process: 0, address: host.to_owned(), source };
        let stream = call(host, patience)?;
        let purpose = Purpose::Control { terms: terms.clone(), address: self.address.clone() };
        send(&stream, &Hello::new(process, purpose)).map_err(talk)?;
        let mut answers = Incoming::new(&stream, PAUSE).map_err(talk)?;
        let addresses = loop {
            match answers.next().map_err(talk)? {
                Some(Answer::Welcome(addresses)) => break addresses,
                Some(Answer::Refused(why)) => {
                    return Err(ClusterError::Refused { address: host.to_owned(), why });
                }
                None if patience(&[]).is_break() => return Err(ClusterError::GaveUp { missing: vec![0] }),
                None => {}
            }
        };
        let data = self.mesh(process, &addresses, patience)?;
        Ok(Cluster { process, workers: terms.workers, addresses, data, control: vec![stream] })
    }

    /// The connections for rows: calls the processes before `process`, then waits for those after it.
    fn mesh(
        &self,
        process: usize,
        addresses: &[String],
        patience: &mut Patience<'_>,
    ) -> Result<Vec<Option<TcpStream>>, ClusterError> {
        let mut data = Vec::with_capacity(addresses.len());
        for (other, address) in addresses[..process].iter().enumerate() {
            let talk = |source| ClusterError::Talk { process: other, address: address.clone(), source };
            let stream = call(address, patience)?;
            send(&stream, &Hello::new(process, Purpose::Data)).map_err(talk)?;
            data.push(Some(stream));
        }
        data.push(None);
        let mut later = Seats::new(process + 1, addresses.len());
        self.fill(&mut later, patience, |hello, stream, later| {
            if matches!(hello.purpose, Purpose::Data) && later.admit(hello.process) {
                later.seat(hello.process, stream);
            }
            Ok(())
        })?;
        data.extend(later.all().map(Some));
        Ok(data)
    }

    /// Accepts callers until every seat is taken.
    fn fill<T>(
        &self,
        seats: &mut Seats<T>,
        patience: &mut Patience<'_>,
        mut admit: impl FnMut(Hello, TcpStream, &mut Seats<T>) -> Result<(), ClusterError>,
    ) -> Result<(), ClusterError> {
        loop {
            let missing = seats.missing();
            if missing.is_empty() {
                return Ok(());
            }
            if patience(&missing).is_break() {
                return Err(ClusterError::GaveUp { missing });
            }
            match self.listener.accept() {
                Ok((stream, _)) => {
                    // Whoever does not introduce itself is a stranger.
                    if let Some(hello) = introduction(&stream) {
                        admit(hello, stream, seats)?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
                Err(source) => return Err(ClusterError::Listen { address: self.address.clone(), source }),
            }
        }
    }
}

/// Places for processes from a first number on.
struct Seats<T> {
    first: usize,
    taken: Vec<Option<T>>,
}

impl<T> Seats<T> {
    fn new(first: usize, end: usize) -> Self {
        Self { first, taken: (first..end).map(|_| None).collect() }
    }

    /// Whether there is a place for `process` that nobody has.
    fn admit(&self, process: usize) -> bool {
        process.checked_sub(self.first).and_then(|at| self.taken.get(at)).is_some_and(Option::is_none)
    }

    fn seat(&mut self, process: usize, who: T) {
        self.taken[process - self.first] = Some(who);
    }

    fn missing(&self) -> Vec<usize> {
        (self.first..).zip(&self.taken).filter(|(_, who)| who.is_none()).map(|(process, _)| process).collect()
    }

    /// All who have come, in order.
    fn all(self) -> impl Iterator<Item = T> {
        self.taken.into_iter().flatten()
    }
}

/// Calls `address` until somebody answers.
fn call(address: &str, patience: &mut Patience<'_>) -> Result<TcpStream, ClusterError> {
    loop {
        if let Ok(stream) = TcpStream::connect(address) {
            // Rows do not wait for more rows to fill a packet.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
        if patience(&[0]).is_break() {
            return Err(ClusterError::GaveUp { missing: vec![0] });
        }
        std::thread::sleep(PAUSE);
    }
}

/// What a caller says first, and nothing of what follows it; `None` when it is no process of a run.
fn introduction(stream: &TcpStream) -> Option<Hello> {
    stream.set_nonblocking(false).ok()?;
    // As for the caller's end.
    let _ = stream.set_nodelay(true);
    stream.set_read_timeout(Some(INTRODUCTION)).ok()?;
    let hello = receive(stream, MOST_HELLO).ok().filter(Hello::is_ours)?;
    stream.set_read_timeout(None).ok()?;
    Some(hello)
}
