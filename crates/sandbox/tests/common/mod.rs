//! What the tests share: a jail by this crate's own stage program, and work on a few threads.
#![allow(dead_code, reason = "each test uses its part")]

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use flow_sandbox::{Interpreter, Isolation, Sandbox};

/// Threads of a test.
pub(crate) const FEW_THREADS: usize = 3;

/// The jail.
pub(crate) fn jail() -> Sandbox {
    sandbox(Isolation::Jail)
}

/// A sandbox whose stages are `flow-jail`.
pub(crate) fn sandbox(isolation: Isolation) -> Sandbox {
    let interpreter = Interpreter::find("python3").expect("the tests need python3");
    Sandbox::open_with(isolation, Path::new(env!("CARGO_BIN_EXE_flow-jail")), interpreter)
        .expect("the tests need a kernel that permits jails")
}

/// `work` on every item, results in their order.
pub(crate) fn on_threads<T: Sync, R: Send>(
    threads: usize,
    items: &[T],
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let at = next.fetch_add(1, Relaxed)
                    && let Some(item) = items.get(at)
                {
                    let result = work(item);
                    done.lock().unwrap().push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap();
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
