# Forks twice to live on after its end.
# ends: forbidden process
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(1000)
