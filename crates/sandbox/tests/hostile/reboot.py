# Stops the machine.
# ends: forbidden native code
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
print(libc.reboot(0x4321fedc))
