"""Takes tests apart, so that the program never sees what it must answer.

Reads test code on stdin. Prints JSON: the expressions that only the program can work out, and the assertions on their
values; or null where the tests are more than imports and assertions, so that they must ask it as they run.
"""

import ast
import builtins
import json
import sys

READERS = {"bool", "dict", "float", "frozenset", "int", "len", "list", "next", "repr", "set", "sorted", "str", "sum", "tuple"}


def root(node):
    """The name that a chain of calls, attributes and items begins with."""
    while isinstance(node, (ast.Call, ast.Attribute, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


class Splitter(ast.NodeTransformer):
    """Replaces what the program works out by `value(0)`, `value(1)`, and so on."""

    def __init__(self, known):
        self.known = known
        self.asked = []

    def is_asked(self, node):
        if isinstance(node, ast.Call) and root(node) in READERS and len(node.args) == 1 and not node.keywords:
            return self.is_asked(node.args[0])
        name = root(node)
        return name is not None and name not in self.known and not isinstance(node, ast.Name)

    def visit(self, node):
        if isinstance(node, ast.expr) and self.is_asked(node):
            self.asked.append(ast.unparse(node))
            return ast.parse(f"value({len(self.asked) - 1})", mode="eval").body
        return self.generic_visit(node)


def assertions(tree):
    """The imports and assertions; those of `def check(candidate)` for each `check(name)`. None where there is anything else."""
    functions, found = {}, []
    for node in tree.body:
        if isinstance(node, (ast.Import, ast.Assert)):
            found.append((node, {}))
        elif isinstance(node, ast.FunctionDef) and len(node.args.args) == 1:
            functions[node.name] = node
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            pass
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and is_check(node.value, functions):
            function = functions[node.value.func.id]
            names = {function.args.args[0].arg: node.value.args[0].id}
            found.extend((inner, names) for inner in function.body)
        else:
            return None
    return found if all(isinstance(node, (ast.Import, ast.Assert)) for node, _ in found) else None


def is_check(call, functions):
    return isinstance(call.func, ast.Name) and call.func.id in functions and len(call.args) == 1 and isinstance(call.args[0], ast.Name)


def renamed(node, names):
    for inner in ast.walk(node):
        if isinstance(inner, ast.Name):
            inner.id = names.get(inner.id, inner.id)
    return node


def split(source):
    found = assertions(ast.parse(source))
    if not found:
        return None
    found = [renamed(ast.parse(ast.unparse(node)).body[0], names) for node, names in found]
    imports = [node for node in found if isinstance(node, ast.Import)]
    known = set(dir(builtins)) | {(name.asname or name.name).split(".")[0] for node in imports for name in node.names}
    splitter = Splitter(known)
    checks = [ast.unparse(splitter.visit(node)) for node in found]
    left = {name.id for check in checks for name in ast.walk(ast.parse(check)) if isinstance(name, ast.Name)}
    if not splitter.asked or left - known - {"value"}:
        return None
    return {"imports": [ast.unparse(node) for node in imports], "asked": splitter.asked, "checks": checks}


try:
    print(json.dumps(split(sys.stdin.read())))
except (SyntaxError, ValueError, RecursionError):
    print("null")
