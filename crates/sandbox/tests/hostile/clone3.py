# Clones itself by the newest call, which filters cannot look into.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)

args = (ctypes.c_uint64 * 11)(0, 0, 0, 0, 17)
print(libc.syscall(435, args, ctypes.sizeof(args)))
