//! Tests of any kind in one jail, the program in another, and a link between them.
//!
//! What the tests call the program by are stand-ins, which send their arguments as plain data, a line each, and get plain
//! data back, an exception, or a reference to what is neither: an object stays with the program and is asked from the tests
//! (`link.py`). So no program sees the tests, brings a comparison of its own, or says that it has passed: that is said in a jail
//! in which nothing of it runs.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use crate::judge::judge;
use crate::wire::Harness;
use crate::{Error, Limits, Outcome, Reason, Sandbox, Test};

impl Sandbox {
    /// Runs a program and its tests in a jail each. The tests have the program's limits, and the resources told are the program's.
    pub(crate) fn run_linked(
        &self,
        code: &str,
        tests: &str,
        secret: &str,
        limits: &Limits,
    ) -> Result<Outcome, Error> {
        let (asked, asking) = UnixStream::pair().map_err(Error::host("link two jails"))?;
        let given = (format!("{secret}\n"), format!("{secret}\n{tests}"));
        let run = |harness, code, stdin, link| {
            self.report_linked(harness, code, stdin, limits, OwnedFd::from(link).into())
        };
        let (program, tests) = std::thread::scope(|scope| {
            let program = scope.spawn(|| run(Harness::Answers, code, &given.0, asked));
            let tests = run(Harness::Tests, "", &given.1, asking);
            (program.join().expect("nothing in it panics"), tests)
        });
        let own = judge(&program?, &Test::Asserts(""), secret, limits)?;
        if own.reason != Reason::Passed {
            return Ok(own);
        }
        let tests = judge(&tests?, &Test::Asserts(""), secret, limits)?;
        Ok(match tests.reason {
            Reason::Passed => own,
            reason => own.ended(reason, &tests.detail),
        })
    }
}
