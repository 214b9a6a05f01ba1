//! Messages between processes: a length as u32 LE, then the message in postcard's form.

use std::io::{self, ErrorKind, Read, Write};
use std::marker::PhantomData;
use std::net::TcpStream;
use std::time::Duration;

use flow_data::Id;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Terms;
use crate::EffectProgress;
use crate::counts::Increment;

/// Tells the processes of a run from strangers.
const MAGIC: [u8; 8] = *b"flow-c\x01\n";
/// Bytes of the longest message: the keys that a member used of a store of 60 million answers.
const MOST: usize = 1 << 30;
/// Bytes of the longest first message, which may come from a stranger.
pub(super) const MOST_HELLO: usize = 1 << 12;

/// The first message on every connection.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Hello {
    magic: [u8; 8],
    /// Who calls.
    pub(super) process: usize,
    /// What for.
    pub(super) purpose: Purpose,
}

impl Hello {
    pub(super) fn new(process: usize, purpose: Purpose) -> Self {
        Self { magic: MAGIC, process, purpose }
    }

    pub(super) fn is_ours(&self) -> bool {
        self.magic == MAGIC
    }
}

/// What a connection is for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Purpose {
    /// The member's connection with the host.
    Control {
        /// What the member takes for agreed.
        terms: Terms,
        /// Where the others reach it.
        address: String,
    },
    /// Rows.
    Data,
}

/// The host's answer to a member's first message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// All are there: their addresses, by process.
    Welcome(Vec<String>),
    /// The member cannot take part.
    Refused(String),
}

/// From the host to a member.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToMember {
    /// The host is alive.
    Beat,
    /// Of the first requests that it asked for and heard nothing of, in order, so many may be performed.
    Granted {
        /// How many it asked for.
        asked: usize,
        /// How many of them may be performed, the first ones.
        granted: usize,
    },
    /// Nothing more is granted: tell when nothing is under way.
    Finish,
    /// A tick has settled: what has been counted since the last time?
    Count,
    /// The run is over.
    End(Ending),
}

/// How a run ends for its members.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Ending {
    /// Whether it came to its end.
    pub(super) done: bool,
    /// Whether all processes are there to end their connections in order.
    pub(super) in_peace: bool,
}

/// From a member to the host.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToHost {
    /// The member is alive, and so far with its requests.
    Beat(Vec<EffectProgress>),
    /// So many requests wait for the host's word on whether they may be performed.
    Asks(usize),
    /// After [`ToMember::Finish`]: nothing is under way there any more, and this step was refused a request.
    AtRest(Option<usize>),
    /// A step has failed there: its index, the stable word and the particulars.
    Failed(usize, String, String),
    /// What has been counted since the last time.
    Counted(Box<Increment>),
    /// The member is done; the keys of the answers that it used.
    Done(Vec<Id>),
}

/// Sends one message, whole.
pub(super) fn send<T: Serialize>(mut stream: &TcpStream, message: &T) -> io::Result<()> {
    let mut frame = vec![0; size_of::<u32>()];
    frame = postcard::to_extend(message, frame).map_err(io::Error::other)?;
    let len = u32::try_from(frame.len() - size_of::<u32>()).map_err(io::Error::other)?;
    frame[..size_of::<u32>()].copy_from_slice(&len.to_le_bytes());
    stream.write_all(&frame)
}

/// Receives one message of at most so many bytes, and not a byte more.
pub(super) fn receive<T: DeserializeOwned>(mut stream: &TcpStream, most: usize) -> io::Result<T> {
    let mut len = [0; size_of::<u32>()];
    stream.read_exact(&mut len)?;
    let len = u32::from_le_bytes(len) as usize;
    if len > most {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; len];
    stream.read_exact(&mut message)?;
    postcard::from_bytes(&message).map_err(io::Error::other)
}

/// Messages of one kind as they come in, in pieces.
pub(super) struct Incoming<'a, T> {
    stream: &'a TcpStream,
    bytes: Vec<u8>,
    kind: PhantomData<T>,
}

impl<'a, T: DeserializeOwned> Incoming<'a, T> {
    /// Messages on `stream`; waiting for one gives up after `patience`.
    pub(super) fn new(stream: &'a TcpStream, patience: Duration) -> io::Result<Self> {
        stream.set_read_timeout(Some(patience))?;
        Ok(Self { stream, bytes: Vec::new(), kind: PhantomData })
    }

    /// The next message; `None` when it has not come yet. Errs when the connection is gone or says something else.
    pub(super) fn next(&mut self) -> io::Result<Option<T>> {
        if let Some(message) = self.whole()? {
            return Ok(Some(message));
        }
        let mut more = [0; 1 << 14];
        match self.stream.read(&mut more) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                self.bytes.extend(&more[..read]);
                self.whole()
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// Takes the first message off what has come, once it is whole.
    fn whole(&mut self) -> io::Result<Option<T>> {
        let Some((len, rest)) = self.bytes.split_first_chunk() else { return Ok(None) };
        let len = u32::from_le_bytes(*len) as usize;
        if len > MOST {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(message) = rest.get(..len) else { return Ok(None) };
        let message = postcard::from_bytes(message).map_err(io::Error::other)?;
        self.bytes.drain(..size_of::<u32>() + len);
        Ok(Some(message))
    }
}
