//! How a pipeline runs: stages of three kinds on timely and differential-dataflow.
//!
//! A [`Network`] says what is wired to what. A [`Session`] runs it on any number of workers: the host feeds input
//! changes, closes a tick, and waits until every collection has settled. Logical time is one totally ordered
//! counter of ticks; rounds are a field of [`flow_data::Row`], not a time. Nothing here knows an operator by name.

mod carry;
mod census;
mod cluster;
mod counts;
mod effect;
mod engine;
mod forecast;
mod keyed;
mod memo;
mod moves;
mod network;
mod op;
mod out;
mod pile;
mod render;
mod rounds;
mod session;
mod sources;
mod split;
mod workers;

pub use census::{Census, Sample, Turnover};
pub use cluster::{Cluster, ClusterError, Gathering, Patience, Terms, is_of_lost_connection, serve};
pub use counts::{Counts, Effort, StepCounts};
pub use engine::{Calls, EffectProgress, Perform};
pub use forecast::Pending;
pub use memo::{Memo, MemoError, MemoryMemo};
pub use moves::Moved;
pub use network::{Body, InputId, ModelSlot, ModelWire, Network, Node, Rounds, Wire};
pub use op::{Answer, EffectOp, Failure, KeyedOp, Request, RowOp, Source, SourceError, Stage};
pub use out::{Emission, Feed, Out, Port};
pub use rounds::Driver;
pub use session::{Session, SessionError, SessionOptions, Watch};
pub use sources::{Memory, SourceRows};
pub use workers::hold_where_connection_broke;
