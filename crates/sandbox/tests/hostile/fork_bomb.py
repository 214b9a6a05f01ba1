# Forks for ever.
# ends: forbidden process
import os
while True:
    os.fork()
