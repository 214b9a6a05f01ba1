# Leaves a message queue behind.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.msgget(0x464c4f57, 0o1666))
