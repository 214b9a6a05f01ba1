# Reads the kernel's log.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.klogctl(3, ctypes.create_string_buffer(100), 100))
