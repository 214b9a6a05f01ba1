# Makes a user namespace to be root in.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.unshare(0x10000000))
