//! Several processes that run one pipeline: `--processes`, `--process`, `--hosts`.

use std::ffi::OsString;
use std::fs;
use std::net::ToSocketAddrs;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, parent_id};
use std::path::{Path, PathBuf, absolute};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use flow_data::Id;
use flow_dataflow::{Cluster, ClusterError, Gathering, Network, Terms};

use super::Args;
use super::interrupt::Interrupt;
use super::tables::plan_digest;
use crate::halt::Halt;
use crate::setup::Setup;
use crate::watch::Inputs;
use crate::{Catalog, Exit, codes, panic, term};

/// The port of process 0 where no file says another, as timely has it; those of the others follow.
const FIRST_PORT: usize = 2101;
/// Any free port, for processes that tell each other which.
const ANY: &str = "127.0.0.1:0";
/// How long processes wait for each other.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two words about it.
const PAUSE: Duration = Duration::from_secs(10);
/// How long a process that was started here may take to end when the run has.
const FAREWELL: Duration = Duration::from_secs(10);

/// Which processes run the pipeline, and which of them this is.
#[derive(clap::Args, Debug)]
pub(super) struct Processes {
    /// Run on N processes, no influence on results. They are started here, unless `--process` or `--hosts` is given.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    processes: Option<u16>,
    /// This is process I, counted from 0: start each with the same command and its own I. Process 0 reports.
    #[arg(long, value_name = "I")]
    process: Option<u16>,
    /// The addresses of the processes, a line `host:port` each. All see the store and what is published under the same paths.
    #[arg(long, value_name = "FILE")]
    hosts: Option<PathBuf>,
    /// Where process 0 is, for the processes that it starts.
    #[arg(long, value_name = "ADDRESS", hide = true, requires_all = ["processes", "process"])]
    join: Option<String>,
}

/// What this process does in a run.
pub(super) enum Role {
    /// All of it.
    Alone,
    /// It reads, drives and publishes.
    Host(Others),
    /// It lends its workers.
    Member(Place),
}

/// A member's place.
pub(super) struct Place {
    process: usize,
    processes: usize,
    /// Where it listens.
    address: String,
    /// Where the host is.
    host: String,
    /// Processes on this machine.
    pub(super) share_machine: usize,
    /// The process that started this one, where that is the host: without it nobody will come.
    parent: Option<u32>,
}

/// The other processes of a run, at its host. Those that were started here end with it.
pub(crate) struct Others {
    processes: usize,
    /// Where the host listens.
    address: String,
    /// The command line that they are started by, where they are started here.
    words: Option<Vec<OsString>>,
    started: Vec<Child>,
}

impl Processes {
    /// What this process does, by the command line, which was typed as `words`.
    pub(super) fn role(&self, words: &[OsString]) -> Result<Role, Halt> {
        let process = usize::from(self.process.unwrap_or_default());
        let n = self.processes.map_or(1, usize::from);
        let starts = self.process.is_none() && self.hosts.is_none();
        let addresses: Vec<String> = match &self.hosts {
            Some(file) => hosts(file, self.processes)?,
            None if starts || self.join.is_some() => vec![ANY.to_owned(); n],
            None => (0..n).map(|at| format!("localhost:{}", FIRST_PORT + at)).collect(),
        };
        let processes = addresses.len();
        if process >= processes {
            let help = "processes are counted from 0; `--processes` or `--hosts` says how many there are";
            let message = format!("there is no process {process} among {processes}");
            return Err(Halt::with(Exit::Usage, codes::PROCESSES.id, &message, Some(help)));
        }
        let address = addresses[process].clone();
        let host = self.join.clone().unwrap_or_else(|| addresses[0].clone());
        Ok(match (processes, process) {
            (1, _) => Role::Alone,
            (_, 0) => {
                let words = starts.then(|| words.to_vec());
                Role::Host(Others { processes, address, words, started: Vec::new() })
            }
            _ => {
                let share_machine = if self.join.is_some() { processes } else { 1 };
                let parent = self.join.is_some().then(parent_id);
                Role::Member(Place { process, processes, address, host, share_machine, parent })
            }
        })
    }
}

