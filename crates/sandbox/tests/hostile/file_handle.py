# Opens a file by its number on the disk.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(304, 3, 0, 0))
