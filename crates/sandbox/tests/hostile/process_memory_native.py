# Reads the memory of another process.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(310, 1, 0, 0, 0, 0, 0))
