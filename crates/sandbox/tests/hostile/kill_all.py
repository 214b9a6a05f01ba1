# Kills all that it may.
# ends: forbidden process
import os, signal
os.kill(-1, signal.SIGKILL)
