# Becomes a shell.
# ends: forbidden process
import os
os.execv("/bin/sh", ["sh", "-c", "cat /etc/passwd"])
