"""Runs `main.py` under an audit hook that names what it attempts, and then what the tests ask of it.

Arguments: the harness (`script`, `values`, `answers` or `tests`) and the file descriptors of the record and the link. The kernel
holds the program; this file only tells what happened.
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


def main():
    harness, fd, link = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    home = os.getcwd()
    if harness != "script":
        told = type(sys)("link")
        with open(os.path.join(sys.path[0], "link.py"), encoding="utf-8") as file:
            exec(compile(file.read(), "link.py", "exec"), told.__dict__)
        sys.set_int_max_str_digits(0)
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
            asked = told.json.loads(source)
            for line in asked["imports"]:
                run(line, scope)
            for expression in asked["asked"]:
                value = told.json.dumps(told.plain(eval(translate(expression, "tests.py", "eval"), scope)))
                sys.stdout.flush()
                view = memoryview(f"\n{secret} {value}\n".encode())
                while view:
                    view = view[write(1, view):]
        elif harness == "answers":
            told.answer(told.Line(link), scope)
        else:
            scope.update(told.Asker(told.Line(link)).known(told.mentioned(source)))
            run(translate(source, "tests.py", "exec"), scope)
        write(fd, f"passed {secret}\n".encode())


main()
