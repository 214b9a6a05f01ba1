//! A member's side: it lends its workers and its engine to the host until the run is over.

use std::io;
use std::net::TcpStream;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_data::Heap;

use super::members::{BEAT, LOOK, SILENCE};
use super::wire::{Ending, Incoming, ToHost, ToMember, send};
use crate::counts::Counts;
use crate::engine::{Allowance, Engine};
use crate::moves::Moves;
use crate::render::{Captured, Shared, render};
use crate::workers::{GRACE, HEARTBEAT, Halt, Workers};
use crate::{Cluster, Memo, Network, SessionError, SessionOptions};

/// Takes part in the run of a host, which runs the same network with the same options, until the host ends it. Returns whether
/// the run came to its end.
///
/// `watch` is called about ten times a second; when it breaks, the member leaves, which ends the host's run too.
/// Errs when the host is lost, and with [`SessionError::Interrupted`] after leaving. Finished answers are in the memo in any
/// case.
pub fn serve(
    network: Arc<Network>,
    heap: Arc<Heap>,
    memo: Arc<dyn Memo>,
    cluster: Cluster,
    options: SessionOptions,
    watch: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<bool, SessionError> {
    let start = |error: io::Error| SessionError::Start(error.to_string());
    let allowance = Allowance::of_member(options.most_calls);
    let engine = Engine::start(memo.clone(), options.calls, allowance).map_err(start)?;
    let team = cluster.team();
    let shared = Shared {
        counts: Arc::new(Counts::new(&network)),
        captured: Arc::new(Captured::new(options.capture)),
        moves: Arc::new(Moves::new(&network)),
        client: engine.client(),
        team: Some(team),
        network,
        heap,
    };
    let counts = shared.counts.clone();
    let [host] = <[TcpStream; 1]>::try_from(cluster.control).expect("a member has one host");
    let mut workers = Workers::start(team.workers, Some((team, cluster.data)), move |worker, halt| {
        // Only the host feeds, so the inputs are closed at once.
        worker.dataflow(|scope| drop(render(scope, &shared)));
        while !halt.is_stopping() {
            worker.step_or_park(Some(HEARTBEAT));
        }
    })?;
    let member = Member { host: &host, engine: &engine, counts: &counts, halt: workers.halt() };
    let ended = member.follow(watch);
    workers.halt().stop();
    // What is under way comes to its end, so that all answers are kept before they are told of.
    close(engine, &host);
    let lost = |end: End| end.error(&cluster.addresses[0]);
    let Ending { done, in_peace } = ended.map_err(lost)?;
    if in_peace {
        workers.part_in_peace();
    }
    send(&host, &ToHost::Done(memo.used())).map_err(|error| lost(End::Lost(error)))?;
    Ok(done)
}

/// Stops the engine, which may take until an optimiser step has ended, and gives signs of life meanwhile.
fn close(engine: Engine, host: &TcpStream) {
    engine.cancel();
    std::thread::scope(|threads| {
        let closing = threads.spawn(|| drop(engine));
        while !closing.is_finished() {
            std::thread::sleep(LOOK);
            // A host that is gone needs none.
            let _ = send(host, &ToHost::Beat(Vec::new()));
        }
    });
}

/// Between two looks at what has to be done where requests wait for the host's word.
const SOON: Duration = Duration::from_millis(5);

/// What a member works with.
struct Member<'a> {
    host: &'a TcpStream,
    engine: &'a Engine,
    counts: &'a Counts,
    halt: &'a Halt,
}

/// How a member's part ends, other than by the host's word.
enum End {
    /// The host cannot be reached any more.
    Lost(io::Error),
    /// Somebody stops this process.
    Left,
    /// A worker has panicked, not because another process is gone.
    Broken,
}

impl End {
    fn error(self, address: &str) -> SessionError {
        match self {
            End::Left => SessionError::Interrupted,
            End::Broken => SessionError::WorkerLost,
            End::Lost(error) => {
                SessionError::Lost { process: 0, address: address.to_owned(), why: why(&error) }
            }
        }
    }
}

/// What was seen of a process whose connection failed.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "it has ended".to_owned()
        }
        _ => error.to_string(),
    }
}

impl Member<'_> {
    /// Does what the host asks for until it ends the run.
    fn follow(&self, watch: &mut dyn FnMut() -> ControlFlow<()>) -> Result<Ending, End> {
        let look = if self.engine.is_limited() { SOON } else { LOOK };
        let mut messages = Incoming::new(self.host, look).map_err(End::Lost)?;
        let (mut heard, mut told, mut watched) = (Instant::now(), Instant::now(), Instant::now());
        let (mut has_failed, mut is_finishing, mut broken_since) = (false, false, None);
        loop {
            let message = messages.next().map_err(End::Lost)?;
            if message.is_some() {
                heard = Instant::now();
            }
            // Before anything that lets the host believe that a tick went well.
            if !has_failed && let Some((node, failure)) = self.engine.broken() {
                has_failed = true;
                self.tell(&ToHost::Failed(node, failure.reason.to_owned(), failure.detail))?;
            }
            match message {
                Some(ToMember::End(ending)) => return Ok(ending),
                Some(ToMember::Granted { asked, granted }) => self.engine.settle(asked, granted),
                Some(ToMember::Finish) => is_finishing = true,
                Some(ToMember::Count) => self.tell(&ToHost::Counted(Box::new(self.counts.take())))?,
                Some(ToMember::Beat) | None => {}
            }
            let wanted = self.engine.ask_for();
            if wanted > 0 {
                self.tell(&ToHost::Asks(wanted))?;
            }
            if is_finishing && self.engine.is_at_rest() {
                is_finishing = false;
                self.tell(&ToHost::AtRest(self.engine.exceeded()))?;
            }
            if watched.elapsed() > LOOK {
                watched = Instant::now();
                if watch().is_break() {
                    return Err(End::Left);
                }
            }
            if told.elapsed() > BEAT {
                told = Instant::now();
                self.tell(&ToHost::Beat(self.engine.progress()))?;
            }
            if heard.elapsed() > SILENCE {
                return Err(End::Lost(io::Error::other("no sign of life")));
            }
            if self.halt.has_lost() {
                // A host that is gone, or that ends the run because another is, is heard of a moment later.
                broken_since.get_or_insert_with(Instant::now);
            }
            if broken_since.is_some_and(|since| since.elapsed() > GRACE) {
                return Err(End::Broken);
            }
        }
    }

    fn tell(&self, message: &ToHost) -> Result<(), End> {
        send(self.host, message).map_err(End::Lost)
    }
}
