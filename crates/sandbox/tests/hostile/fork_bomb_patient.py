# Forks for ever, whatever goes wrong.
# ends: forbidden process
import os
while True:
    try:
        os.fork()
    except BaseException:
        pass