/// The addresses in `file`, of which the first `most` count.
fn hosts(file: &Path, most: Option<u16>) -> Result<Vec<String>, Halt> {
    let refused = |message: String| {
        let help = "write a line `host:port` for each process, process 0 first";
        Halt::with(Exit::Usage, codes::PROCESSES.id, &message, Some(help))
    };
    let name = file.display();
    let text = fs::read_to_string(file).map_err(|error| refused(format!("cannot read `{name}`: {error}")))?;
    let mut addresses = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let address = line.split('#').next().unwrap_or_default().trim();
        if address.is_empty() {
            continue;
        }
        let port = address
            .rsplit_once(':')
            .filter(|(host, _)| !host.is_empty())
            .map(|(_, port)| port.parse::<u16>());
        if !matches!(port, Some(Ok(1..))) || address.contains(char::is_whitespace) {
            return Err(refused(format!("`{name}`, line {number}: `{address}` is no address `host:port`")));
        }
        if addresses.iter().any(|(_, other)| other == address) {
            return Err(refused(format!("`{name}`, line {number}: `{address}` is there twice")));
        }
        addresses.push((number, address.to_owned()));
    }
    let most = most.map_or(addresses.len(), usize::from);
    if addresses.is_empty() || addresses.len() < most {
        let n = addresses.len();
        return Err(refused(format!("`{name}` has {n} addresses, and {} are needed", most.max(1))));
    }
    addresses.truncate(most);
    for (number, address) in &addresses {
        // Nobody would ever come from there, or be found there.
        address.to_socket_addrs().map_err(|error| {
            refused(format!("`{name}`, line {number}: the host of `{address}` cannot be found: {error}"))
        })?;
    }
    Ok(addresses.into_iter().map(|(_, address)| address).collect())
}

/// What a process brings to where all of a run come together.
pub(super) struct Meeting<'a> {
    pub(super) catalog: Catalog<'a>,
    pub(super) setup: &'a Setup,
    pub(super) network: &'a Network,
    pub(super) args: &'a Args,
    pub(super) interrupt: &'a Interrupt,
}

impl Meeting<'_> {
    /// Listens at `address`, and says what all processes must agree on: everything that makes the network, what is asked, and
    /// where it is kept.
    fn at(&self, address: &str, processes: usize) -> Result<(Gathering, Terms), Halt> {
        let Self { catalog, setup, network, args, .. } = *self;
        let terms = terms(catalog, setup, network, args, processes);
        Ok((Gathering::at(address).map_err(|error| halt(&error))?, terms))
    }
}

fn terms(catalog: Catalog<'_>, setup: &Setup, network: &Network, args: &Args, processes: usize) -> Terms {
    let plan = &setup.pipeline.plan;
    let place = |path: &Path| {
        absolute(path).unwrap_or_else(|_| path.to_owned()).into_os_string().into_encoded_bytes()
    };
    let parts = [
        plan_digest(plan).0.to_vec(),
        format!(
            "{:?} {:?} {} {:?}",
            plan.rounds,
            args.extent.from,
            network.rounds.kept,
            args.most_calls(plan)
        )
        .into_bytes(),
        Inputs::of(catalog, plan).contents().0.to_vec(),
        place(&setup.folder),
        place(Path::new(&plan.out)),
    ];
    let ids = setup.digests.iter().copied().chain(network.machine());
    let parts: Vec<Vec<u8>> = parts.into_iter().chain(ids.map(|id| id.0.to_vec())).collect();
    Terms {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        processes,
        workers: usize::from(args.workers),
        plan: Id::of("run", parts.iter().map(Vec::as_slice)),
    }
}

impl Place {
    /// Joins the host.
    pub(super) fn join(&self, meeting: &Meeting<'_>) -> Result<Cluster, Halt> {
        let (gathering, terms) = meeting.at(&self.address, self.processes)?;
        let mut patience = Patience::new(meeting.interrupt, meeting.args.quiet || self.share_machine > 1);
        gathering
            .join(self.process, &self.host, &terms, &mut |missing| match self.parent {
                Some(parent) if parent != parent_id() => ControlFlow::Break(()),
                _ => patience.asks(missing),
            })
            .map_err(|error| patience.halt(&error))
    }
}

impl Others {
    /// How many processes share this machine, as far as is known.
    pub(super) fn share_machine(&self) -> usize {
        if self.words.is_some() { self.processes } else { 1 }
    }

