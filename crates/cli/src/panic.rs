//! A fault of the program is told like any other mistake, without a raw trace.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crate::{codes, term};

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Replaces the trace that a panic prints. Only the first one is told: others follow from it.
pub(crate) fn report_plainly() {
    std::panic::set_hook(Box::new(|info| {
        if !HAPPENED.swap(true, Relaxed) {
            term::tell(&message(info));
        }
    }));
}

/// Whether a thread of this process has panicked. A worker that is gone cannot finish what others wait for.
pub(crate) fn happened() -> bool {
    HAPPENED.load(Relaxed)
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let code = codes::FAULT;
    let words = info.payload_as_str().unwrap_or("no words were left");
    let place = info.location().map(|place| format!(" ({}:{})", place.file(), place.line()));
    let help = "nothing half done was published; please report it with the pipeline";
    format!("error[{}]: {}: {words}{}\n = help: {help}\n", code.id, code.title, place.unwrap_or_default())
}
