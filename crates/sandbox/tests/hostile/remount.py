# Makes the root writable.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.mount(None, b"/", None, 32 | 4096, None))
