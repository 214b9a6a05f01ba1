# Starts another kernel.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(246, 0, 0, 0, 0))
