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

/// What a program writes that reads all it can find, and says with it that it has passed.
const SAY_PASSED: &str = "
import os, sys
found = set()
for fd in range(64):
    try:
        found.update(os.pread(fd, 65536, 0).decode().split())
    except OSError:
        pass
    try:
        found.update(os.read(fd, 65536).decode().split()) if fd > 2 else None
    except OSError:
        pass
frame = sys._getframe()
while frame:
    found.update(str(value) for value in frame.f_locals.values())
    frame = frame.f_back
for fd in range(3, 64):
    for word in found:
        try:
            os.write(fd, f'passed {word}\\n'.encode())
        except OSError:
            pass
";

#[test]
fn programs_that_attack_the_harness_do_not_pass() {
    let sandbox = jail();
    let yes = "class Yes(int):\n    def __eq__(self, other):\n        return True\n    __ne__ = lambda self, other: False\n    __hash__ = None\ndef add(a, b):\n    return Yes()\n";
    let any =
        "class Any:\n    def __eq__(self, other):\n        return True\ndef add(a, b):\n    return Any()\n";
    let attacks = [
        SAY_PASSED.to_owned(),
        format!("{SAY_PASSED}os._exit(0)\n"),
        format!("{SAY_PASSED}def add(a, b):\n    return 0\n"),
        format!("def add(a, b):\n{}\n    os._exit(0)\n", SAY_PASSED.replace('\n', "\n    ")),
        yes.to_owned(),
        any.to_owned(),
        "import builtins\nbuiltins.AssertionError = SystemExit\ndef add(a, b):\n    return 0\n".to_owned(),
        "import builtins\nbuiltins.exec = builtins.eval = lambda *rest: 0\ndef add(a, b):\n    return 0\n".to_owned(),
        "import json\njson.dumps = lambda value: '[1]'\ndef add(a, b):\n    return 0\n".to_owned(),
        "import atexit, os\natexit.register(lambda: os._exit(0))\ndef add(a, b):\n    return 0\n".to_owned(),
        "import sys\nsys.excepthook = lambda *rest: None\ndef add(a, b):\n    sys.exit(0)\n".to_owned(),
        "import threading, os, time\nthreading.Thread(target=lambda: (time.sleep(0.1), os._exit(0))).start()\ndef add(a, b):\n    time.sleep(1)\n    return 0\n".to_owned(),
        "import sys\nsys.settrace(lambda *rest: None)\nsys.modules['builtins'].print = lambda *rest: None\ndef add(a, b):\n    return 0\n".to_owned(),
        "import sys\nlocals_ = sys._getframe(1).f_globals\nlocals_['plain'] = lambda value, depth=0: True\ndef add(a, b):\n    return 0\n".to_owned(),
    ];
    for code in attacks {
        let outcome = sandbox.run(&code, &Test::Asserts(TESTS), &limits()).unwrap();
        assert_ne!(outcome.reason, Reason::Passed, "{code}");
    }
}

#[test]
fn values_of_many_kinds_are_told_to_the_tests() {
    let sandbox = jail();
    let code = "def same(x):\n    return x\ndef items():\n    yield 1\n    yield 'é'\n";
    let cases = [
        ("assert same(10**5000) == 10**5000", Reason::Passed),
        ("assert same(0.1) == 0.1 and same(float('inf')) == float('inf')", Reason::Passed),
        ("assert same((1, [2, {'a': {3}}])) == (1, [2, {'a': {3}}])", Reason::Passed),
        ("assert same((1, 2)) == [1, 2]", Reason::WrongOutput),
        ("assert list(items()) == [1, 'é']", Reason::Passed),
        ("assert same(b'\\xff') == b'\\xff' and same(None) is None and same(True) is True", Reason::Passed),
        ("import math\nassert abs(same(1.5) - math.sqrt(2)) < 0.1", Reason::Passed),
        (
            "def check(candidate):\n    assert candidate(2) == 2\n    assert candidate('a')[0] == 'a'\n\ncheck(same)",
            Reason::Passed,
        ),
        ("def check(candidate):\n    assert candidate(2) == 3\n\ncheck(same)", Reason::WrongOutput),
        // What cannot be taken apart asks call by call.
        ("x = same(3)\nassert x == 3", Reason::Passed),
        ("for x in range(3):\n    assert same(x) == x + 1", Reason::WrongOutput),
    ];
    for (tests, reason) in cases {
        let outcome = sandbox.run(code, &Test::Asserts(tests), &limits()).unwrap();
        assert_eq!(outcome.reason, reason, "{tests}: {}", outcome.detail);
    }
    let told = sandbox.run(code, &Test::Asserts("assert same(1) == 2"), &limits()).unwrap().detail;
    assert_eq!(told, "AssertionError: same(1) == 2, same(1) being 1");
}

/// Tests with a loop and a variable, which cannot be taken apart.
const LOOP: &str = "results = []\nfor a, b, c in [(1, 2, 3), (-1, 1, 0)]:\n    results.append(add(a, b))\n    assert results[-1] == c\n";

