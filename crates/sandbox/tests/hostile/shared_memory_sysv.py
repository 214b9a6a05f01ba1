# Leaves System V shared memory behind.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.shmget(0x464c4f57, 1 << 20, 0o1666))
