# Sets the clock.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.settimeofday(ctypes.create_string_buffer(16), None))
