# Queues a signal to the host.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)

input()
print(libc.sigqueue(int(input()), 9, 0))
