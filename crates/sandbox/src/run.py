"""Runs `main.py` under an audit hook that names what it attempts; with `asserts`, then the test code on it.

Arguments: the harness (`script`, `asserts` or `values`) and the file descriptor of the record. The kernel holds the program; this
file only tells what happened.
"""

import builtins
import os
import sys

MOST_ATTEMPTS = 8
NETWORK = ("socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo",
           "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo", "socket.__new__")
PROCESS = ("os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.spawn", "os.system", "os.kill", "os.killpg",
           "os.startfile", "pty.spawn", "subprocess.Popen")
FILE = ("open", "os.listdir", "os.scandir", "os.chdir", "os.chmod", "os.chown", "os.link", "os.mkdir", "os.remove",
        "os.rename", "os.rmdir", "os.symlink", "os.truncate", "os.utime", "os.setxattr")
LIMITS = ("resource.setrlimit", "resource.prlimit")
STACK = 3
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def auditor(fd, home):
    """A hook that records each of the first attempts to leave the jail. Everything it needs is in its own cells."""
    any, ascii, isinstance, len = builtins.any, builtins.ascii, builtins.isinstance, builtins.len
    write, getframe, getcwd = os.write, sys._getframe, os.getcwd
    join, normpath, fsdecode = os.path.join, os.path.normpath, os.fsdecode
    inside, readable = (home, "/tmp"), ("/python", "/lib", "/jail")
    writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
    classes = {event: "network" for event in NETWORK}
    classes.update({event: "process" for event in PROCESS})
    classes.update({event: "file" for event in FILE})
    classes.update({event: "limits" for event in LIMITS})
    classes.update({"ctypes.dlopen": "native code", "import": "file"})
    said = []
    busy = []

    def called_in(name, file=""):
        frame = getframe(3)
        while frame is not None:
            if frame.f_code.co_name == name and frame.f_code.co_filename.endswith(file):
                return True
            frame = frame.f_back
        return False

    def below(path, folders):
        return any(path == folder or path.startswith(folder + "/") for folder in folders)

    def outside(path, flags):
        if path is None or isinstance(path, int):
            return False
        path = normpath(join(getcwd(), fsdecode(path)))
        reads = not (isinstance(flags, int) and flags & writes)
        return not (below(path, inside) or path in DEVICES or reads and below(path, readable))

    def is_attempt(kind, event, args):
        if event == "open":
            return outside(args[0], args[2])
        if event == "import":
            return outside(args[1], 0)
        if event in ("os.rename", "os.link", "os.symlink"):
            return outside(args[0], writes) or outside(args[1], writes)
        if event in ("os.listdir", "os.scandir", "os.chdir"):
            return outside(args[0], 0)
        if kind == "file":
            return outside(args[0], writes)
        if event == "socket.__new__":
            return not called_in("socketpair")
        if kind == "limits":
            return STACK not in args
        if kind == "native code":
            return not called_in("<module>", "ctypes/__init__.py")
        return True

    def hook(event, args):
        kind = classes.get(event)
        if kind is None or busy or len(said) >= MOST_ATTEMPTS:
            return
        busy.append(event)
        try:
            if is_attempt(kind, event, args):
                said.append(event)
                detail = ascii(args[1:] if event.startswith("socket.") else args)[:200]
                write(fd, f"forbidden {kind}: {event} {detail}\n".encode())
        except (OSError, ValueError):
            pass
        finally:
            busy.clear()

    return hook


def plain(value, depth=0):
    """A value as JSON that says its type: a program's own types do not cross, and neither do their comparisons."""
    if depth > 50:
        raise ValueError("the value is nested too deeply")
    items = lambda values: [plain(item, depth + 1) for item in values]
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
        return ["dict", [[plain(key, depth + 1), plain(item, depth + 1)] for key, item in value.items()]]
    if hasattr(value, "__next__") or type(value).__name__ in ("dict_keys", "dict_values", "dict_items", "deque"):
        return ["iter", items(value)]
    raise TypeError(f"a value of type {type(value).__name__} cannot be told to the tests")


def main():
    harness, fd = sys.argv[1], int(sys.argv[2])
    home = os.getcwd()
    sys.argv[:] = ["main.py"]
    sys.path[0] = home
    builtins.exit = builtins.quit = sys.exit
    with open("main.py", "rb") as file:
        source = file.read()
    write, tests = os.write, None
    if harness != "script":
        tests = os.dup(0)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    module = type(sys)("__main__" if tests is None else "solution")
    module.__file__ = "main.py"
    sys.modules[module.__name__] = module
    scope, run, translate, opened = module.__dict__, exec, compile, open
    write(fd, b"ready\n")
    sys.addaudithook(auditor(fd, home))
    run(translate(source, "main.py", "exec"), scope)
    if tests is not None:
        with opened(tests, encoding="utf-8") as file:
            secret, _, source = file.read().partition("\n")
        if harness == "values":
            import json
            sys.set_int_max_str_digits(0)
            asked = json.loads(source)
            for line in asked["imports"]:
                run(line, scope)
            for expression in asked["asked"]:
                value = json.dumps(plain(eval(translate(expression, "tests.py", "eval"), scope)))
                sys.stdout.flush()
                view = memoryview(f"\n{secret} {value}\n".encode())
                while view:
                    view = view[write(1, view):]
            write(fd, f"passed {secret}\n".encode())
            return
        run(translate(source, "tests.py", "exec"), scope)
        write(fd, f"passed {secret}\n".encode())


main()
