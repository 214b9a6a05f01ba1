//! Other processes, played by threads: what they share is the network, the kept answers, and connections.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use flow_data::{Heap, Id, Item, Value};
use flow_dataflow::{
    Body, Cluster, ClusterError, EffectOp, Failure, Gathering, InputId, MemoryMemo, Network, Node, Out,
    Perform, Request, SessionError, SessionOptions, Stage, Terms, Wire, serve,
};

use crate::{all_ports, ops, prompt, start};

/// The members of a run, and the host's connections with them.
pub(crate) struct Members {
    host: Option<Cluster>,
    members: Vec<JoinHandle<Result<bool, SessionError>>>,
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
        for member in self.members {
            member.join().unwrap().unwrap();
        }
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

/// Cannot answer anything.
struct Broken;

impl EffectOp for Broken {
    fn requests(&self, item: &Item, model: Option<Id>) -> Result<Vec<Request>, (&'static str, String)> {
        Ok(vec![Request { key: item.row.id, item: item.clone(), model, index: 0 }])
    }

    fn perform(&self, requests: &[Request], perform: &Perform) {
        let failure = Failure { reason: "broken", detail: "as it must".to_owned(), fatal: true };
        (0..requests.len()).for_each(|at| perform.answer(at, Err(failure.clone())));
    }

    fn rows(&self, _: &Item, _: Option<Id>, _: &[&[Value]], _: &mut Out<'_>) {}
}

#[test]
fn a_step_that_fails_in_any_process_ends_the_run() {
    let node = |name: &str, inputs, body| Node {
        name: name.to_owned(),
        inputs,
        body,
        ports: 1,
        model: None,
        width: 1,
        per_round: false,
    };
    let wire = Wire { node: 0, port: Some(0), project: None };
    let steps = vec![
        node("rows", Vec::new(), Body::Source(Arc::new(ops::Fed))),
        node("broken", vec![wire], Body::Chain(vec![Stage::Effect(Arc::new(Broken))])),
    ];
    let network = Arc::new(Network { nodes: steps, ..Network::default() });
    // One row alone goes to one process or to the other.
    for number in 0..12 {
        let memo = Arc::default();
        let mut members = Members::start(&network, &memo, 1, 2);
        let heap = Arc::new(Heap::new());
        let mut driver = start(&network, &heap, &memo, members.host(1));
        driver.update(InputId::Rows(0), prompt(&heap, (number, 0)), 1);
        let settled = driver.settle(&mut |_| ControlFlow::Continue(()), &mut |_, _| {});
        let failed = matches!(&settled, Err(SessionError::Failed { step, failure }) if step == "broken" && failure.reason == "broken");
        assert!(failed, "{number}: {settled:?}");
        drop(driver);
        members.join();
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
