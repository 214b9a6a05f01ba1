# Turns off the randomness of addresses.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.personality(0x0040000))
