# Kills its parent.
# ends: forbidden process
import os, signal
os.kill(os.getppid(), signal.SIGKILL)
