# Spawns a program.
# ends: forbidden process
import os
print(os.posix_spawn("/bin/cat", ["cat", "/etc/passwd"], {}))
