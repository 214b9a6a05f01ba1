//! A thousand honest programs, right and wrong ones: every verdict is the one that was computed beside them.

mod common;

use common::{FEW_THREADS, jail, on_threads};
use flow_sandbox::{Limits, Reason, Test};

/// A program that is right, what it reads, and what it must print, for a number.
type Task = fn(u64) -> (&'static str, String, String);

const TASKS: [Task; 20] = [
    |n| ("a, b = map(int, input().split())\nprint(a + b)", format!("{n} {}", n * n), (n + n * n).to_string()),
    |n| {
        let code = "def fib(n):\n    a, b = 0, 1\n    for _ in range(n):\n        a, b = b, a + b\n    return a\n\nprint(fib(int(input())))";
        let fib = (0..n % 80).fold((0_u64, 1_u64), |(a, b), _| (b, a + b)).0;
        (code, (n % 80).to_string(), fib.to_string())
    },
    |n| {
        let code =
            "import sys\nnumbers = [int(word) for word in sys.stdin.read().split()]\nprint(*sorted(numbers))";
        let numbers: Vec<u64> = (1..20).map(|i| i * n * 7919 % 1009).collect();
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        (code, words(&numbers), words(&sorted))
    },
    |n| {
        (
            "import math\nprint(math.gcd(*map(int, input().split())))",
            format!("{} {}", n * 12, n * 18),
            (n * 6).to_string(),
        )
    },
    |n| {
        let code = "from functools import lru_cache\nimport sys\nsys.setrecursionlimit(10000)\n@lru_cache(None)\ndef f(n):\n    return 0 if n == 0 else n + f(n - 1)\nprint(f(int(input())))";
        (code, (n + 500).to_string(), ((n + 500) * (n + 501) / 2).to_string())
    },
    |n| {
        let code = "from collections import Counter\nprint(Counter(input()).most_common(1)[0][0])";
        (code, format!("{}{}", "a".repeat(n as usize % 7 + 4), "bcd"), "a".to_owned())
    },
    |n| {
        (
            "import re\nprint(len(re.findall(r'\\d+', input())))",
            "a1 ".repeat(n as usize % 30 + 1),
            (n % 30 + 1).to_string(),
        )
    },
    |n| {
        (
            "import json\nprint(sum(json.loads(input())['values']))",
            format!("{{\"values\": [1, {n}, 2]}}"),
            (n + 3).to_string(),
        )
    },
    |n| {
        let code = "from fractions import Fraction\nprint(Fraction(1, int(input())) + Fraction(1, 1))";
        (code, (n + 2).to_string(), format!("{}/{}", n + 3, n + 2))
    },
    |n| ("print(input()[::-1].upper())", format!("grüße {n}"), reversed(&format!("GRÜSSE {n}"), n)),
    |n| {
        let code = "import heapq\nheap = list(map(int, open(0).read().split()))\nheapq.heapify(heap)\nprint(heapq.heappop(heap))";
        let numbers: Vec<u64> = (1..30).map(|i| i * (n + 1) * 31 % 997).collect();
        (code, words(&numbers), numbers.iter().min().unwrap().to_string())
    },
    |n| {
        let code = "class Account:\n    def __init__(self):\n        self.total = 0\n    def add(self, n):\n        self.total += n\naccount = Account()\nfor line in iter(input, 'end'):\n    account.add(int(line))\nprint(account.total)\nexit()";
        (code, format!("{n}\n{n}\nend\n"), (2 * n).to_string())
    },
    |n| {
        let code =
            "with open('notes.txt', 'w') as file:\n    file.write(input())\nprint(open('notes.txt').read())";
        (code, format!("note {n}"), format!("note {n}"))
    },
    |n| {
        let code = "import threading\nresults = []\nthreads = [threading.Thread(target=results.append, args=(i,)) for i in range(int(input()))]\nfor thread in threads:\n    thread.start()\nfor thread in threads:\n    thread.join()\nprint(sum(results))";
        let n = n % 8 + 1;
        (code, n.to_string(), (n * (n - 1) / 2).to_string())
    },
    |n| {
        let code = "import asyncio\nasync def double(n):\n    await asyncio.sleep(0)\n    return 2 * n\nprint(asyncio.run(double(int(input()))))";
        (code, n.to_string(), (2 * n).to_string())
    },
    |n| {
        let code =
            "import datetime\nprint(datetime.date(2024, 1, 1) + datetime.timedelta(days=int(input())))";
        (code, (n % 31).to_string(), format!("2024-01-{:02}", n % 31 + 1))
    },
    |n| {
        let code = "import sys\n\ndef main():\n    print('working', file=sys.stderr)\n    print('YES' if int(input()) % 2 else 'NO')\n\nif __name__ == '__main__':\n    main()";
        (code, n.to_string(), if n % 2 == 1 { "YES" } else { "NO" }.to_owned())
    },
    |n| {
        let code = "n = int(input())\nsieve = [True] * (n + 1)\nfor p in range(2, n + 1):\n    if sieve[p]:\n        for q in range(p * p, n + 1, p):\n            sieve[q] = False\nprint(sum(sieve[2:]))";
        let primes = (2..=n + 100).filter(|p| (2..*p).take_while(|d| d * d <= *p).all(|d| p % d > 0)).count();
        (code, (n + 100).to_string(), primes.to_string())
    },
    |n| {
        let code = "import itertools, decimal, hashlib, statistics, string, bisect, random, dataclasses, enum, typing\nimport subprocess, socket, ctypes, tempfile\nprint(len(list(itertools.combinations(range(int(input())), 2))))";
        let n = n % 40;
        (code, n.to_string(), (n * n.saturating_sub(1) / 2).to_string())
    },
    |n| {
        let code = "import tempfile\nwith tempfile.TemporaryFile('w+') as file:\n    file.write(input() * 2)\n    file.seek(0)\n    print(file.read())";
        (code, format!("{n}-"), format!("{n}-{n}-"))
    },
];

fn words(numbers: &[u64]) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// What Python makes of `grüße N` backwards in capitals: it turns the letters round first.
fn reversed(_: &str, n: u64) -> String {
    let digits: String = n.to_string().chars().rev().collect();
    format!("{digits} ESSÜRG")
}

/// The program of task `n` and what becomes of it: of ten, seven are right and three are not.
fn program(n: u64) -> (String, String, String, Reason) {
    let (code, input, output) = TASKS[n as usize % TASKS.len()](n / TASKS.len() as u64 + 1);
    match n / TASKS.len() as u64 % 10 {
        7 => (format!("print('first')\n{code}"), input, output, Reason::WrongOutput),
        8 => (
            format!("{}\nraise KeyError('late')", code.trim_end_matches("exit()")),
            input,
            output,
            Reason::Exception,
        ),
        9 => (format!("import sys\nsys.exit(3)\n{code}"), input, output, Reason::Exception),
        _ => (code.to_owned(), input, output, Reason::Passed),
    }
}

#[test]
fn a_thousand_verdicts_are_right() {
    let sandbox = jail();
    let programs: Vec<_> = (0..1000).map(program).collect();
    let faults = on_threads(FEW_THREADS, &programs, |(code, input, output, reason)| {
        let outcome = sandbox.run(code, &Test::StdinStdout { input, output }, &Limits::default()).unwrap();
        (outcome.reason != *reason)
            .then(|| format!("expected {reason}, found {}: {}:\n{code}", outcome.reason, outcome.detail))
    });
    let faults: Vec<String> = faults.into_iter().flatten().collect();
    assert!(faults.is_empty(), "{}:\n{}", faults.len(), faults[..faults.len().min(10)].join("\n"));
}
