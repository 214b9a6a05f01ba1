//! The allocator of Flow's programs, and when what was freed goes back to the system.

use std::ffi::{c_int, c_long};
use std::time::Duration;

pub use mimalloc::MiMalloc as Allocator;

/// `mi_option_purge_delay` of `mimalloc.h`, in milliseconds, which the bindings leave out.
const PURGE_DELAY: c_int = 15;

/// Keeps what was freed for as long before it goes back to the system, rounded to milliseconds, unless `MIMALLOC_PURGE_DELAY` says
/// otherwise. The allocator's own second is short for a training: each step frees and asks for as much, in steps of about a second,
/// and the system clears every page that it hands out anew.
///
/// Does nothing in a program whose allocator is another.
#[expect(unsafe_code, reason = "the allocator has no other interface")]
pub fn keep_freed(delay: Duration) {
    // SAFETY: `mi_option_set_default` takes no pointers and may be called from every thread at any time.
    unsafe {
        libmimalloc_sys::mi_option_set_default(
            PURGE_DELAY,
            c_long::try_from(delay.as_millis()).unwrap_or(c_long::MAX),
        )
    }
}

/// Gives memory that nothing holds back to the system at once, a few milliseconds for a gigabyte. The allocator does so by itself
/// only some time after something was freed, when more is freed: a program that waits after a large load would keep it.
///
/// Does nothing in a program whose allocator is another.
#[expect(unsafe_code, reason = "the allocator has no other interface")]
pub fn give_back() {
    // SAFETY: `mi_collect` takes no pointers, may be called from every thread at any time, and frees only what nobody holds.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[expect(unsafe_code, reason = "the allocator has no other interface")]
    fn purge_delay() -> c_long {
        // SAFETY: `mi_option_get` takes no pointers and may be called from every thread at any time.
        unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) }
    }

    /// Runs this test alone in a process of its own, where the allocator reads its environment afresh.
    #[test]
    fn what_was_freed_is_kept_as_long_as_told_unless_the_environment_says_otherwise() {
        const ASKED: &str = "FLOW_MEMORY_TEST";
        if std::env::var_os(ASKED).is_some() {
            assert_eq!(purge_delay(), 777, "the option that MIMALLOC_PURGE_DELAY sets");
            keep_freed(Duration::from_secs(10));
            assert_eq!(purge_delay(), 777);
            return;
        }
        let test = "tests::what_was_freed_is_kept_as_long_as_told_unless_the_environment_says_otherwise";
        let myself = std::env::current_exe().expect("the path of this test");
        let told = Command::new(myself)
            .args([test, "--exact"])
            .env(ASKED, "1")
            .env("MIMALLOC_PURGE_DELAY", "777")
            .output();
        let told = told.expect("this test once more");
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stdout));
        keep_freed(Duration::from_secs(10));
        assert_eq!(purge_delay(), 10_000);
    }
}
