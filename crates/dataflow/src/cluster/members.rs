//! The host's side of the connections with its members.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flow_data::Id;

use super::serve::why;
use super::wire::{Ending, Incoming, ToHost, ToMember, send};
use crate::counts::{Counts, Increment};
use crate::engine::Client;
use crate::{EffectProgress, Failure, SessionError};

/// Between two signs of life, in both directions.
pub(super) const BEAT: Duration = Duration::from_secs(1);
/// A process that gives no sign for so long is lost.
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// Between two looks at what has to be done.
pub(super) const LOOK: Duration = Duration::from_millis(100);

/// All members of a run.
#[derive(Debug)]
pub(crate) struct Members {
    /// In the order of processes.
    all: Vec<Member>,
    /// Whether they know that no more requests are granted.
    are_finishing: AtomicBool,
}

/// Why a run cannot go on because of a member.
#[derive(Clone, Debug)]
pub(crate) enum Trouble {
    /// It cannot be reached any more.
    Lost(SessionError),
    /// A step failed there.
    Failed(usize, Failure),
}

#[derive(Debug)]
struct Member {
    stream: Arc<TcpStream>,
    news: Arc<Mutex<News>>,
    increments: Receiver<Box<Increment>>,
    farewells: Receiver<Vec<Id>>,
    closed: Arc<AtomicBool>,
    listener: Option<JoinHandle<()>>,
}

/// What a member has told last.
#[derive(Debug, Default)]
struct News {
    progress: Vec<EffectProgress>,
    trouble: Option<Trouble>,
    /// Once nothing is under way there any more: the step that was refused a request, if one was.
    at_rest: Option<Option<usize>>,
}

/// What listens to one member.
struct Listener {
    process: usize,
    address: String,
    stream: Arc<TcpStream>,
    news: Arc<Mutex<News>>,
    increments: Sender<Box<Increment>>,
    farewells: Sender<Vec<Id>>,
    closed: Arc<AtomicBool>,
    /// The host's, which knows how many requests may still be performed.
    engine: Client,
}

impl Members {
    /// Begins to listen to the members over `control`, reached at `addresses`, both in the order of processes from 1.
    pub(crate) fn new(control: Vec<TcpStream>, addresses: &[String], engine: &Client) -> io::Result<Self> {
        let members = control.into_iter().zip(addresses).zip(1..);
        members
            .map(|((stream, address), process)| Member::new(process, address, stream, engine.clone()))
            .collect::<io::Result<_>>()
            .map(|all| Self { all, are_finishing: AtomicBool::new(false) })
    }

    /// How far all processes are: `own` and what the members told last.
    pub(crate) fn progress(&self, mut own: Vec<EffectProgress>) -> Vec<EffectProgress> {
        for member in &self.all {
            for more in &lock(&member.news).progress {
                match own.iter_mut().find(|progress| progress.node == more.node) {
                    Some(progress) => progress.add(more),
                    None => own.push(*more),
                }
            }
        }
        own.sort_by_key(|progress| progress.node);
        own
    }

    /// The first trouble there is.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.all.iter().find_map(|member| lock(&member.news).trouble.clone())
    }

    /// Lets the members end what is under way, as nothing more is granted to them; none until all have. Then the first of their steps that was
    /// refused a request, if one was.
    pub(crate) fn come_to_rest(&self) -> Option<Option<usize>> {
        if !self.are_finishing.swap(true, Relaxed) {
            self.tell(&ToMember::Finish);
        }
        let refused: Option<Vec<Option<usize>>> =
            self.all.iter().map(|member| lock(&member.news).at_rest).collect();
        Some(refused?.into_iter().flatten().next())
    }

    /// Adds to `counts` what the members have counted since the last time, once a tick has settled.
    pub(crate) fn count(&self, counts: &Counts) -> Result<(), Trouble> {
        self.tell(&ToMember::Count);
        for member in &self.all {
            counts.absorb(*member.await_in(&member.increments)?);
        }
        // A member tells of a failed step before its counts.
        self.trouble().map_or(Ok(()), Err)
    }

    /// Ends the run of all members, which was `done` or not. Returns the keys of the answers that they used; `None` when one of them cannot tell.
    pub(crate) fn end(&self, done: bool) -> Option<Vec<Id>> {
        let in_peace = !matches!(self.trouble(), Some(Trouble::Lost(_)));
        self.tell(&ToMember::End(Ending { done, in_peace }));
        // All are waited for, so that none is cut off while it ends.
        let used: Vec<_> = self.all.iter().map(|member| member.await_in(&member.farewells)).collect();
        used.into_iter().collect::<Result<Vec<_>, _>>().ok().map(|used| used.concat())
    }

    /// Tells all members. A connection that is gone is noticed where its member is listened to.
    fn tell(&self, message: &ToMember) {
        self.all.iter().for_each(|member| drop(send(&member.stream, message)));
    }
}

