"""Whether assertions hold of the values that a program worked out elsewhere.

Reads JSON on stdin: the checks, the values, and the expressions that they are of. Prints "passed", or the first assertion that does not hold.
"""

import json
import sys

sys.set_int_max_str_digits(0)


def all_made(items):
    return [made(item) for item in items]


MAKERS = {
    "int": int,
    "float": float,
    "complex": complex,
    "bytes": lambda text: text.encode("latin-1"),
    "range": lambda parts: range(*parts),
    "list": all_made,
    "tuple": lambda items: tuple(all_made(items)),
    "set": lambda items: set(all_made(items)),
    "frozenset": lambda items: frozenset(all_made(items)),
    "dict": lambda items: {made(key): made(item) for key, item in items},
    "iter": lambda items: iter(all_made(items)),
}


def made(value):
    return MAKERS[value[0]](value[1]) if isinstance(value, list) else value


def shortened(value):
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "…"


def main():
    given = json.load(sys.stdin)
    values = [made(value) for value in given["values"]]
    scope = {"value": lambda at: values[at]}
    for check in given["checks"]:
        try:
            exec(check, scope)
        except AssertionError:
            told = check.removeprefix("assert ")
            for at, asked in enumerate(given["asked"]):
                if f"value({at})" in told:
                    told = told.replace(f"value({at})", asked) + f", {asked} being {shortened(values[at])}"
            print("AssertionError:", told)
            return
    print("passed")


main()
