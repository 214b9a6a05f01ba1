//! Calls into decoders that answer some damaged data by a panic.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};

thread_local! {
    static GUARDING: Cell<bool> = const { Cell::new(false) };
}

/// Whether a panic of this thread would now be caught and become an ordinary error, so that a panic hook has nothing to
/// tell.
pub fn is_guarding() -> bool {
    GUARDING.get()
}

/// What `call` returns; `None` when it panics.
pub(crate) fn guarded<T>(call: impl FnOnce() -> T) -> Option<T> {
    let before = GUARDING.replace(true);
    let returned = panic::catch_unwind(AssertUnwindSafe(call)).ok();
    GUARDING.set(before);
    returned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_hook_can_tell_what_is_caught() {
        assert_eq!(guarded(is_guarding), Some(true));
        assert_eq!(guarded(|| -> u8 { panic!("damaged") }), None);
        assert!(!is_guarding(), "it ends with the call");
        guarded(|| guarded(|| ()).map(|()| assert!(is_guarding(), "the outer call still guards"))).unwrap();
    }
}