    /// Starts them, where they are started here, and waits until all have come.
    pub(super) fn gather(&mut self, meeting: &Meeting<'_>) -> Result<Cluster, Halt> {
        let (gathering, terms) = meeting.at(&self.address, self.processes)?;
        if let Some(words) = &self.words {
            for process in 1..self.processes {
                self.started.push(start(words, process, gathering.address())?);
            }
        }
        let mut patience = Patience::new(meeting.interrupt, meeting.args.quiet || self.words.is_some());
        let started = &mut self.started;
        let mut ended = None;
        let cluster = gathering.host(&terms, &mut |missing| {
            ended = ended.take().or_else(|| first_ended(started));
            if ended.is_some() { ControlFlow::Break(()) } else { patience.asks(missing) }
        });
        cluster.map_err(|error| match ended {
            Some(words) => Halt::new(Exit::Failed, &codes::PROCESSES, words),
            None => patience.halt(&error),
        })
    }
}

impl Drop for Others {
    /// They have been told to end; one that does not is ended.
    fn drop(&mut self) {
        let since = Instant::now();
        for child in &mut self.started {
            while since.elapsed() < FAREWELL && matches!(child.try_wait(), Ok(None)) {
                std::thread::sleep(Duration::from_millis(10));
            }
            // Both fail only for a process that has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Starts this program again, by the same `words`, as `process` of the run whose host is at `address`. Ctrl-C of a terminal goes
/// to the host alone, which ends the others.
fn start(words: &[OsString], process: usize, address: &str) -> Result<Child, Halt> {
    let refused = |error: std::io::Error| {
        Halt::new(Exit::Failed, &codes::PROCESSES, format!("cannot start process {process}: {error}"))
    };
    let program = std::env::current_exe().map_err(refused)?;
    let mut command = Command::new(program);
    // The program's name, the verb, and what may have a `--` in it.
    let (verb, rest) = words[1..].split_at(1);
    command.args(verb).args(["--process", &process.to_string(), "--join", address]).args(rest);
    // What it says in the place of a result is for people: the result is the host's.
    let said = std::io::stderr().as_fd().try_clone_to_owned().map_err(refused)?;
    command.stdin(Stdio::null()).stdout(said).process_group(0).spawn().map_err(refused)
}

/// What to say of the first process that has ended already.
fn first_ended(started: &mut [Child]) -> Option<String> {
    started.iter_mut().zip(1..).find_map(|(child, process)| match child.try_wait() {
        Ok(Some(status)) => {
            Some(format!("process {process}, started here, ended before it took part: {status}"))
        }
        _ => None,
    })
}

/// Waits for others as long as it makes sense, and says so.
struct Patience<'a> {
    interrupt: &'a Interrupt,
    since: Instant,
    said: Option<Instant>,
    quiet: bool,
}

impl<'a> Patience<'a> {
    fn new(interrupt: &'a Interrupt, quiet: bool) -> Self {
        Self { interrupt, since: Instant::now(), said: None, quiet }
    }

    fn asks(&mut self, missing: &[usize]) -> ControlFlow<()> {
        if self.interrupt.raised() || panic::happened() || self.since.elapsed() > PATIENCE {
            return ControlFlow::Break(());
        }
        if !self.quiet && !missing.is_empty() && self.said.is_none_or(|said| said.elapsed() > PAUSE) {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            term::tell(&format!("waiting for process {}\n", missing.join(", ")));
            self.said = Some(Instant::now());
        }
        ControlFlow::Continue(())
    }

    fn halt(&self, error: &ClusterError) -> Halt {
        if self.interrupt.raised() {
            return Halt::new(
                Exit::Interrupted,
                &codes::PROCESSES,
                "interrupted while waiting for other processes",
            );
        }
        halt(error)
    }
}

/// What to tell of processes that did not come together.
fn halt(error: &ClusterError) -> Halt {
    let help = match error {
        ClusterError::Listen { .. } => "give an address of this machine whose port is free",
        ClusterError::Talk { .. } => "see what that process said, and start all of them again",
        ClusterError::Differs { .. } | ClusterError::Refused { .. } => {
            "start all processes with the same program, pipeline, files and options, apart from `--process`"
        }
        ClusterError::GaveUp { .. } => {
            "start every process within five minutes, and check the addresses of `--hosts`"
        }
    };
    Halt::with(Exit::Failed, codes::PROCESSES.id, &error.to_string(), Some(help))
}
