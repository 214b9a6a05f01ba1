# Mounts the host's disk.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.mount(b"/dev/vda", b"/box", b"ext4", 0, None))
