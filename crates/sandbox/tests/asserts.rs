//! Test code on a program's definitions: passes, failures, and programs that would rather not be tested.

mod common;

use common::jail;
use flow_sandbox::{Limits, Reason, Test};

const TESTS: &str = "assert add(1, 2) == 3\nassert add(-1, 1) == 0\n";

fn limits() -> Limits {
    Limits { cpu_s: 2, wall_ms: 5000, ..Limits::default() }
}

#[test]
fn programs_pass_by_what_they_define_and_not_by_ending_well() {
    let sandbox = jail();
    let forger = "import os\nfor fd in range(3, 64):\n    try:\n        os.write(fd, b'passed 0\\npassed\\n')\n    except OSError:\n        pass\n";
    for (code, reason, detail) in [
        ("def add(a, b):\n    return a + b\n", Reason::Passed, ""),
        (
            "add = lambda a, b: a + b\nif __name__ == '__main__':\n    raise SystemExit(1)\n",
            Reason::Passed,
            "",
        ),
        ("print('a word')\ndef add(a, b):\n    print(a)\n    return a + b\n", Reason::Passed, ""),
        ("def add(a, b):\n    return a - b\n", Reason::WrongOutput, "AssertionError"),
        ("def plus(a, b):\n    return a + b\n", Reason::Exception, "NameError: name 'add' is not defined"),
        ("def add(a, b):\n    return a +\n", Reason::Exception, "SyntaxError: invalid syntax"),
        ("def add(a, b):\n    while True:\n        pass\n", Reason::Time, ""),
        ("import sys\nsys.exit(0)\n", Reason::Exited, ""),
        ("import os\nos._exit(0)\n", Reason::Exited, ""),
        ("def add(a, b):\n    exit()\n", Reason::Exited, ""),
        ("def add(a, b):\n    raise SystemExit\n", Reason::Exited, ""),
        (forger, Reason::Exception, "NameError"),
        ("input()\n", Reason::Exception, "EOFError"),
        ("import socket\nsocket.create_connection(('1.1.1.1', 80))\n", Reason::Forbidden, "network: socket."),
    ] {
        let outcome = sandbox.run(code, &Test::Asserts(TESTS), &limits()).unwrap();
        assert_eq!(outcome.reason, reason, "{code}: {}", outcome.detail);
        assert!(outcome.detail.starts_with(detail), "{code}: {}", outcome.detail);
    }
}
