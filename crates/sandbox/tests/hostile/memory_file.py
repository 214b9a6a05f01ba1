# Takes memory as a file without a name.
# ends: forbidden system call
import os
fd = os.memfd_create("bomb")
while True:
    os.write(fd, b"x" * (1 << 20))
