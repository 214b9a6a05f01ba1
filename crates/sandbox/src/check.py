"""Whether assertions hold of the values that a program worked out elsewhere.

Reads JSON on stdin: the checks, the values, and the expressions that they are of. Prints "passed", or the first assertion that does not hold.
"""

import json
import sys

sys.set_int_max_str_digits(0)


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
