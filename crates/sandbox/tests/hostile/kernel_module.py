# Loads a kernel module.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(313, 0, b"", 0))
