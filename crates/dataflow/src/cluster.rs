//! Several processes that run one dataflow: how they find each other, and what they tell each other beside rows.
//!
//! Process 0 is the host: it reads sources, closes ticks and publishes. The others are members: they lend it workers and an
//! engine each. Rows travel over timely's connections, one between any two processes. Beside them each member has a
//! connection to the host for liveness, progress, failures, counts, and the requests that a limit of calls still allows.
//!
//! Nothing is encrypted and nobody proves who they are: a cluster belongs in a network where everybody is trusted.

mod gather;
mod members;
mod serve;
mod wire;

use std::io;
use std::net::TcpStream;

use flow_data::Id;
use serde::{Deserialize, Serialize};
use timely::communication::allocator::ProcessBuilder;
use timely::communication::allocator::zero_copy::initialize::{
    CommsGuard, initialize_networking_from_sockets,
};
use timely::communication::{AllocatorBuilder, Hooks};

use crate::carry::Team;
use crate::engine::Client;

pub use gather::{ClusterError, Gathering, Patience};
pub(crate) use members::{Members, Trouble};
pub use serve::serve;

/// What all processes of a run must agree on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// The program's version.
    pub version: String,
    /// How many processes there are.
    pub processes: usize,
    /// Workers of each process.
    pub workers: usize,
    /// Digest of what is run: equal digests mean equal networks.
    pub plan: Id,
}

impl Terms {
    /// What is different in `other`, if anything is.
    fn difference(&self, other: &Terms) -> Option<&'static str> {
        let differences = [
            (self.version != other.version, "another version of the program"),
            (self.processes != other.processes, "another number of processes"),
            (self.workers != other.workers, "another number of workers"),
            (self.plan != other.plan, "another pipeline, or the same with other inputs or options"),
        ];
        differences.into_iter().find_map(|(differs, what)| differs.then_some(what))
    }
}

/// A process of a run, connected with all others.
#[derive(Debug)]
pub struct Cluster {
    process: usize,
    workers: usize,
    /// Where each process can be reached.
    addresses: Vec<String>,
    /// The connections for rows, by process; none to itself.
    data: Vec<Option<TcpStream>>,
    /// Beside them: the host's with each member in order, a member's with the host.
    control: Vec<TcpStream>,
}

impl Cluster {
    /// This process among all.
    pub(crate) fn team(&self) -> Team {
        Team { process: self.process, processes: self.data.len(), workers: self.workers }
    }

    /// What the host's workers need, and the members.
    pub(crate) fn hosted(self, engine: &Client) -> io::Result<(Connections, Members)> {
        let team = self.team();
        let members = Members::new(self.control, &self.addresses[1..], engine)?;
        Ok(((team, self.data), members))
    }
}

/// Which workers are here, and the way to the others.
pub(crate) type Connections = (Team, Vec<Option<TcpStream>>);

/// What timely's workers of this process are made of.
pub(crate) fn allocators((team, data): Connections) -> io::Result<(Vec<AllocatorBuilder>, CommsGuard)> {
    let hooks = Hooks::default();
    let local = ProcessBuilder::new_typed_vector(team.workers, hooks.refill.clone(), None);
    let (builders, guard) =
        initialize_networking_from_sockets(local, data, team.process, team.workers, hooks)?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), guard))
}

/// Whether a panic with these words only follows from a connection that is gone, which is told in other ways.
pub fn is_of_lost_connection(words: &str) -> bool {
    const WORDS: [&str; 4] =
        ["timely communication error", "MergeQueue", "Send thread panic", "Recv thread panic"];
    WORDS.iter().any(|known| words.starts_with(known))
}
