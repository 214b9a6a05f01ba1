# Types into the terminal of the host.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.ioctl(0, 0x5412, b"x"))
