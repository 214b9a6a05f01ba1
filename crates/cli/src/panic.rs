//! A fault of the program is told like any other mistake, without a raw trace.

use std::panic::PanicHookInfo;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use flow_dataflow::{hold_where_connection_broke, is_of_lost_connection};

use crate::{codes, term};

static HAPPENED: AtomicBool = AtomicBool::new(false);

/// Replaces the trace that a panic prints. Only the first one is told: others follow from it. One that the store turns
/// into an error, as a decoder's on a damaged file, is none of ours, nor is one of a thread whose process is lost.
pub(crate) fn report_plainly() {
    std::panic::set_hook(Box::new(|info| {
        let words = info.payload_as_str().unwrap_or_default();
        hold_where_connection_broke(words);
        let is_told = flow_store::is_guarding() || is_of_lost_connection(words);
        if !is_told && !HAPPENED.swap(true, Relaxed) {
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
    let place = info.location().map(|place| format!(" ({}:{})", within_crate(place.file()), place.line()));
    let help = "nothing half done was published; please report it with the pipeline";
    format!("error[{}]: {}: {words}{}\n = help: {help}\n", code.id, code.title, place.unwrap_or_default())
}

/// A source path from its crate's folder on: where the program was built says nothing.
fn within_crate(file: &str) -> &str {
    let above = file.rfind("/src/").map_or("", |end| &file[..end]);
    &file[above.rfind('/').map_or(0, |slash| slash + 1)..]
}

#[cfg(test)]
mod tests {
    use super::within_crate;

    #[test]
    fn places_are_told_from_the_crate_on() {
        let registry =
            "/home/me/.cargo/registry/src/index.crates.io-1949cf8c/parquet-60.1.0/src/file/reader.rs";
        assert_eq!(within_crate(registry), "parquet-60.1.0/src/file/reader.rs");
        assert_eq!(within_crate("crates/cli/src/panic.rs"), "cli/src/panic.rs");
        assert_eq!(within_crate("tests/faulty.rs"), "tests/faulty.rs");
    }
}
