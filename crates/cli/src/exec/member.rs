//! `flow exec` as one of several processes: it lends its workers, its sampler and its trainer to process 0.

use std::ops::ControlFlow;
use std::sync::Arc;

use flow_dataflow::{SessionError, SessionOptions};

use super::interrupt::Interrupt;
use super::processes::{Meeting, Place};
use super::{Args, Captures, Store, extent, session_halt};
use crate::halt::Halt;
use crate::pipeline::Pipeline;
use crate::record::Record;
use crate::setup::Setup;
use crate::{Catalog, Exit, panic};

/// Takes part in the run of `pipeline` at `place` until its host ends it. The answers found here are kept in a segment of the
/// shared store that is this process's own; everything else is written by the host.
pub(super) fn serve(
    catalog: Catalog<'_>,
    args: &Args,
    pipeline: Pipeline,
    place: &Place,
) -> Result<Exit, Halt> {
    let interrupt = Interrupt::listen()?;
    let setup = Setup::of(pipeline, &args.store)?;
    args.device.choose(&setup, place.share_machine, false)?;
    let plan = &setup.pipeline.plan;
    let last = Record::load(&setup.folder, plan)?;
    let network = setup.network(catalog, &setup.env(args.threads(place.share_machine)), last.as_ref())?;
    let captures = Captures::of(plan, &network);
    let options = SessionOptions {
        workers: usize::from(args.workers),
        calls: extent::calls(plan, &args.extent)?,
        most_calls: args.most_calls(plan),
        capture: captures.ports().collect(),
        cluster: None,
    };
    let meeting = Meeting { catalog, setup: &setup, network: &network, args, interrupt: &interrupt };
    let cluster = place.join(&meeting)?;
    let store = Store::shared(&args.store)?;
    let heap = Arc::new(Store::heap(&args.store)?);
    let mut watch = || {
        if interrupt.raised() || panic::happened() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let served = flow_dataflow::serve(Arc::new(network), heap, store.memo(), cluster, options, &mut watch);
    let kept = store.finish();
    match served {
        _ if panic::happened() => Err(Halt::of_panic()),
        Err(SessionError::Interrupted) => kept.map(|_| Exit::Interrupted),
        Err(error) => Err(session_halt(&setup.pipeline, &error)),
        // The host has said why.
        Ok(done) => kept.map(|_| if done { Exit::Done } else { Exit::Failed }),
    }
}
