# Clones itself into a user namespace of its own.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0))
