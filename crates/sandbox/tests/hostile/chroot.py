# Changes its root to climb out of it.
# ends: forbidden system call
import os
os.mkdir("deeper")
os.chroot("deeper")
for _ in range(100):
    os.chdir("..")
