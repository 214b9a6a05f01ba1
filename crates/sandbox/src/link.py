"""Values as plain data, and a link between two jails: the tests ask in one, the program answers in the other, a line each."""

import ast
import builtins
import json
import operator
import os
import sys

MOST_BYTES = 16 << 20
OPERATIONS = {
    "call": lambda function, *args, **named: function(*args, **named),
    "getattr": getattr, "setattr": setattr, "len": len, "iter": iter, "next": next, "str": str, "repr": repr, "bool": bool,
}
OPERATORS = ("getitem", "setitem", "delitem", "contains", "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "neg",
             "abs", "lt", "le", "gt", "ge")
OPERATIONS.update({name: getattr(operator, name) for name in OPERATORS})


def plain(value, refer=None, depth=0):
    """A value as JSON that says its type: a program's own types do not cross, and neither do their comparisons. `refer`
    names what stays behind."""
    if depth > 50:
        raise ValueError("the value is nested too deeply")
    items = lambda values: [plain(item, refer, depth + 1) for item in values]
    if value is None or type(value) in (bool, str):
        return value
    if isinstance(value, str):
        return str.__str__(value)
    for kind, make in ((int, int.__repr__), (float, float.__repr__), (complex, complex.__repr__)):
        if isinstance(value, kind):
            return [kind.__name__, make(value)]
    if isinstance(value, (bytes, bytearray)):
        return ["bytes", bytes(value).decode("latin-1")]
    if isinstance(value, range):
        return ["range", [value.start, value.stop, value.step]]
    for kind in (list, tuple, set, frozenset):
        if isinstance(value, kind):
            return [kind.__name__, items(value)]
    if isinstance(value, dict):
        return ["dict", [[items([key])[0], items([item])[0]] for key, item in value.items()]]
    if type(value).__name__ in ("dict_keys", "dict_values", "dict_items", "deque") or refer is None and hasattr(value, "__next__"):
        return ["iter", items(value)]
    if refer is None:
        raise TypeError(f"a value of type {type(value).__name__} cannot be told to the tests")
    return refer(value)


def made(value, find=None):
    """The value that plain data tell of; `find` knows what was referred to."""
    if not isinstance(value, list):
        return value
    kind, parts = value
    items = lambda: [made(part, find) for part in parts]
    makers = {
        "int": lambda: int(parts), "float": lambda: float(parts), "complex": lambda: complex(parts),
        "bytes": lambda: parts.encode("latin-1"), "range": lambda: range(*parts), "list": items, "tuple": lambda: tuple(items()),
        "set": lambda: set(items()), "frozenset": lambda: frozenset(items()), "iter": lambda: iter(items()),
        "dict": lambda: {made(key, find): made(item, find) for key, item in parts}, "held": lambda: find(*parts),
    }
    return makers[kind]()


class Line:
    """The link's end in this jail."""

    def __init__(self, fd):
        self.fd, self.rest = fd, b""

    def hear(self):
        """The next message; none at the end."""
        while b"\n" not in self.rest:
            chunk = os.read(self.fd, 1 << 16)
            if not chunk:
                return None
            self.rest += chunk
            if len(self.rest) > MOST_BYTES:
                raise ValueError("a message is too long")
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def say(self, message):
        view = memoryview(json.dumps(message).encode() + b"\n")
        if len(view) > MOST_BYTES:
            raise ValueError("a message is too long")
        while view:
            view = view[os.write(self.fd, view):]


def answer(line, scope):
    """Answers what the tests ask until they have ended."""
    held = []

    def refer(value):
        held.append(value)
        return ["held", [len(held) - 1, type(value).__name__]]

    def answered(asked):
        if "names" in asked:
            return {"known": {name: plain(scope[name], refer) for name in asked["names"] if name in scope}}
        args = [made(arg, lambda at, _: held[at]) for arg in asked["args"]]
        named = {name: made(arg, lambda at, _: held[at]) for name, arg in asked["named"].items()}
        value = plain(OPERATIONS[asked["do"]](*args, **named), refer)
        # What was handed over may have been changed in place.
        return {"value": value, "args": [plain(arg, refer) if type(arg) in (list, dict, set) else None for arg in args]}

    while (asked := line.hear()) is not None:
        try:
            told = answered(asked)
        except Exception as error:
            standard = next(kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind)
            told = {"raised": [type(error).__name__, standard, str(error)]}
        line.say(told)


class Held:
    """Something of the program's that is no plain data: it stays there, and is asked from here. It has no equality, which would
    be the program's own."""

    def __init__(self, asker, at, kind):
        self.__dict__.update(_asker=asker, _held=[at, kind])

    def __call__(self, *args, **named):
        return self._asker.ask("call", self, *args, **named)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._asker.ask("getattr", self, name)

    def __setattr__(self, name, value):
        self._asker.ask("setattr", self, name, value)

    def __eq__(self, other):
        raise TypeError(f"a value of type {self._held[1]} stays with the program and cannot be compared")

    __ne__ = __eq__
    __hash__ = None


def asks(name):
    return lambda self, *args: self._asker.ask(name, self, *args)


for name in OPERATIONS:
    if not name.endswith("attr") and name != "call":
        setattr(Held, f"__{name}__", asks(name))


class Asker:
    """Asks the program in the other jail."""

    def __init__(self, line):
        self.line = line

    def find(self, at, kind):
        return Held(self, at, kind)

    def refer(self, value):
        if type(value) is Held:
            return ["held", value._held]
        raise TypeError(f"a value of type {type(value).__name__} cannot be told to the program")

    def exchange(self, message):
        self.line.say(message)
        told = self.line.hear()
        if told is None:
            raise EOFError("the program has ended")
        return told

    def known(self, names):
        """What the program has under these names."""
        return {name: made(value, self.find) for name, value in self.exchange({"names": names})["known"].items() if name in names}

    def ask(self, do, *args, **named):
        told = self.exchange({
            "do": do,
            "args": [plain(arg, self.refer) for arg in args],
            "named": {name: plain(arg, self.refer) for name, arg in named.items()},
        })
        if "raised" in told:
            raise raised(*told["raised"])
        for arg, after in zip(args, told["args"]):
            change(arg, made(after, self.find))
        return made(told["value"], self.find)


def raised(name, standard, text):
    """An exception like the program's; never one that ends the interpreter."""
    base = getattr(builtins, standard, Exception)
    base = base if isinstance(base, type) and issubclass(base, Exception) else Exception
    kind = base if name == base.__name__ else type(name, (base,), {"__module__": "builtins"})
    return kind.__new__(kind, text)


def change(value, after):
    """Makes a list, dictionary or set what it became."""
    if type(value) is not type(after):
        return
    if type(value) is list:
        value[:] = after
    elif type(value) in (dict, set):
        value.clear()
        value.update(after)


def mentioned(source):
    """The names in test code that are not Python's own."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        names.update({getattr(node, field, None) for field in ("id", "attr", "name")})
    return sorted(name for name in names if isinstance(name, str) and not name.startswith("__") and name not in dir(builtins))


