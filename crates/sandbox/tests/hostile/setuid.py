# Becomes root.
# ends: forbidden system call
import os
os.setuid(0)
