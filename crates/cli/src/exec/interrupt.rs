//! Ctrl-C, SIGTERM and SIGHUP: the first one asks for a clean stop, the second one stops at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::halt::Halt;
use crate::{Exit, codes, term};

/// Whether a stop was asked for.
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Begins to listen.
    pub(crate) fn listen() -> Result<Self, Halt> {
        let raised = Arc::new(AtomicBool::new(false));
        let flag = raised.clone();
        let handler = move || {
            if flag.swap(true, Relaxed) {
                std::process::exit(Exit::Interrupted as i32);
            }
            term::tell("\nstopping; finished answers are kept (once more to stop at once)\n");
        };
        ctrlc::set_handler(handler).map_err(|error| {
            Halt::new(Exit::Failed, &codes::INTERRUPT, format!("cannot listen for Ctrl-C: {error}"))
        })?;
        Ok(Self(raised))
    }

    /// Whether a stop was asked for.
    pub(crate) fn raised(&self) -> bool {
        self.0.load(Relaxed)
    }
}
