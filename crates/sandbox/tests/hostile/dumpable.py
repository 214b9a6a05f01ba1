# Changes what the kernel keeps of it.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.prctl(4, 1, 0, 0, 0))
