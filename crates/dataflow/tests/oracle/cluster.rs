//! Other processes, played by threads: what they share is the network, the kept answers, and connections.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flow_data::{Heap, Id};
use flow_dataflow::{
    Cluster, ClusterError, Gathering, MemoryMemo, Network, SessionError, SessionOptions, Terms, serve,
};

use crate::all_ports;

/// The members of a run, and the host's connections with them.
pub(crate) struct Members {
    host: Option<Cluster>,
    members: Vec<JoinHandle<Result<(), SessionError>>>,
}

impl Members {
    /// Brings `processes` together, of which all but the host are run here; none where there is one only.
    pub(crate) fn start(
        network: &Arc<Network>,
        memo: &Arc<MemoryMemo>,
        workers: usize,
        processes: usize,
    ) -> Self {
        if processes == 1 {
            return Self { host: None, members: Vec::new() };
        }
        let terms = terms(workers, processes);
        let gathering = Gathering::at("127.0.0.1:0").unwrap();
        let address = gathering.address().to_owned();
        let members = (1..processes).map(|process| {
            let (network, memo, terms, address) =
                (network.clone(), memo.clone(), terms.clone(), address.clone());
            std::thread::spawn(move || {
                let cluster = join(process, &address, &terms).unwrap();
                let options = SessionOptions { capture: all_ports(&network), ..SessionOptions::default() };
                serve(network, Arc::new(Heap::new()), memo, cluster, options, &mut || {
                    ControlFlow::Continue(())
                })
            })
        });
        let members = members.collect();
        Self { host: Some(gathering.host(&terms, &mut patience()).unwrap()), members }
    }

    /// The options of the host.
    pub(crate) fn host(&mut self, workers: usize) -> SessionOptions {
        SessionOptions { workers, cluster: self.host.take(), ..SessionOptions::default() }
    }

    /// Waits for the members, whose host has ended the run.
    pub(crate) fn join(self) {
        self.members.into_iter().for_each(|member| member.join().unwrap().unwrap());
    }
}

pub(crate) fn terms(workers: usize, processes: usize) -> Terms {
    Terms { version: "test".to_owned(), processes, workers, plan: Id::of("plan", []) }
}

pub(crate) fn join(process: usize, host: &str, terms: &Terms) -> Result<Cluster, ClusterError> {
    Gathering::at("127.0.0.1:0")?.join(process, host, terms, &mut patience())
}

/// Gives up after a while: a test that hangs tells nothing.
fn patience() -> impl FnMut(&[usize]) -> ControlFlow<()> {
    let since = Instant::now();
    move |_| {
        if since.elapsed() > Duration::from_secs(30) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

#[test]
fn a_process_that_was_started_otherwise_is_told_and_named() {
    let cases = [
        (Terms { workers: 3, ..terms(1, 2) }, 1, "another number of workers"),
        (Terms { version: "older".to_owned(), ..terms(1, 2) }, 1, "another version"),
        (Terms { plan: Id::of("another", []), ..terms(1, 2) }, 1, "another pipeline"),
        (terms(1, 2), 2, "a number that is not one of those awaited"),
    ];
    for (theirs, process, word) in cases {
        let gathering = Gathering::at("127.0.0.1:0").unwrap();
        let address = gathering.address().to_owned();
        let member = std::thread::spawn(move || join(process, &address, &theirs));
        let error = gathering.host(&terms(1, 2), &mut patience()).unwrap_err();
        assert!(
            matches!(&error, ClusterError::Differs { process: at, what } if *at == process && what.contains(word)),
            "{error}"
        );
        let error = member.join().unwrap().unwrap_err();
        assert!(matches!(&error, ClusterError::Refused { why, .. } if why.contains(word)), "{error}");
    }
}
