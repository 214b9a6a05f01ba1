# Kills its process group.
# ends: forbidden process
import os, signal
os.killpg(0, signal.SIGKILL)