#[test]
fn programs_that_attack_tests_with_loops_do_not_pass() {
    let sandbox = jail();
    let said = |then: &str| format!("{SAY_PASSED}{then}");
    let attacks = [
        said(""),
        said("os._exit(0)\n"),
        said("def add(a, b):\n    return 0\n"),
        format!("def add(a, b):\n{}\n    os._exit(0)\n", SAY_PASSED.replace('\n', "\n    ")),
        "class Yes(int):\n    def __eq__(self, other):\n        return True\n    __hash__ = None\ndef add(a, b):\n    return Yes()\n".to_owned(),
        "class Any:\n    def __eq__(self, other):\n        return True\ndef add(a, b):\n    return Any()\n".to_owned(),
        "import builtins\nbuiltins.AssertionError = SystemExit\ndef add(a, b):\n    return 0\n".to_owned(),
        "AssertionError = ValueError\nrange = list = lambda *rest: []\ndef add(a, b):\n    return 0\n".to_owned(),
        "class Quiet(list):\n    def __iter__(self):\n        return iter([])\nresults = Quiet()\ndef add(a, b):\n    return 0\n".to_owned(),
        "def add(a, b):\n    raise AssertionError\n".to_owned(),
        "def add(a, b):\n    raise SystemExit(0)\n".to_owned(),
        "def add(a, b):\n    raise KeyboardInterrupt\n".to_owned(),
        "import os\ndef add(a, b):\n    for fd in range(3, 64):\n        try:\n            os.write(fd, b'{\"value\": [\"int\", \"3\"], \"args\": []}\\n' * 9)\n        except OSError:\n            pass\n    return 3\n".to_owned(),
        "import os\ndef add(a, b):\n    for fd in range(3, 64):\n        try:\n            os.close(fd)\n        except OSError:\n            pass\n    os._exit(0)\n".to_owned(),
        "import os\ndef add(a, b):\n    while True:\n        os.write(4, b'x' * 65536)\n        os.write(5, b'x' * 65536)\n".to_owned(),
        "import sys\ndef add(a, b):\n    frame = sys._getframe()\n    while frame:\n        if 'asked' in frame.f_locals:\n            print(frame.f_locals['asked'])\n        frame = frame.f_back\n    return 0\n".to_owned(),
        "import sys, json\njson.dumps = lambda message: '{\"value\": true, \"args\": []}'\ndef add(a, b):\n    return 0\n".to_owned(),
    ];
    for code in attacks {
        let outcome = sandbox.run(&code, &Test::Asserts(LOOP), &limits()).unwrap();
        assert_ne!(outcome.reason, Reason::Passed, "{code}");
    }
    let honest = "def add(a, b):\n    return a + b\n";
    assert_eq!(sandbox.run(honest, &Test::Asserts(LOOP), &limits()).unwrap().reason, Reason::Passed);
}

#[test]
fn tests_of_any_kind_ask_the_program_in_its_own_jail() {
    let sandbox = jail();
    let code = "MOST = [1, 2]\nclass Stack:\n    def __init__(self):\n        self.items = []\n    def push(self, item):\n        self.items.append(item)\n        return self\n    def __len__(self):\n        return len(self.items)\ndef sort(items):\n    items.sort()\ndef count():\n    yield from range(3)\ndef fail(x):\n    raise ValueError(f'no {x}')\ndef apply(f, x):\n    return f(x)\ndef same(x=5, *, y=None):\n    return y or x\ndef sum(items):\n    return 0\n";
    let cases = [
        ("s = Stack()\ns.push(1).push(2)\nassert len(s) == 2 and s.items == [1, 2]", Reason::Passed, ""),
        (
            "s = Stack()\nassert s == Stack()",
            Reason::Exception,
            "TypeError: a value of type Stack stays with the program",
        ),
        ("a = [3, 1, 2]\nsort(a)\nassert a == [1, 2, 3]", Reason::Passed, ""),
        ("a = list(count())\nassert a == [0, 1, 2]", Reason::Passed, ""),
        (
            "try:\n    fail(7)\n    assert False\nexcept ValueError as e:\n    assert str(e) == 'no 7'",
            Reason::Passed,
            "",
        ),
        ("x = fail(7)", Reason::Exception, "ValueError: no 7"),
        (
            "x = apply(lambda x: x, 1)",
            Reason::Exception,
            "TypeError: a value of type function cannot be told to the program",
        ),
        ("x = apply(same, 3)\nassert x == 3 and same(y=4) == 4 and same() == 5", Reason::Passed, ""),
        (
            "from solution import same as other, MOST\nx = other({1: (2, None)})\nassert x == {1: (2, None)} and MOST == [1, 2]",
            Reason::Passed,
            "",
        ),
        ("import solution\nx = solution.same(10**4000)\nassert x == 10**4000", Reason::Passed, ""),
        (
            "import unittest\nclass Tests(unittest.TestCase):\n    def test_it(self):\n        self.assertEqual(same(1), 2)\nassert unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(Tests)).wasSuccessful()",
            Reason::WrongOutput,
            "AssertionError",
        ),
        // What Python calls so is Python's own.
        ("x = sum([1, 2])\nassert x == 0", Reason::WrongOutput, "AssertionError"),
        (
            "for x in range(1):\n    assert absent(x)",
            Reason::Exception,
            "NameError: name 'absent' is not defined",
        ),
        ("for x in range(1):\n    assert same(x", Reason::Exception, "SyntaxError"),
    ];
    for (tests, reason, detail) in cases {
        let outcome = sandbox.run(code, &Test::Asserts(tests), &limits()).unwrap();
        assert_eq!(outcome.reason, reason, "{tests}: {}", outcome.detail);
        assert!(outcome.detail.starts_with(detail), "{tests}: {}", outcome.detail);
    }
}
