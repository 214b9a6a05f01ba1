"""The bindings: values in, verdicts out. The engine has its own tests in Rust."""

import threading

import pytest

import flow_verify
from flow_verify import extract, verify


@pytest.mark.parametrize(
    ("gold", "answer", "keys", "outcome"),
    [
        ("1/2", "0.5", {}, "equal"),
        ("1/2", r"\boxed{\frac{2}{4}}", {}, "equal"),
        ("x+1", "1+x", {}, "equal"),
        ("3", "4", {}, "different"),
        ("3", "blue", {}, "unknown"),
        (["3", "4"], "4", {}, "equal"),
        ("18", "She has 9*2=18 left", {"preset": "gsm8k"}, "equal"),
        ("B", "The answer is red.", {"preset": "choice", "choices": ["blue", "red"]}, "equal"),
        ("1/3", "0.333", {"compare": "numeric"}, "equal"),
        ("5", '{"answer": 5}', {"extract": "json:answer"}, "equal"),
        ("5", "", {}, "different"),
        ("5", "é" * 100_000, {}, "unknown"),
    ],
)
def test_outcomes(gold, answer, keys, outcome):
    verdict = verify(gold, answer, **keys)
    assert verdict.outcome == outcome
    assert bool(verdict) is (outcome == "equal")
    assert verdict.method and verdict.witness
    assert verdict == verify(gold, answer, **keys)


def test_what_was_extracted():
    assert verify("4", "the answer is 5.", preset="gsm8k").extracted == "5"
    assert verify("4", "no idea", preset="gsm8k").extracted is None
    assert extract("so the answer is **42**.") == "42"
    assert extract("nothing") is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: verify("1", "1", preset="gsm9k"), "unknown preset"),
        (lambda: verify("1", "1", boxes="first"), "unknown boxes"),
        (lambda: verify("1", "1", precision="6"), "unknown key"),
        (lambda: verify([], "1"), "at least one"),
        (lambda: extract("1", extract="regex:("), "invalid regex"),
    ],
)
def test_mistakes(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_threads():
    verdicts = []
    threads = [threading.Thread(target=lambda: verdicts.append(verify("2", "1+1"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [verify("2", "1+1")] * 8


def test_presets_are_known():
    for preset in flow_verify.PRESETS:
        assert verify("4", "4", preset=preset).outcome in ("equal", "different")
