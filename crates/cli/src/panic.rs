//! A fault of the program is told like any other mistake, without a raw trace.

use std::panic::PanicHookInfo;

use crate::{codes, term};

/// Replaces the trace that a panic prints.
pub(crate) fn report_plainly() {
    std::panic::set_hook(Box::new(|info| term::tell(&message(info))));
}

fn message(info: &PanicHookInfo<'_>) -> String {
    let code = codes::FAULT;
    let words = info.payload_as_str().unwrap_or("no words were left");
    let place =
        info.location().map(|place| format!(" ({}:{})", place.file(), place.line())).unwrap_or_default();
    format!(
        "error[{}]: {}: {words}{place}\n = help: nothing half done was published; please report it with the pipeline\n",
        code.id, code.title
    )
}
