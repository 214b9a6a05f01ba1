# Mounts a view of all processes.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.mount(b"proc", b"/box", b"proc", 0, None))
