# Leaves a file that would run as root.
# ends: forbidden process
import os
open("shell", "wb").write(open("/python/bin/python3", "rb").read(1 << 20))
os.chmod("shell", 0o4777)
os.execv("./shell", ["shell"])
