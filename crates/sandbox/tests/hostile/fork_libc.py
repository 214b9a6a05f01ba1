# Forks by the C library, twice, to become a daemon.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)

if libc.fork() == 0:
    libc.setsid()
    libc.fork()
    while True:
        pass
