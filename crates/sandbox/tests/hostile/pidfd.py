# Takes hold of the host by a file descriptor.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)

input()
print(libc.syscall(434, int(input()), 0))
