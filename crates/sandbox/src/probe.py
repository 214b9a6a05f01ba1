"""Prints where the parts of this interpreter are, as JSON."""

import json
import os
import re
import sys

SKIPPED = ("_test", "_xx", "xx", "_ctypes_test", "_tkinter", "readline", "nis")


def load_modules(folder):
    """Loads every compiled module, so that the libraries they are linked with show in the memory map."""
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else ():
        if not name.startswith(SKIPPED):
            try:
                __import__(name.split(".")[0])
            except Exception:
                pass


def mapped():
    """The shared libraries in memory."""
    with open("/proc/self/maps") as lines:
        paths = {line.split(None, 5)[5].strip() for line in lines if line.count("/")}
    return sorted(path for path in paths if ".so" in os.path.basename(path))


def names(path):
    """The names in the library's folder that lead to it."""
    folder = os.path.dirname(path)
    links = (name for name in os.listdir(folder) if os.path.islink(os.path.join(folder, name)))
    found = [name for name in links if os.path.realpath(os.path.join(folder, name)) == path]
    return sorted({os.path.basename(path), *found})


def loader(executable):
    """Where the executable looks for its loader."""
    with open(executable, "rb") as file:
        head = file.read(1 << 16)
    return re.search(rb"(/[\w./+-]*/ld[\w.+-]*)\0", head).group(1).decode()


def main():
    executable = os.readlink("/proc/self/exe")
    stdlib = os.path.dirname(os.path.realpath(os.__file__))
    load_modules(os.path.join(stdlib, "lib-dynload"))
    libraries = [path for path in mapped() if not path.startswith(stdlib + "/")]
    parts = {
        "executable": executable,
        "version": sys.version,
        "stdlib": stdlib,
        "loader": loader(executable),
        "libraries": [{"path": path, "names": names(path)} for path in libraries],
    }
    sys.stdout.write(json.dumps(parts))


main()
