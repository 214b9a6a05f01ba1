# Unmounts what hides the host.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.umount2(b"/", 2))
