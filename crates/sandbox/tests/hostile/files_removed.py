# Fills files that it has removed already.
# ends: quota
import os
files = []
while True:
    files.append(open("gone", "wb", buffering=0))
    os.remove("gone")
    for _ in range(10):
        if files[-1].write(bytes(1 << 16)) < 1 << 16:
            raise OSError(28, "a short write")
