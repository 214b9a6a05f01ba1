# Enters the namespaces of another process.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.setns(0, 0))
