# Kills the host past the interpreter.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)

input()
print(libc.kill(int(input()), 9))
