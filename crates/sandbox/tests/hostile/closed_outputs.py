# Closes all its files and runs on where nobody hears it.
# ends: time
import os
os.closerange(0, 64)
while True:
    pass
