"""The answer checker beside Math-Verify on every suite of answers, the same rows in the same run.

usage: verify.py SUITES FLOW OUT READINGS. SUITES holds the suites as JSON lines, FLOW is the program, OUT takes the rows, the
verdicts and the disagreements, READINGS says which reading is taken where a label is not followed. Prints Markdown. Each side uses one core, and times are of its processor, so that other work on the machine does
not count. Math-Verify's leave out its imports and the reading of files, those of FLOW include everything.
"""

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify

REAL = {"gsm8k_openai_labels", "gsm8k_tora_outputs", "real_pairs_nemo_math", "real_pairs_qwen_math"}


def rows(folder):
    """The rows that ask whether two answers are the same value, and have a label."""
    for path in sorted(folder.glob("[!_]*.jsonl")):
        for line in path.read_text().splitlines():
            row = json.loads(line)
            asks_form = (row.get("options") or {}).get("mode") == "literal"
            if row["expected"] is not None and row["kind"] in ("equiv", "extract_then_equiv") and not asks_form:
                yield path.stem, row


def ours(row):
    """A row as FLOW reads it: what the suite's own options ask for, in its keys."""
    given, keys = row.get("options") or {}, {}
    if given.get("task") == "mcq":
        keys["extract"] = "choice"
    if "boxed" in given.get("requires", ""):
        keys |= {"extract": "boxed", "strictness": "strict"}
    if given.get("env", "").startswith("gsm8k"):
        keys["extract"] = "final_line"
    if given.get("fn") == "final_number_exact_match":
        keys["extract"] = "last_number"
    if "rel_tol" in given:
        keys["decimals"] = "relative:4"
    for name in ("precision", "float_rounding"):
        if name in given:
            keys["decimals"] = f"places:{given[name]}"
    choices = re.findall(r"^\(([A-Z])\) (.*)$", given.get("question", ""), re.M)
    if choices:
        keys["choices"] = [text for _, text in choices]
    row = {key: row[key] for key in ("id", "kind", "gold", "pred", "expected")}
    return row | {"pred": row["pred"] or "", "options": keys}


def delimited(text, is_bare):
    """A bare answer between the delimiters without which Math-Verify reads no LaTeX."""
    return f"${text}$" if is_bare and "$" not in text and "\\boxed" not in text else text


def theirs(row):
    """Whether Math-Verify accepts a row, by the options that the row was written for."""
    given, is_bare = row.get("options") or {}, row["kind"] == "equiv"
    kinds = {"latex": LatexExtractionConfig(), "expr": ExprExtractionConfig()}
    configs = [kinds[name] for name in given.get("match_types", kinds)]
    if given.get("task") == "mcq" or "question" in given:
        configs.append(StringExtractionConfig())
    options = {"float_rounding": int(given.get("precision", given.get("float_rounding", 6)))}
    options |= {key: given[key] for key in ("strict", "allow_set_relation_comp") if key in given}
    golds = row["gold"] if isinstance(row["gold"], list) else [row["gold"]]
    try:
        answer = parse(delimited(row["pred"] or "", is_bare), configs)
        return any(verify(parse(delimited(gold or "", True), configs), answer, **options) for gold in golds)
    except Exception:  # It raises what its parsers raise; a row that cannot be read is not accepted.
        return False


def judge_by_flow(flow, given, out):
    """The verdicts of FLOW, and the seconds of its process from start to end."""
    (out / "rows.jsonl").write_text("".join(json.dumps(ours(row)) + "\n" for _, row in given))
    command = [flow, "verify", str(out / "rows.jsonl"), "-o", str(out / "ours.jsonl"), "--format", "json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [json.loads(line) for line in (out / "ours.jsonl").read_text().splitlines()], cpu_s


def judge_by_math_verify(given):
    """Its verdicts, and the seconds of each."""
    accepted, seconds = [], []
    for _, row in given:
        start = time.process_time()
        accepted.append(bool(theirs(row)))
        seconds.append(time.process_time() - start)
    return accepted, seconds


def table(given, verdicts, accepted, seconds):
    """One line a suite."""
    counts = {}
    for (suite, row), verdict, other, second in zip(given, verdicts, accepted, seconds, strict=True):
        for name in (suite, "labelled real" if suite in REAL else "hand-written"):
            count = counts.setdefault(name, (Counter(), Counter(), []))
            count[0][(row["expected"], verdict["verdict"])] += 1
            count[1][(row["expected"], other)] += 1
            count[2].append(second)
    print("| suite | rows | agreement | false accepts | false rejects | unknown | Math-Verify: agreement | false accepts | false rejects | median ms |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (own, other, times) in sorted(counts.items(), key=lambda item: (item[0] in ("labelled real", "hand-written"), item[0])):
        n = sum(own.values())
        agree = own[True, "equal"] + own[False, "different"] + own[False, "unknown"]
        unknown = own[True, "unknown"] + own[False, "unknown"]
        agree_other = other[True, True] + other[False, False]
        print(
            f"| {name} | {n} | {100 * agree / n:.1f} % ({agree}) | {own[False, 'equal']} | {own[True, 'different']} | {unknown} "
            f"| {100 * agree_other / n:.1f} % ({agree_other}) | {other[False, True]} | {other[True, False]} | {1000 * statistics.median(times):.2f} |"
        )


def readings(path):
    """What is said of each reading, and the reading of each row that has one."""
    lines = [line.split("\t") for line in path.read_text().splitlines() if not line.startswith("#")]
    said = {fields[0][1:]: fields[1] for fields in lines if fields[0].startswith("=")}
    return said, {fields[0]: fields[1] for fields in lines if not fields[0].startswith("=")}


def disagreements(given, verdicts, path):
    """Every row whose label is not followed, under the reading that is taken instead. Undecided rows count as not accepted."""
    said, of_row = readings(path)
    by_reading = {}
    for (_, row), verdict in zip(given, verdicts, strict=True):
        if row["expected"] != (verdict["verdict"] == "equal"):
            entry = f"{row['id']} ({verdict['verdict']}, label {'equal' if row['expected'] else 'different'})"
            by_reading.setdefault(of_row.get(row["id"]), []).append(entry)
    print("\nWhere a label is not followed:\n")
    print("| reading | rows |\n| --- | --- |")
    for name, entries in sorted(by_reading.items(), key=lambda item: item[0] or ""):
        print(f"| {said.get(name, '**No reading: to be looked at.**')} | {', '.join(entries)} |")


def main():
    folder, flow, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    out.mkdir(parents=True, exist_ok=True)
    given = list(rows(folder))
    runs = []
    for _ in range(5):
        verdicts, own_s = judge_by_flow(flow, given, out)
        runs.append(own_s)
    accepted, seconds = judge_by_math_verify(given)
    table(given, verdicts, accepted, seconds)
    own_s, other_s = statistics.median(runs), sum(seconds)
    print(
        f"\n{len(given)} rows on one core, processor time: flow {own_s:.3f} s (the program from start to end, median of 5), "
        f"{1e6 * own_s / len(given):.1f} microseconds a row; Math-Verify {other_s:.1f} s, {1000 * other_s / len(given):.2f} ms a row; "
        f"ratio {other_s / own_s:.0f}."
    )
    disagreements(given, verdicts, Path(sys.argv[4]))
    with (out / "disagreements.jsonl").open("w") as file:
        for (_, row), verdict in zip(given, verdicts, strict=True):
            if row["expected"] != (verdict["verdict"] == "equal"):
                shown = {key: row[key] for key in ("id", "gold", "pred")}
                file.write(json.dumps(shown | verdict, ensure_ascii=False) + "\n")


main()
