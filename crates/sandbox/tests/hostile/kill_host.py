# Kills the host by its number.
# ends: forbidden process
import os, signal
input()
os.kill(int(input()), signal.SIGKILL)