impl Member {
    fn new(process: usize, address: &str, stream: TcpStream, engine: Client) -> io::Result<Self> {
        let (stream, news, closed) = (Arc::new(stream), Arc::default(), Arc::default());
        let (send_increment, increments) = channel();
        let (send_farewell, farewells) = channel();
        let listener = Listener {
            process,
            address: address.to_owned(),
            stream: stream.clone(),
            news: Arc::clone(&news),
            increments: send_increment,
            farewells: send_farewell,
            closed: Arc::clone(&closed),
            engine,
        };
        let thread = std::thread::Builder::new().name(format!("flow-member-{process}"));
        let listener = Some(thread.spawn(move || listener.run())?);
        Ok(Self { stream, news, increments, farewells, closed, listener })
    }

    /// The next message of one kind, unless there is trouble first.
    fn await_in<T>(&self, inbox: &Receiver<T>) -> Result<T, Trouble> {
        loop {
            match inbox.recv_timeout(LOOK) {
                Ok(message) => return Ok(message),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    if let Some(trouble @ Trouble::Lost(_)) = lock(&self.news).trouble.clone() {
                        return Err(trouble);
                    }
                }
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.closed.store(true, Relaxed);
        // The other end may have done so.
        let _ = self.stream.shutdown(Shutdown::Both);
        if let Some(listener) = self.listener.take() {
            // It does nothing that panics.
            let _ = listener.join();
        }
    }
}

impl Listener {
    /// Takes messages in and gives signs of life, until the connection is closed here or lost.
    fn run(self) {
        if let Err(error) = self.listen()
            && !self.closed.load(Relaxed)
        {
            let (process, address) = (self.process, self.address.clone());
            let lost = SessionError::Lost { process, address, why: why(&error) };
            lock(&self.news).trouble = Some(Trouble::Lost(lost));
        }
    }

    fn listen(&self) -> io::Result<()> {
        let mut messages = Incoming::new(&self.stream, LOOK)?;
        let (mut heard, mut told) = (Instant::now(), Instant::now());
        while !self.closed.load(Relaxed) {
            if let Some(message) = messages.next()? {
                heard = Instant::now();
                self.take(message)?;
            }
            if heard.elapsed() > SILENCE {
                return Err(io::Error::other(format!("no sign of life for {} s", SILENCE.as_secs())));
            }
            if told.elapsed() > BEAT {
                told = Instant::now();
                send(&self.stream, &ToMember::Beat)?;
            }
        }
        Ok(())
    }

    fn take(&self, message: ToHost) -> io::Result<()> {
        // Nobody waits for what comes after the end of the run.
        match message {
            ToHost::Asks(asked) => {
                let granted = self.engine.lend(asked as u64) as usize;
                send(&self.stream, &ToMember::Granted { asked, granted })?;
            }
            ToHost::AtRest(refused) => lock(&self.news).at_rest = Some(refused),
            ToHost::Beat(progress) => lock(&self.news).progress = progress,
            ToHost::Counted(increment) => drop(self.increments.send(increment)),
            ToHost::Done(used) => drop(self.farewells.send(used)),
            ToHost::Failed(node, reason, detail) => {
                // A run ends with its first failure: one word is kept for ever.
                let failure = Failure { reason: reason.leak(), detail, fatal: true };
                lock(&self.news).trouble.get_or_insert(Trouble::Failed(node, failure));
            }
        }
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
