# Loads a program into the kernel.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(321, 0, 0, 0))
