//! Without a jail: the same verdicts, limits on resources, and nothing left behind.

mod common;

use std::fs;

use common::sandbox;
use flow_sandbox::{Isolation, Limits, Reason, Test};

#[test]
fn verdicts_are_the_same_and_nothing_is_left() {
    let sandbox = sandbox(Isolation::None);
    let limits = Limits { cpu_s: 1, wall_ms: 3000, memory_bytes: 256 << 20, ..Limits::default() };
    let test = Test::StdinStdout { input: "20 22\n", output: "42\n" };
    for (code, reason) in [
        ("print(sum(map(int, input().split())))", Reason::Passed),
        ("print(41)", Reason::WrongOutput),
        ("open('left', 'w').write('behind')\nprint(42)", Reason::Passed),
        ("while True:\n    pass", Reason::Time),
        ("import time\ntime.sleep(100)", Reason::Time),
        ("x = []\nwhile True:\n    x.append(bytearray(1 << 20))", Reason::Memory),
        ("while True:\n    print('x' * 1000)", Reason::Output),
    ] {
        assert_eq!(sandbox.run(code, &test, &limits).unwrap().reason, reason, "{code}");
    }
    let own = format!("flow-sandbox-{}-", std::process::id());
    let left = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    assert_eq!(left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&own)).count(), 0);
}
