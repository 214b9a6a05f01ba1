# Reads a file of the host past the interpreter.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)

buffer = ctypes.create_string_buffer(100)
libc.read(libc.open(input().encode(), 0), buffer, 100)
print(buffer.value.decode())
